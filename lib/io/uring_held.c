/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending without a copy (SEND_ZC, Linux 6.0). The kernel answers twice: at once, how much went, and later, when
 * nobody reads the memory any more, that it may be used again. The first answer comes while the entry is submitted,
 * since the send never waits (MSG_DONTWAIT); so to the caller it is a call like any other, and only the memory is
 * handed over. A hold is in the list from the moment its entry is queued until one of the answers says that there is
 * nothing to hold any more.
 */
#include <errno.h>

#include "lib/io/uring.h"

/* include/uapi/linux/io_uring.h of Linux 6.2; liburing 2.3 has neither. */
#ifndef IORING_SEND_ZC_REPORT_USAGE
#define IORING_SEND_ZC_REPORT_USAGE (1u << 3)
#endif
#ifndef IORING_NOTIF_USAGE_ZC_COPIED
#define IORING_NOTIF_USAGE_ZC_COPIED (1u << 31)
#endif

void di_uring_land_held(struct uring *u, const struct io_uring_cqe *cqe)
{
    struct di_io_hold *hold = (struct di_io_hold *)(uintptr_t)(cqe->user_data & ~(uint64_t)OF_HOLD);

    if (di_list_empty(&u->holds))
        return; /* all were abandoned */
    if (cqe->flags & IORING_CQE_F_NOTIF) {
        bool copied =
            (u->may & URING_ZC_USAGE) && ((unsigned)cqe->res & IORING_NOTIF_USAGE_ZC_COPIED);
        di_list_remove(&hold->node);
        hold->release(hold, copied ? DI_IO_COPIED : DI_IO_UNCOPIED);
        return;
    }
    u->sending = NULL;
    u->sent = cqe->res;
    u->sent_held = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (!u->sent_held)
        di_list_remove(&hold->node);
}

void di_uring_abandon(struct uring *u)
{
    while (!di_list_empty(&u->holds)) {
        struct di_io_hold *hold = di_container(u->holds.next, struct di_io_hold, node);
        di_list_remove(&hold->node);
        hold->release(hold, DI_IO_ABANDONED);
    }
}

/* The kernel takes nothing: the entry stays in the queue and does nothing. */
static int withdraw(struct uring *u, struct io_uring_sqe *sqe, struct di_io_hold *hold)
{
    io_uring_prep_nop(sqe);
    sqe->user_data = OF_CANCEL;
    u->sending = NULL;
    di_list_remove(&hold->node);
    return -EOPNOTSUPP;
}

/* One entry, submitted, and its first answer. */
static int send_once(struct uring *u, int fd, const struct iovec *piece, struct di_io_hold *hold)
{
    struct io_uring_sqe *sqe = di_uring_next_entry(u);

    u->sent_held = false;
    if (sqe == NULL)
        return -EOPNOTSUPP;
    io_uring_prep_send_zc(sqe, fd, piece->iov_base, piece->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL, 0);
    if (u->may & URING_ZC_USAGE)
        sqe->ioprio |= IORING_SEND_ZC_REPORT_USAGE;
    sqe->user_data = (uintptr_t)hold | OF_HOLD;
    u->sending = hold;
    di_list_append(&u->holds, &hold->node);
    enum duct_err err = di_uring_flush(u);
    di_uring_harvest(u);
    if (di_ring_queued(&u->ring) > 0)
        return withdraw(u, sqe, hold);
    /* Behind more completions than the queue holds; waiting for one fetches them. */
    while (u->sending != NULL && (err == DUCT_OK || err == DUCT_EAGAIN)) {
        err = di_ring_enter(&u->ring, -1);
        di_uring_harvest(u);
    }
    if (u->sending == NULL)
        return u->sent;
    u->sending = NULL;
    u->sent_held = true; /* nobody knows */
    return -EIO;
}

int64_t di_uring_send_held(struct di_io *io, int fd, const struct iovec *piece,
                           struct di_io_hold *hold, bool *held)
{
    struct uring *u = di_uring_of(io);
    int result = send_once(u, fd, piece, hold);

    if (result == -EINVAL && !u->sent_held && (u->may & URING_ZC_USAGE)) {
        u->may &= ~(unsigned)URING_ZC_USAGE; /* Linux 6.0 and 6.1 */
        result = send_once(u, fd, piece, hold);
    }
    *held = u->sent_held;
    return result;
}
