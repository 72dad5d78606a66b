/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_MEET_H
#define DI_TRANSPORTS_STREAM_MEET_H

#include "lib/base/url.h"
#include "transports/stream.h"

/*
 * The handshake on a connected socket, driven by a context: what lib/protocol/handshake says, sent and received.
 * The owner lends its memory until freed() was called.
 */
#define STREAM_MEET_ROOM 1024u

struct stream_meet {
    /* The owner's, set before. */
    void (*done)(struct stream_meet *meet, enum duct_err err); /* once, from the loop */
    void (*freed)(struct stream_meet *meet);                   /* once, after stream_meet_close() */
    /* Whether a dialer that said HELLO gets one in return; what it is told if not is the detail. NULL: always. */
    enum duct_err (*admit)(struct stream_meet *meet);
    void *user;
    struct di_list list;
    void *shared; /* where the peer has proved that it shares memory; NULL: it has not */

    struct duct_context *context;
    const struct stream_scheme *scheme;
    const struct di_options *options;
    struct di_shake shake;
    struct stream_peer peer;
    struct stream_quota *quota; /* set by admit(); the pipe's, once it is taken */
    int fd;                     /* -1: taken, or closed */
    struct di_io_op in;
    struct di_io_op timer;
    unsigned in_flight;
    bool admitted;
    bool finished;
    bool closed;
    enum duct_err result;
    char detail[DI_DETAIL_MAX];
    size_t filled;
    unsigned char bytes[STREAM_MEET_ROOM];
    size_t unsaid; /* of what is to be sent, the socket had no room for so much */
    unsigned char out[2 * DI_SHAKE_MAX];
};

/* fd is the meeting's at once. offer: to share memory, copied; NULL: none. timeout_ns: FOREVER where somebody else
 * keeps the time. */
void stream_meet_begin(struct stream_meet *meet, struct duct_context *context, int fd,
                       const struct stream_scheme *scheme, bool dialer,
                       const struct di_options *options, const struct di_offer *offer,
                       int64_t timeout_ns);

/* A nonce that no other offer has. */
void stream_draw_nonce(struct di_offer *offer);

/* Where both sides made an offer, the dialer's meeting is done with DUCT_OK in the state CHOOSE, and waits for this:
 * the pipe is here, or moved elsewhere. PEER: it could not be said. */
enum duct_err stream_meet_choose(struct stream_meet *meet, bool moved) DUCT_NODISCARD;

/* After done() with DUCT_OK, unless the pipe moved: the pipe. */
enum duct_err stream_meet_take(struct stream_meet *meet, struct duct_pipe **pipe) DUCT_NODISCARD;

/* Ends it, whatever its state; a peer that waits for our answer is told err and the detail. */
void stream_meet_refuse(struct stream_meet *meet, enum duct_err err);
void stream_meet_close(struct stream_meet *meet);

#endif
