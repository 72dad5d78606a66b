/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_RING_H
#define DI_IO_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <liburing.h>

#include <duct/error.h>

/*
 * An io_uring as the backend needs it: entries go in, one system call submits and waits, completions
 * come out. liburing sets it up and maps it; the queues are driven here, because its calls that submit
 * and wait make more than one decision, and sometimes more than one system call, each.
 */
struct di_ring {
    struct io_uring u;
    unsigned tail; /* ours of the submission queue; the kernel looks only during enter */
};

/* For the calling thread. Errors: NOTSUP (not allowed, or too old), LIMIT, NOMEMORY, OS. */
enum duct_err di_ring_open(struct di_ring *ring) DUCT_NODISCARD;
void di_ring_close(struct di_ring *ring);

/* Whether the kernel behind it knows the operation. */
bool di_ring_knows(struct di_ring *ring, int opcode);

/* The next free entry, to be filled before the next call, or NULL if the queue is full. */
struct io_uring_sqe *di_ring_next(struct di_ring *ring);

/* Entries not yet given to the kernel. */
unsigned di_ring_queued(const struct di_ring *ring);

/* Whether the kernel has completions for us that it posts only when entered. */
bool di_ring_must_enter(const struct di_ring *ring);

/*
 * One io_uring_enter: submits what is queued, then waits for a completion for up to timeout_ns (0:
 * does not wait; negative: for ever), and lets the kernel post what it held back. It may return early
 * and empty-handed: callers loop. DUCT_OK, or EAGAIN: the kernel took nothing for want of memory, or
 * for completions that wait to be taken. Anything else: the ring is of no use any more.
 */
enum duct_err di_ring_enter(struct di_ring *ring, int64_t timeout_ns) DUCT_NODISCARD;

/* The oldest completion, copied out; false if there is none. */
bool di_ring_take(struct di_ring *ring, struct io_uring_cqe *cqe);

#endif
