/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of the io_uring backend that move bytes: how they are given to the kernel, and what its answers
 * mean.
 *
 * A CALL is two entries of which the second begins when the first has sent everything (IO_LINK), and the first
 * says nothing if it has (CQE_SKIP_SUCCESS): one system call, and one completion. If it has not, it says how
 * much went, and nothing is heard of the second, which the kernel cancels.
 */
#include <errno.h>

#include "lib/io/transfer.h"
#include "lib/io/uring.h"

static void prep_recv(struct io_uring_sqe *sqe, struct di_io_op *op)
{
    if (op->piece_count == 1) {
        io_uring_prep_recv(sqe, op->fd, op->pieces[0].iov_base, op->pieces[0].iov_len, 0);
        return;
    }
    op->message = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)op->pieces,
                                  .msg_iovlen = op->piece_count};
    io_uring_prep_recvmsg(sqe, op->fd, &op->message, 0);
}

static void prep_send(struct io_uring_sqe *sqe, struct di_io_op *op)
{
    if (op->piece_count == 1) {
        io_uring_prep_send(sqe, op->fd, op->pieces[0].iov_base, op->pieces[0].iov_len,
                           MSG_NOSIGNAL);
        return;
    }
    op->message = (struct msghdr){.msg_iov = (struct iovec *)(uintptr_t)op->pieces,
                                  .msg_iovlen = op->piece_count};
    io_uring_prep_sendmsg(sqe, op->fd, &op->message, MSG_NOSIGNAL);
}

/* Both from Linux 5.17 and 5.19; the second came with sends that say so when they are short (MSG_WAITALL). */
static bool knows_calls(const struct uring *u)
{
    const unsigned needed = IORING_FEAT_CQE_SKIP | IORING_FEAT_LINKED_FILE;

    return (u->ring.u.features & needed) == needed;
}

struct io_uring_sqe *di_uring_prep_call(struct uring *u, struct di_io_op *op)
{
    const struct iovec all = {.iov_base = (char *)(uintptr_t)op->data, .iov_len = op->size};
    struct io_uring_sqe *sqe;

    op->sent = 0;
    op->cut = false;
    if (!knows_calls(u)) {
        int64_t done = di_transfer_send(&u->io, op->fd, &all, 1);
        op->cut = done < 0 || (size_t)done < op->size;
        op->sent = done < 0 ? 0 : (size_t)done;
        op->error = done < 0 ? (int)-done : 0;
        return op->cut ? NULL : di_uring_next_entry(u);
    }
    sqe = di_uring_next_pair(u);
    if (sqe == NULL)
        return NULL;
    io_uring_prep_send(sqe, op->fd, op->data, op->size, MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags |= IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = (uintptr_t)op | OF_CALL;
    return di_uring_next_entry(u);
}

void di_uring_prep_transfer(struct io_uring_sqe *sqe, struct di_io_op *op)
{
    if (op->kind == DI_IO_CONNECT)
        io_uring_prep_connect(sqe, op->fd, op->address, op->address_size);
    else if (op->kind == DI_IO_SEND)
        prep_send(sqe, op);
    else
        prep_recv(sqe, op);
}

void di_uring_land_cut(struct di_io_op *op, int result)
{
    op->cut = true;
    op->sent = result > 0 ? (size_t)result : 0;
    op->error = result < 0 && result != -ECANCELED && result != -EINTR ? -result : EAGAIN;
}

int di_uring_transfer_result(struct di_io_op *op, int result)
{
    if (op->kind == DI_IO_CALL && op->cut)
        return op->canceling && op->error == EAGAIN ? DI_IO_CANCELED : DI_IO_FAILED;
    if (op->kind == DI_IO_CALL)
        op->sent = op->size;
    if (op->kind == DI_IO_CONNECT && result == 0)
        di_transfer_connected(op->fd);
    if (result >= 0)
        return result;
    if (result == -ECANCELED)
        return DI_IO_CANCELED;
    op->error = -result;
    return DI_IO_FAILED;
}
