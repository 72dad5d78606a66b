/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RECV_ANY and CALL_ANY of the io_uring backend: one receive in the kernel that goes on (multishot) and chooses from
 * the ring's buffers, beneath operations that complete once per submission. So does what an ACCEPT has the kernel do,
 * which is in uring_accept.c; here is what they have in common.
 *
 * An operation is in the list receptions while the kernel goes on for it or something waits to be taken; one of
 * which too much waits is in hogs instead, until the kernel was told to stop. One that is in flight without a result
 * is in calm if the kernel goes on for it, and in unarmed if it has yet to be asked to.
 */
#include <errno.h>

#include "lib/io/received.h"
#include "lib/io/transfer.h"
#include "lib/io/uring.h"

/* Buffers of one operation that wait to be taken, from which on the kernel is stopped; and connections, of which a
 * listener takes as many in a turn. */
enum { UNTAKEN_MAX = 8, UNTAKEN_CONNECTIONS_MAX = 64 };

static struct di_io_op *first_of(struct di_list *list)
{
    return di_container(list->next, struct di_io_op, node);
}

void di_uring_complete_any(struct uring *u, struct di_io_op *op, int result)
{
    di_list_remove(&op->node);
    di_due_put(&u->due, op, result);
}

void di_uring_open_any(struct uring *u)
{
    di_list_init(&u->receptions);
    di_list_init(&u->hogs);
    di_list_init(&u->calm);
    di_list_init(&u->unarmed);
    u->io.can |= di_uring_buffers_known(&u->ring) ? DI_IO_CAN_TAKE : 0;
}

static bool too_much_waits(const struct di_io_op *op)
{
    return op->received_count >= (op->kind == DI_IO_ACCEPT ? UNTAKEN_CONNECTIONS_MAX : UNTAKEN_MAX);
}

/* What can be said of an operation after something has changed. */
static void settle(struct uring *u, struct di_io_op *op)
{
    bool waits = op->in_flight && !op->ready;

    if (waits && di_received_any(op)) {
        di_uring_complete_any(u, op, 1);
    } else if (waits && !op->receiving && op->canceling) {
        di_uring_complete_any(u, op, DI_IO_CANCELED);
    } else if (waits && !op->receiving && u->recalling) {
        di_uring_complete_any(u, op, 1); /* to be submitted again, to what comes after this ring */
    } else if (waits && !op->receiving) {
        di_list_remove(&op->node);
        di_list_append(&u->unarmed, &op->node);
    }
    if (!di_io_receiving(op)) {
        di_list_remove(&op->reception);
    } else if (op->receiving && !op->stopping && too_much_waits(op)) {
        di_list_remove(&op->reception);
        di_list_append(&u->hogs, &op->reception);
    }
}

void di_uring_cut_any(struct uring *u, struct di_io_op *op, int result)
{
    di_uring_land_cut(op, result);
    if (op->in_flight && !op->ready)
        di_uring_complete_any(u, op, DI_IO_FAILED);
}

static void land_bytes(struct uring *u, struct di_io_op *op, const struct io_uring_cqe *cqe)
{
    struct di_buffer *buffer = NULL;
    int result = cqe->res;

    if (cqe->flags & IORING_CQE_F_BUFFER)
        buffer = di_uring_buffers_used(u->buffers, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    if (result > 0 && buffer != NULL) {
        di_received(&u->receptions, op, result, buffer);
        buffer = NULL;
    } else if (result == -ENOBUFS) {
        u->buffers->starved = true;
    } else if (u->recalling && result == -EFAULT) {
        /* Sealed (di_uring_buffers_seal): the bytes are in the socket still. */
    } else if (result != -ECANCELED && result != -EINTR && result != -EAGAIN) {
        di_received(&u->receptions, op, result, NULL);
    }
    if (buffer != NULL)
        di_buffer_release(buffer);
}

void di_uring_land_any(struct uring *u, struct di_io_op *op, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data & OF_CALL) {
        di_uring_cut_any(u, op, cqe->res);
        return;
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        op->receiving = op->stopping = false;
        u->receiving--;
    }
    if (op->kind == DI_IO_ACCEPT)
        di_uring_land_accept(u, op, cqe->res);
    else
        land_bytes(u, op, cqe);
    settle(u, op);
}

/* ---- To the kernel ---- */

static bool have_buffers(struct uring *u)
{
    if (u->pool == NULL)
        u->pool = di_buffers_open();
    if (u->buffers == NULL && u->pool != NULL)
        u->buffers = di_uring_buffers_open(&u->ring, u->pool);
    return u->buffers != NULL && di_uring_buffers_fill(u->buffers);
}

