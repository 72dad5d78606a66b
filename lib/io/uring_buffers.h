/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_URING_BUFFERS_H
#define DI_IO_URING_BUFFERS_H

#include "lib/io/buffer.h"
#include "lib/io/ring.h"

/*
 * The buffers that a ring's receives choose from: one group, in a queue that is shared with the kernel, which takes
 * them in the order in which they were offered (from 5.19). There are few to begin with, twice as many whenever the
 * kernel found none, and half as many again when half of them were not needed for a good while.
 *
 * Edges of uring_buffers.c:
 *   [offer]  entries written, the queue's tail stored with release  |  the kernel's side is its own
 */
enum { DI_URING_BUFFERS_LEAST = 4, DI_URING_BUFFERS_MOST = 64 };

/* Buffers used, after which it is time to ask whether that many are needed. */
enum { DI_URING_BUFFERS_WINDOW = 256 };

struct di_uring_buffers {
    struct io_uring_buf_ring *queue;
    struct di_buffers *pool; /* the loop's */
    struct di_buffer *slots[DI_URING_BUFFERS_MOST];
    uint16_t tail;
    unsigned offered; /* and not yet used, as far as we know */
    unsigned wanted;  /* how many should be offered */
    unsigned lowest;  /* offered at any time in this window */
    unsigned used;    /* in this window */
    bool starved;     /* the kernel found none */
};

/* Whether a ring of that kind can have one, and receive into it again and again (6.0). */
bool di_uring_buffers_known(struct di_ring *ring);

/* NULL: no memory, or the kernel does not want to. */
struct di_uring_buffers *di_uring_buffers_open(struct di_ring *ring, struct di_buffers *pool);

/* The ring is closed, or nothing in it receives. NULL is allowed. */
void di_uring_buffers_close(struct di_uring_buffers *group);

/* The kernel has used this one, which is the caller's now. */
struct di_buffer *di_uring_buffers_used(struct di_uring_buffers *group, unsigned id);

/* Offers as many as are wanted. False: there is no memory for any. */
bool di_uring_buffers_fill(struct di_uring_buffers *group);

/*
 * Another thread's ring, which only that thread may enter, and which is about to be closed: when this returns it
 * receives nothing more, and what it has received shows in its completions.
 */
void di_uring_buffers_seal(struct di_uring_buffers *group, struct di_ring *ring);

#endif
