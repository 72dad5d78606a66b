/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_LEG_H
#define TESTS_HOSTILE_LEG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The TCP leg of auto://, from either side, written from docs/PROTOCOL.md and not with the library: it can say
 * anything.
 */
enum { LEG_HELLO = 1, LEG_READY = 2, LEG_REFUSE = 3, LEG_MOVED = 4 };
enum { LEG_HELLO_SIZE = 104, LEG_NONCE = 16, LEG_ENDPOINT = 1 };

struct leg_offer {
    unsigned char boot[16];
    uint32_t flags;
    uint32_t patience_ms;
    unsigned char nonce[LEG_NONCE];
};

/* An honest one, from this boot, with a nonce that begins with tag. */
struct leg_offer leg_offer(unsigned char tag);

/* A HELLO, with the offer: its size. */
size_t leg_hello(unsigned char *out, uint64_t session, const struct leg_offer *offer);

/* READY or MOVED: its size. */
size_t leg_last(unsigned char *out, uint16_t kind, uint64_t session);

/* What a HELLO offers; false if it is none, or offers nothing. */
bool leg_offered(const unsigned char *bytes, size_t size, uint64_t *session,
                 struct leg_offer *offer);

uint16_t leg_kind(const unsigned char *bytes);

/* A socket that is connected to, or listens at, that port of the loopback. port 0: any; it is written. */
int leg_connect(unsigned port);
int leg_listen(unsigned *port);

#endif
