/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_WIRE_MEET_H
#define TESTS_HOSTILE_WIRE_MEET_H

#include "tests/hostile/beside.h"
#include "tests/hostile/wire.h"

/* The peer of wire.h on the stage of beside.h. */

/* Turns until the peer has heard so many bytes. */
void wire_hear_all(struct beside *b, struct wire *wire, unsigned char *bytes, size_t size);

/* Turns until the peer's socket has ended; whatever came before it is dropped. */
void wire_ends(struct beside *b, struct wire *wire);

/* Turns until the peer was refused with that code, and hung up on; text has room for 193 bytes, or is NULL. */
void wire_refused(struct beside *b, struct wire *wire, uint32_t code, char *text);

/* An honest handshake, but for what `hello` says: b->victim is then a pipe to a peer that may begin to lie. */
void wire_meet(struct beside *b, struct wire *wire, const struct wire_hello *hello);

#endif
