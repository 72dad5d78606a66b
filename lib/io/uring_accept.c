/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACCEPT of the io_uring backend: the kernel accepts again and again (multishot), and the descriptors wait with the
 * operation; uring_recv.c begins it, stops it, and says when it completes.
 *
 * Only in a ring in which nothing happens but when its thread enters: in another one a connection could be accepted, and
 * its descriptor be lost, between the last look of a thread and the end of its ring (di_io_adopt()). There, and after a
 * kernel that would not go on, of which no descriptor left is the usual reason, it only watches the socket, and
 * di_io_accept() accepts and says what was wrong, once there is somebody to accept. So a listener to which nobody comes
 * sleeps, however short the system is.
 */
#include <errno.h>
#include <poll.h>

#include "lib/base/fork.h"
#include "lib/io/accepted.h"
#include "lib/io/transfer.h"
#include "lib/io/uring.h"

void di_uring_prep_accept(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op)
{
    /* Such rings are newer (6.1) than accepting again and again (5.19). */
    if (di_ring_kind(&u->ring) != DI_RING_FASTEST)
        op->watching = true;
    if (op->watching)
        io_uring_prep_poll_add(sqe, op->fd, POLLIN);
    else
        io_uring_prep_multishot_accept(sqe, op->fd, NULL, NULL, SOCK_CLOEXEC);
}

void di_uring_land_accept(struct uring *u, struct di_io_op *op, int result)
{
    bool watched = op->watching;
    bool waits = op->in_flight && !op->ready;

    if (!watched && result >= 0) {
        di_fork_close_in_child(result);
        di_accepted(&u->io, &u->receptions, op, result);
        return;
    }
    if (result == -ECANCELED)
        return;
    /* What would not go on is watched, and tried again when somebody came. */
    op->watching = !watched;
    if (!watched || !waits)
        return;
    op->error = result < 0 ? -result : 0;
    di_uring_complete_any(u, op, result < 0 ? DI_IO_FAILED : 1);
}

int di_uring_accept(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = di_uring_of(io);
    int got = di_accepted_next(op);

    if (got != -EAGAIN)
        return got;
    if (u->epoll != NULL)
        return di_io_accept(u->epoll, op);
    if (op->receiving && !op->watching) {
        di_uring_fetch(u);
        got = di_accepted_next(op);
    }
    /* The kernel does not go on, or has just stopped. */
    return got == -EAGAIN && (!op->receiving || op->watching) ? di_transfer_accept(io, op->fd)
                                                              : got;
}
