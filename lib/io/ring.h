/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_RING_H
#define DI_IO_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <liburing.h>

#include <duct/error.h>

/*
 * An io_uring as the backend needs it: entries go in, one system call submits and waits,
 * completions come out. liburing sets it up and maps it; the queues are driven here, because its
 * calls that submit and wait make more than one decision, and sometimes more than one system call,
 * each.
 *
 * The queues are shared with the kernel, which writes the submission queue's head and the
 * completion queue's tail. Its fields are plain integers in liburing's header.
 *
 * | edge   | orders                                                                          |
 * | [sq]   | entries, before the tail that offers them; using them, after the head           |
 * | [cq]   | completions, after the tail that shows them; reading them, before the head      |
 */
struct di_ring {
    struct io_uring u;
    unsigned tail;    /* ours of the submission queue; the kernel's is what it was offered */
    unsigned offered; /* SQPOLL: what the kernel's thread was offered last */
    unsigned entries;
    unsigned completions_mask;
};

enum di_ring_kind {
    DI_RING_FASTEST,
    DI_RING_SLEEPS_ELSEWHERE, /* a completion shows in the queue although the thread sleeps on something else, for the
                                 price of a slower ring */
    DI_RING_SQPOLL /* a thread of the kernel's takes what is queued, and sleeps when there is nothing for long */
};

/* For the calling thread. Errors: NOTSUP (not allowed, or too old), LIMIT, NOMEMORY, OS. */
enum duct_err di_ring_open(struct di_ring *ring, enum di_ring_kind kind) DUCT_NODISCARD;

static inline bool di_ring_polled(const struct di_ring *ring)
{
    return (ring->u.flags & IORING_SETUP_SQPOLL) != 0;
}

/* Whether it was opened so, or the kernel knows nothing faster. */
static inline bool di_ring_sleeps_elsewhere(const struct di_ring *ring)
{
    return (ring->u.flags & (IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SQPOLL)) == 0;
}

static inline enum di_ring_kind di_ring_kind(const struct di_ring *ring)
{
    return di_ring_polled(ring)             ? DI_RING_SQPOLL
           : di_ring_sleeps_elsewhere(ring) ? DI_RING_SLEEPS_ELSEWHERE
                                            : DI_RING_FASTEST;
}

void di_ring_close(struct di_ring *ring);

/* Whether the kernel behind it knows the operation. */
bool di_ring_knows(struct di_ring *ring, int opcode);

static inline unsigned di_ring_relaxed(const unsigned *at)
{
    return atomic_load_explicit((const _Atomic unsigned *)at, memory_order_relaxed);
}

/* Entries that may be filled. */
static inline unsigned di_ring_room(const struct di_ring *ring)
{
    /* [sq] observes: the kernel's thread has read what it took. */
    unsigned head =
        atomic_load_explicit((const _Atomic unsigned *)ring->u.sq.khead, memory_order_acquire);
    return ring->entries - (ring->tail - head);
}

/* Entries not yet given to the kernel. */
static inline unsigned di_ring_queued(const struct di_ring *ring)
{
    if (di_ring_polled(ring))
        return ring->tail - ring->offered;
    /* relaxed: the kernel moves the head only while this thread is in enter */
    return ring->tail - di_ring_relaxed(ring->u.sq.khead);
}

static inline struct io_uring_sqe *di_ring_entry(struct di_ring *ring, unsigned at)
{
    return &ring->u.sq.sqes[at & (ring->entries - 1)];
}

/* The next free entry, to be filled before the next call, or NULL if the queue is full. */
static inline struct io_uring_sqe *di_ring_next(struct di_ring *ring)
{
    if (di_ring_room(ring) == 0)
        return NULL;
    return di_ring_entry(ring, ring->tail++);
}

/* Whether the kernel has completions for us that it posts only when entered. */
static inline bool di_ring_must_enter(const struct di_ring *ring)
{
    /* relaxed: a hint to enter; what it announces is taken through [cq] */
    unsigned flags = di_ring_relaxed(ring->u.sq.kflags);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

/* Whether there are completions that found no room in the queue. */
static inline bool di_ring_overflown(const struct di_ring *ring)
{
    /* relaxed: a hint to ask for them; they are taken through [cq] */
    return (di_ring_relaxed(ring->u.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
}

/* Has those put into the queue that have room there now, and submits nothing: so any thread may, but for a ring in which
 * nothing happens unless its own thread enters. False: not so, or not now. */
bool di_ring_refill(struct di_ring *ring);

/* How many completions were ever taken; equal to the tail when there is none. */
static inline unsigned di_ring_taken(const struct di_ring *ring)
{
    /* relaxed: only this thread writes it */
    return di_ring_relaxed(ring->u.cq.khead);
}

/* The oldest completion, copied out; false if there is none. */
static inline bool di_ring_take(struct di_ring *ring, struct io_uring_cqe *cqe)
{
    struct io_uring_cq *cq = &ring->u.cq;
    unsigned head = di_ring_taken(ring);
    unsigned tail =
        atomic_load_explicit((const _Atomic unsigned *)cq->ktail, memory_order_acquire); /* [cq] */
    if (head == tail)
        return false;
    *cqe = cq->cqes[head & ring->completions_mask];
    atomic_store_explicit((_Atomic unsigned *)cq->khead, head + 1, memory_order_release); /* [cq] */
    return true;
}

/*
 * One io_uring_enter: submits what is queued, then waits for a completion for up to timeout_ns (0:
 * does not wait; negative: for ever), and lets the kernel post what it held back. It may return
 * early and empty-handed: callers loop. With SQPOLL there is no system call where there is nothing to wait for and the
 * kernel's thread is awake; with a full queue it waits for an entry. DUCT_OK, or EAGAIN: the kernel took nothing for want of
 * memory, or for completions that wait to be taken. Anything else: the ring is of no use any more.
 */
enum duct_err di_ring_enter(struct di_ring *ring, int64_t timeout_ns) DUCT_NODISCARD;

#endif
