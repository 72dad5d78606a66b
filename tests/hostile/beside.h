/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_BESIDE_H
#define TESTS_HOSTILE_BESIDE_H

#include <stdbool.h>

#include "tests/hostile/meter.h"
#include "tests/hostile/must.h"
#include "tests/hostile/peer.h"

/*
 * The stage: a server with a listener and eight honest pipes on one context, their other ends on a
 * second context of the same thread, and, dialled from scratch, one peer that is not honest. Whatever
 * the peer does, the honest pipes must not notice: no error on them, and no more turns of the loop or
 * system calls for what they do than before the peer came.
 */
enum { HONEST = 8 };

struct beside {
    struct duct_context *server;
    struct duct_context *clients;
    struct duct_listener *listener;
    struct duct_pipe *here[HONEST];  /* the server's ends */
    struct duct_pipe *there[HONEST]; /* and the others */
    struct duct_pipe *victim;        /* the server's end of the peer's pipe; NULL: there is none */
    struct peer peer;
    uint64_t sent; /* by which the honest messages differ */
    char url[192];
    char path[108]; /* where the peer connects */
};

/* The address of everybody, by what is asked of the case. */
enum {
    PLAY_DEFAULT = 1 << 0,   /* shared memory, as it comes */
    PLAY_UNTRUSTED = 1 << 1, /* with untrusted=1 */
    PLAY_UDS = 1 << 2,       /* over byte streams: the peer is that of wire.h */
    PLAY_TCP = 1 << 3
};
#define PLAY_STREAMS (PLAY_UDS | PLAY_TCP)

struct play {
    const char *name;
    unsigned how;
    void (*run)(struct beside *b);
    const char *more; /* further options, "a=1&b=2", or NULL */
};

/* Plays them all, on each backend there is (or the one of DUCT_IO). For main() to return. */
int play_all(const struct play *plays, size_t count);

/* Every honest pipe exchanges a message in either direction. */
void beside_round(struct beside *b);

/* Lets the server's loop take what there is; returns what its events said of the victim: a mask of
 * 1 << enum duct_event_type. */
unsigned beside_turn(struct beside *b);

/* Turns until the listener has turned one more away than `before`. */
void beside_refused(struct beside *b, uint64_t before);

/* The peer's handshake, step by step: each waits for the answer and takes it over. */
void beside_say_hello(struct beside *b);
void beside_share(struct beside *b);

/* All of it: b->victim is then a pipe to a peer that may begin to lie. */
void beside_meet(struct beside *b);
void beside_meet_able(struct beside *b, uint32_t has); /* capabilities that it claims */

/* An honest dial, from another process, beside whatever is going on: it succeeds. */
void beside_honest_dial(struct beside *b);

/* Raises the limit of descriptors to what floods need. */
void beside_raise_limit(void);

/* Bytes this process has on its heap; 0 under a sanitizer, which has a heap of its own. */
size_t beside_heap(void);

/* The victim's pipe must have ended with CORRUPT, at its next call if not yet; it is closed. */
void beside_ends(struct beside *b, enum duct_err expected);

/* Closes both ends of the peer's pipe, whatever became of it. */
void beside_part(struct beside *b);

#endif
