/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations of the io_uring backend that move bytes: how they are given to the kernel, and what its answers
 * mean.
 *
 * A CALL is two entries, of which the first says nothing if it has sent everything (CQE_SKIP_SUCCESS): one system
 * call, and one completion. It does not wait for room (MSG_DONTWAIT): so it is over when the kernel has taken it, and
 * the second is taken after it. If it has not sent everything it says how much went; then the second is cancelled.
 * The second does not look before it waits (POLL_FIRST), since an answer takes longer than that. Not linked
 * (IO_LINK): that costs more than the system call it is to spare, and a cancellation in between finds neither.
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

/*
 * Both from Linux 5.17 and 5.19; the second came with sends that say so when they are short (MSG_WAITALL). Not where a
 * thread of the kernel's takes the entries, since nobody could say when it has.
 */
bool di_uring_knows_calls(const struct uring *u)
{
    const unsigned needed = IORING_FEAT_CQE_SKIP | IORING_FEAT_LINKED_FILE;

    return (u->ring.u.features & needed) == needed && !di_ring_polled(&u->ring);
}

void di_uring_prep_ask(struct io_uring_sqe *sqe, struct di_io_op *op)
{
    op->cut = false;
    io_uring_prep_send(sqe, op->fd, op->data, op->size, MSG_NOSIGNAL | MSG_WAITALL | MSG_DONTWAIT);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = (uintptr_t)op | OF_CALL;
}

struct io_uring_sqe *di_uring_prep_call(struct uring *u, struct di_io_op *op)
{
    const struct iovec all = {.iov_base = (char *)(uintptr_t)op->data, .iov_len = op->size};
    struct io_uring_sqe *sqe;

    op->sent = 0;
    op->cut = false;
    if (!di_uring_knows_calls(u)) {
        int64_t done = di_transfer_send(&u->io, op->fd, &all, 1);
        op->cut = done < 0 || (size_t)done < op->size;
        op->sent = done < 0 ? 0 : (size_t)done;
        op->error = done < 0 ? (int)-done : 0;
        return op->cut ? NULL : di_uring_next_entry(u);
    }
    sqe = di_uring_next_pair(u);
    if (sqe == NULL)
        return NULL;
    di_uring_prep_ask(sqe, op);
    return di_uring_next_entry(u);
}

void di_uring_prep_transfer(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op)
{
    if (op->kind == DI_IO_CONNECT)
        io_uring_prep_connect(sqe, op->fd, op->address, op->address_size);
    else
        prep_recv(sqe, op);
    if (op->kind == DI_IO_CALL && (u->may & URING_POLL_FIRST))
        sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
}

void di_uring_drop_calls(struct uring *u)
{
    unsigned last = u->ring.tail;

    for (unsigned at = last - di_ring_queued(&u->ring); at != last; at++) {
        struct io_uring_sqe *first = di_ring_entry(&u->ring, at);
        if (first->opcode != IORING_OP_SEND || !(first->user_data & OF_CALL))
            continue;
        struct di_io_op *op = (struct di_io_op *)(uintptr_t)(first->user_data & ~(uint64_t)OF_CALL);
        io_uring_prep_nop(first);
        first->user_data = OF_CANCEL;
        if (di_io_takes(op->kind)) {
            di_uring_cut_any(u, op, 0);
            continue;
        }
        struct io_uring_sqe *second = di_ring_entry(&u->ring, at + 1);
        io_uring_prep_nop(second);
        second->user_data = OF_CANCEL;
        di_list_remove(&op->node);
        di_uring_land_cut(op, 0);
        di_due_put(&u->due, op, di_uring_transfer_result(op, -ECANCELED));
    }
}

void di_uring_land_cut(struct di_io_op *op, int result)
{
    op->cut = true;
    op->sent = result > 0 ? (size_t)result : 0;
    op->error = result < 0 && result != -ECANCELED && result != -EINTR ? -result : EAGAIN;
}

/* The first in flight whose receiving half waits for an answer to half a question, or NULL. */
static struct di_io_op *find_cut(const struct uring *u)
{
    for (struct di_list *at = u->flying.next; at != &u->flying; at = at->next) {
        struct di_io_op *op = di_container(at, struct di_io_op, node);
        if (op->kind == DI_IO_CALL && op->cut && !op->canceling)
            return op;
    }
    return NULL;
}

void di_uring_take_back_cut(struct uring *u)
{
    struct di_io_op *op;

    /* Making room may take any of them off the list, so each is looked for anew. */
    while (u->cut_some && (op = find_cut(u)) != NULL) {
        op->canceling = true;
        if (!di_uring_queue_cancel(u, op)) {
            op->canceling = false;
            return; /* the next round has room, or fails */
        }
    }
    u->cut_some = false;
}

int di_uring_transfer_result(struct di_io_op *op, int result)
{
    if (op->kind == DI_IO_CALL && op->cut && result <= 0)
        return DI_IO_FAILED; /* of the sending, which comes first; an end comes again */
    if (op->kind == DI_IO_CALL && !op->cut)
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
