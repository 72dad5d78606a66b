/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Other libraries, put through the same ping-pong and stream as duct. Each is one file, compiled
 * when its development package is installed, and says only how a message is sent and taken, by the
 * means of that library that cost least: payloads are built in its own buffers where it has any, and
 * read where they arrive.
 *
 * Payloads are numbered and summed as the subjects' are. When all is received, `first` says so in
 * one more message and `second` waits for it: a library may forget what it has not sent at its end.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include "bench/cases.h"
#include "bench/payload.h"

/* No wait of a peer is longer. */
enum {
    PEER_WAIT_MS = 5000,
    PEER_ADDRESS_BYTES = 64,
    PEER_TOUCH_BYTES = 16 << 20,
    PEER_TOUCH_SIZE = 4096
};

struct peer {
    void *handle; /* the library's */
    size_t size;
    uint64_t sent; /* messages; also the seed of the last */
    uint64_t sum;
    bool is_first;
    const char *address; /* a path in /tmp that no other run has */
    const char *url;     /* "ipc://" and that path, or "tcp://127.0.0.1:" and a free port */
};

struct peer_ops {
    const char *pingpong, *stream;         /* "zmq.pingpong", "zmq.stream" */
    const char *tcp_pingpong, *tcp_stream; /* the same over tcp; NULL: it uses no sockets */
    const char *about;
    bool spins; /* while it waits, as duct does when told to; the others sleep */
    bool (*setup)(const char *address); /* in the parent; NULL: nothing */
    void (*teardown)(const char *address);
    /* In the children. False: it failed, and the run is void. */
    bool (*open)(struct peer *peer);
    bool (*put)(struct peer *peer);   /* builds message ++sent and sends it, waiting for room */
    bool (*get)(struct peer *peer);   /* waits for a message, and adds its words to the sum */
    void (*close)(struct peer *peer); /* NULL: nothing */
};

/* Adds both cases. */
void peer_add(struct cases *cases, const struct peer_ops *ops);

/*
 * Lets the process use every CPU again: for a library with threads of its own, which would share
 * one with the caller otherwise.
 */
void peer_roam(void);

/* One per library that was found. */
void peer_zmq_cases(struct cases *cases);
void peer_nng_cases(struct cases *cases);
void peer_nanomsg_cases(struct cases *cases);
void peer_qb_cases(struct cases *cases);
void peer_iceoryx_cases(struct cases *cases);

/* All of them; prints which are missing, and in which package they are. */
void peer_cases(struct cases *cases);

#endif
