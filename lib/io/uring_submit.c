/* SPDX-License-Identifier: Apache-2.0 */
/* The one place of an io_uring loop that submits what is queued, and makes room for more. */
#include <sched.h>

#include "lib/io/uring.h"

/* How often a submission that the kernel has no memory for is tried again. */
enum { TRIES_MAX = 100 };

/* Entries that the kernel was not given; with SQPOLL also those that it has and did not get to, if there is no room. */
static bool unsubmitted(const struct uring *u)
{
    return di_ring_queued(&u->ring) > 0 || di_ring_room(&u->ring) == 0;
}

/*
 * The one policy for a kernel that takes nothing: make room by harvesting, which is what EBUSY
 * waits for, let others run, which may give memory back, and in the end give up.
 */
enum duct_err di_uring_flush(struct uring *u)
{
    enum duct_err err = DUCT_OK;
    for (int i = 0; i < TRIES_MAX && unsubmitted(u); i++) {
        err = di_ring_enter(&u->ring, 0);
        if (err == DUCT_EAGAIN) {
            di_uring_harvest(u);
            sched_yield();
        } else if (err) {
            break;
        }
    }
    u->put_off = 0;
    return err;
}

/*
 * Another thread that adopts the loop finds what is in the queue; what is not, only this thread can have put there, where
 * the ring is of the fastest kind. It ends: what completes again and again by itself is given no buffers meanwhile, and a
 * listener has no more connections than there may be descriptors.
 */
void di_uring_harvest_rest(struct uring *u)
{
    while (di_ring_overflown(&u->ring) && di_ring_refill(&u->ring))
        di_uring_harvest(u);
}

struct io_uring_sqe *di_uring_next_entry(struct uring *u)
{
    struct io_uring_sqe *sqe = di_ring_next(&u->ring);
    if (sqe != NULL)
        return sqe;
    (void)!di_uring_flush(u); /* its failure shows as no room, and again in wait */
    return di_ring_next(&u->ring);
}

struct io_uring_sqe *di_uring_next_pair(struct uring *u)
{
    if (di_ring_room(&u->ring) < 2)
        (void)!di_uring_flush(u);
    return di_ring_room(&u->ring) < 2 ? NULL : di_ring_next(&u->ring);
}
