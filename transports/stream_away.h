/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_AWAY_H
#define DI_TRANSPORTS_STREAM_AWAY_H

#include <stdint.h>

#include <duct/log.h>

/*
 * What the log says of peers that were turned away. A flood of them must not become one of lines, and one that
 * comes again and again must not hide another: each peer has a line a minute, and all together a few a second.
 * Whoever has none is counted, and the next line says how many there were.
 */
#define STREAM_AWAY_PEERS   32u /* remembered: the last that had a line */
#define STREAM_AWAY_LINES   8u  /* a second */
#define STREAM_AWAY_NAME    96u
#define STREAM_AWAY_PEER_NS (60 * DUCT_SECOND)

struct stream_away {
    uint64_t peers[STREAM_AWAY_PEERS]; /* who, as a number made of the name */
    int64_t times[STREAM_AWAY_PEERS];  /* of the line; 0: none */
    uint32_t next;                     /* the place of the oldest */
    int64_t second;                    /* when the present second began; 0: never */
    uint32_t lines;                    /* in it */
    uint64_t unlogged;                 /* turned away without a line since the last one */
};

/* where: the listener; who: the peer, "" if nobody knows; why: in words. */
void stream_away_log(struct stream_away *away, enum duct_log_level level, const char *where,
                     const char *who, const char *why, int64_t now);

#endif