static void prep_recv(struct io_uring_sqe *sqe, const struct di_io_op *op)
{
    io_uring_prep_recv_multishot(sqe, op->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
}

/* False: there is no room now. */
static bool arm(struct uring *u, struct di_io_op *op)
{
    if (op->kind != DI_IO_ACCEPT && !have_buffers(u)) {
        op->error = ENOMEM;
        di_uring_complete_any(u, op, DI_IO_FAILED);
        return true;
    }
    struct io_uring_sqe *sqe = di_uring_next_entry(u);
    if (sqe == NULL)
        return false;
    if (op->kind == DI_IO_ACCEPT)
        di_uring_prep_accept(u, sqe, op);
    else
        prep_recv(sqe, op);
    sqe->user_data = (uintptr_t)op;
    op->receiving = true;
    u->receiving++;
    di_list_remove(&op->node);
    di_list_append(&u->calm, &op->node);
    if (!di_list_linked(&op->reception))
        di_list_append(&u->receptions, &op->reception);
    return true;
}

/* Asks the kernel to stop; if there is no room to, later. */
static void stop(struct uring *u, struct di_io_op *op)
{
    op->stopping = di_uring_queue_cancel(u, op);
    di_list_remove(&op->reception);
    di_list_append(op->stopping ? &u->receptions : &u->hogs, &op->reception);
}

void di_uring_serve_any(struct uring *u)
{
    struct di_list hogs;

    if (u->buffers != NULL)
        (void)di_uring_buffers_fill(u->buffers); /* where it fails, arm() says so */
    while (!di_list_empty(&u->unarmed) && arm(u, first_of(&u->unarmed)))
        continue;
    di_list_init(&hogs);
    di_list_splice(&hogs, &u->hogs);
    while (!di_list_empty(&hogs)) {
        struct di_io_op *op = di_container(hogs.next, struct di_io_op, reception);
        di_list_remove(&op->reception);
        if (op->receiving && !op->stopping)
            stop(u, op);
        else if (di_io_receiving(op))
            di_list_append(&u->receptions, &op->reception);
    }
}

/* The sending half. False: it has not all gone, or there is no room for it. */
static bool ask(struct uring *u, struct di_io_op *op)
{
    if (!di_uring_knows_calls(u))
        return di_transfer_ask(op);
    struct io_uring_sqe *sqe = di_uring_next_entry(u);
    if (sqe == NULL) {
        op->sent = 0;
        op->error = EAGAIN;
        return false;
    }
    op->sent = op->size; /* or it is cut */
    di_uring_prep_ask(sqe, op);
    u->put_off = PUT_OFF_MAX; /* it goes before anybody is called */
    return true;
}

void di_uring_submit_any(struct uring *u, struct di_io_op *op)
{
    bool can = op->kind == DI_IO_ACCEPT || (u->io.can & DI_IO_CAN_TAKE) != 0;

    if (!can)
        op->error = ENOTSUP;
    if (!can || (op->kind == DI_IO_CALL_ANY && !ask(u, op))) {
        di_due_put(&u->due, op, DI_IO_FAILED);
        return;
    }
    di_list_append(op->receiving ? &u->calm : &u->unarmed, &op->node);
    if (di_received_any(op))
        di_uring_complete_any(u, op, 1);
    else if (!op->receiving)
        (void)arm(u, op); /* or the next wait does */
}

void di_uring_cancel_any(struct uring *u, struct di_io_op *op)
{
    if (op->receiving && !op->stopping) {
        stop(u, op);
        u->put_off = PUT_OFF_MAX;
    }
    if (!op->in_flight || op->ready)
        return;
    op->canceling = true;
    if (!op->receiving)
        di_uring_complete_any(u, op, DI_IO_CANCELED);
}

void di_uring_fetch(struct uring *u)
{
    di_uring_serve_any(u);
    if (di_ring_must_enter(&u->ring) || di_ring_queued(&u->ring) > 0) {
        enum duct_err ignored = di_uring_enter(u, 0); /* the next wait fails too, and says so */
        (void)ignored;
    }
    di_uring_harvest(u);
    di_uring_harvest_rest(u);
}

/* Nothing is left to the kernel where it has something for us, or was not told yet. */
int64_t di_uring_take(struct di_io *io, struct di_io_op *op, struct di_buffer **buffer)
{
    struct uring *u = di_uring_of(io);
    int64_t got = di_received_next(op, buffer);

    if (got != -EAGAIN)
        return got;
    if (u->epoll != NULL)
        return di_io_take(u->epoll, op, buffer);
    if (!op->receiving)
        return di_receive_now(io, &u->pool, op->fd, buffer);
    di_uring_fetch(u);
    return di_received_next(op, buffer);
}

/* ---- Back from it ---- */

void di_uring_stop_all(struct uring *u)
{
    struct di_list asked;

    di_list_splice(&u->receptions, &u->hogs);
    di_list_init(&asked);
    di_list_splice(&asked, &u->receptions);
    while (!di_list_empty(&asked)) {
        struct di_io_op *op = di_container(asked.next, struct di_io_op, reception);
        di_list_remove(&op->reception);
        di_list_append(&u->receptions, &op->reception);
        if (op->receiving && !op->stopping)
            op->stopping = di_uring_queue_cancel(u, op);
    }
}

void di_uring_give_up_any(struct uring *u)
{
    struct di_list *lists[] = {&u->calm, &u->unarmed};

    di_list_splice(&u->receptions, &u->hogs);
    for (struct di_list *at = u->receptions.next, *next; at != &u->receptions; at = next) {
        struct di_io_op *op = di_container(at, struct di_io_op, reception);
        next = at->next;
        op->receiving = op->stopping = false;
        if (!di_io_receiving(op))
            di_list_remove(at);
    }
    u->receiving = 0;
    for (unsigned i = 0; i < 2; i++) {
        while (!di_list_empty(lists[i])) {
            struct di_io_op *op = first_of(lists[i]);
            di_uring_complete_any(u, op, op->canceling ? DI_IO_CANCELED : 1);
        }
    }
}
