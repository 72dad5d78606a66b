/* SPDX-License-Identifier: Apache-2.0 */
/* How an io_uring loop hands its operations on: to its end, to an epoll set, to another thread. */
#include "lib/io/epoll.h"
#include "lib/io/uring.h"

/*
 * Takes everything in flight back from the kernel, and waits for its answers, because until then it
 * holds references to the descriptors: a peer would not see the end of a socket that was closed.
 * What turns out to have completed keeps its result. Cancelled one by one: "all of this ring" is
 * newer than what we need (5.19). Making room may harvest, which takes operations out of either
 * list: hence no walk along the links.
 */
void di_uring_recall(struct uring *u)
{
    u->recalling = true;
    if (u->near != NULL)
        di_list_append(&u->recalled, &u->near->node);
    u->near = NULL;
    while (!di_list_empty(&u->flying) || u->receiving > 0) {
        struct di_list asked;
        di_uring_stop_all(u);
        di_list_init(&asked);
        di_list_splice(&asked, &u->flying);
        while (!di_list_empty(&asked)) {
            struct di_io_op *op = di_container(asked.next, struct di_io_op, node);
            di_list_remove(&op->node);
            di_list_append(&u->flying, &op->node);
            (void)di_uring_queue_cancel(u, op);
        }
        if (di_uring_enter(u, INT64_MAX) != DUCT_OK)
            break; /* not our thread, or worse; the ring's end ends its waits, if later */
        di_uring_harvest(u);
    }
    di_list_splice(&u->recalled, &u->flying);
    di_uring_give_up_any(u);
    u->recalling = false;
}

struct di_io_op *di_uring_next_recalled(struct uring *u)
{
    if (di_list_empty(&u->recalled))
        return NULL;
    struct di_io_op *op = di_container(u->recalled.next, struct di_io_op, node);
    di_list_remove(&op->node);
    return op;
}

/* Takes back what is the loop's own: the poll of its wake, and its timeout. */
static void recall_own(struct uring *u)
{
    struct io_uring_sqe *sqe;
    if (u->wake_armed && (sqe = di_uring_next_entry(u)) != NULL) {
        io_uring_prep_cancel64(sqe, OF_WAKE, 0);
        sqe->user_data = OF_CANCEL;
    }
    if (u->alarm != 0 && (sqe = di_uring_next_entry(u)) != NULL) {
        io_uring_prep_timeout_remove(sqe, OF_ALARM, 0);
        sqe->user_data = OF_CANCEL;
    }
    while (u->wake_armed || u->alarm != 0) {
        enum duct_err err = di_ring_enter(&u->ring, -1); /* not enter(), which asks for timeouts */
        if (err != DUCT_OK && err != DUCT_EAGAIN)
            break;
        di_uring_harvest(u);
    }
}

/*
 * The ring stays, empty: its end would interrupt this thread once more, some milliseconds later,
 * and fail an epoll_wait with EINTR just when a foreign loop begins to sleep on the descriptor.
 */
int di_uring_fd(struct di_io *io)
{
    struct uring *u = di_uring_of(io);
    if (u->epoll != NULL)
        return u->exported;
    struct di_io *epoll;
    if (di_epoll_open_exported(&epoll, &u->wake, &u->exported))
        return -1;
    di_uring_recall(u);
    recall_own(u);
    di_uring_abandon(u);
    io->can = epoll->can;
    di_io_spin(epoll, io->spin_ns);
    u->epoll = epoll;
    for (struct di_io_op *op; (op = di_uring_next_recalled(u)) != NULL;) {
        if (op->canceling)
            di_due_put(&u->due, op, DI_IO_CANCELED);
        else
            di_io_submit(epoll, op); /* a WORD fails there */
    }
    di_epoll_inherit(epoll, &u->due);
    if (u->woken)
        di_wake_ring(&u->wake); /* taken, and not yet reported */
    return u->exported;
}

/* What was recalled goes on in another ring. */
static void move_to(struct uring *u, const struct di_ring *fresh)
{
    di_uring_abandon(u);
    di_ring_close(&u->ring);
    di_uring_buffers_close(u->buffers);
    u->buffers = NULL;
    u->ring = *fresh;
    if (!di_uring_buffers_known(&u->ring))
        u->io.can &= ~(unsigned)DI_IO_CAN_TAKE;
    u->wake_armed = false;
    u->alarm = 0;
    for (struct di_io_op *op; (op = di_uring_next_recalled(u)) != NULL;) {
        if (op->canceling)
            di_due_put(&u->due, op, DI_IO_CANCELED);
        else
            di_uring_queue(u, op);
    }
}

/*
 * The kernel ties a ring, and the waits in it, to one thread, so another thread builds a ring of
 * its own and repeats the waits, which asks the same question again: is it ready, has it changed.
 * What the former ring had answered already is kept, but for cancellations that nobody asked for:
 * those come from the former thread's end. It is not possible to empty the former ring first, since
 * only its thread may enter it; its waits end shortly after, on the kernel's own account. A futex
 * wake meant for one waiter could meanwhile go to a former wait: hence the rule that changers wake
 * all.
 */
enum duct_err di_uring_adopt(struct di_io *io)
{
    struct uring *u = di_uring_of(io);
    if (u->epoll != NULL)
        return di_io_adopt(u->epoll);
    struct di_ring fresh;
    enum duct_err err = di_ring_open(&fresh, di_ring_kind(&u->ring));
    if (err)
        return err;
    u->recalling = true;
    if (u->buffers != NULL)
        di_uring_buffers_seal(u->buffers, &u->ring);
    di_uring_harvest(u);
    di_uring_harvest_rest(u);
    u->recalling = false;
    di_list_splice(&u->recalled, &u->flying);
    di_uring_give_up_any(u);
    move_to(u, &fresh);
    return DUCT_OK;
}

void di_uring_sleep_elsewhere(struct uring *u)
{
    struct di_ring fresh;
    if (di_ring_kind(&u->ring) != DI_RING_FASTEST ||
        di_ring_open(&fresh, DI_RING_SLEEPS_ELSEWHERE) != DUCT_OK)
        return;
    di_uring_recall(u);
    move_to(u, &fresh);
}
