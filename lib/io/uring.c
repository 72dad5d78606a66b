/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring backend. An operation in flight is in exactly one place: in the kernel (its node in
 * flying), in the timers' heap, or with its result known in due. The kernel is given the
 * operation's address as a number to hand back and never follows it.
 *
 * Cancelling cannot hit the wrong life of an operation that is submitted again: entries are taken
 * in the order they were queued, and a cancellation looks for its target the moment it is taken.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>

#include "lib/base/error.h"
#include "lib/io/due.h"
#include "lib/io/epoll.h"
#include "lib/io/io.h"
#include "lib/io/ring.h"
#include "lib/io/uring_ops.h"
#include "lib/io/wake.h"

/* Numbers that are no operation's address. */
enum { OF_CANCEL = 0, OF_WAKE = 1, OF_ALARM = 2 };

/* How often wait may return with completions at hand and leave entries unsubmitted. */
enum { PUT_OFF_MAX = 8 };

/* How often a submission that the kernel has no memory for is tried again. */
enum { TRIES_MAX = 100 };

struct uring {
    struct di_io io;
    struct di_ring ring;
    struct di_due due;
    struct di_wake wake;
    struct di_list flying;
    struct di_list
        recalled;        /* POLL and WORD operations taken back from the kernel, to go elsewhere */
    struct di_io *epoll; /* goes on for us once exported, or NULL */
    int exported;        /* its descriptor */
    int64_t alarm;       /* when the kernel's timeout completes; 0: none is in flight */
    struct __kernel_timespec alarm_in;
    unsigned put_off;
    bool woken;
    bool wake_armed; /* the poll of the wake's eventfd is queued or in the kernel */
    bool recalling;  /* what the kernel cancels although nobody asked is recalled */
};

static struct uring *of(struct di_io *io)
{
    return di_container(io, struct uring, io);
}

static void land(struct uring *u, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == OF_CANCEL)
        return;
    if (cqe->user_data == OF_ALARM) {
        u->alarm = 0;
        return;
    }
    if (cqe->user_data == OF_WAKE) {
        u->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        if (di_wake_take(&u->wake))
            u->woken = true;
        return;
    }
    struct di_io_op *op = (struct di_io_op *)(uintptr_t)cqe->user_data;
    int result = cqe->res;
    di_list_remove(&op->node);
    if (u->recalling && result == -ECANCELED && !op->canceling) {
        di_list_append(&u->recalled, &op->node);
        return;
    }
    if (result == -EAGAIN && op->kind == DI_IO_WORD)
        result = 0; /* it had changed already */
    else if (result == -ECANCELED)
        result = DI_IO_CANCELED;
    else if (result < 0)
        result = DI_IO_FAILED;
    di_due_put(&u->due, op, result);
}

/* Moves completions to due; no system call, and nobody is called. */
static void harvest(struct uring *u)
{
    struct io_uring_cqe cqe;
    while (di_ring_take(&u->ring, &cqe))
        land(u, &cqe);
}

/*
 * The one policy for a kernel that takes nothing: make room by harvesting, which is what EBUSY
 * waits for, let others run, which may give memory back, and in the end give up.
 */
static enum duct_err flush(struct uring *u)
{
    enum duct_err err = DUCT_OK;
    for (int i = 0; i < TRIES_MAX && di_ring_queued(&u->ring) > 0; i++) {
        err = di_ring_enter(&u->ring, 0);
        if (err == DUCT_EAGAIN) {
            harvest(u);
            sched_yield();
        } else if (err) {
            break;
        }
    }
    u->put_off = 0;
    return err;
}

static struct io_uring_sqe *next_entry(struct uring *u)
{
    struct io_uring_sqe *sqe = di_ring_next(&u->ring);
    if (sqe != NULL)
        return sqe;
    (void)flush(u); /* its failure shows as no room, and again in wait */
    return di_ring_next(&u->ring);
}

static void arm_wake(struct uring *u)
{
    struct io_uring_sqe *sqe = u->wake_armed ? NULL : next_entry(u);
    if (sqe == NULL)
        return;
    io_uring_prep_poll_multishot(sqe, u->wake.fd, POLLIN);
    sqe->user_data = OF_WAKE;
    u->wake_armed = true;
}

static void queue(struct uring *u, struct di_io_op *op)
{
    struct io_uring_sqe *sqe = next_entry(u);
    if (sqe == NULL) {
        di_due_put(&u->due, op, DI_IO_FAILED);
        return;
    }
    if (op->kind == DI_IO_POLL)
        io_uring_prep_poll_add(sqe, op->fd, op->events);
    else
        di_prep_futex_wait(sqe, op->word, op->expected);
    sqe->user_data = (uintptr_t)op;
    di_list_append(&u->flying, &op->node);
}

/* Spares the system call to be told so. Relaxed: the kernel looks again, ordered with the wake;
 * whoever reads what the change announces loads the word anew. */
static bool changed(const struct di_io_op *op)
{
    return atomic_load_explicit(op->word, memory_order_relaxed) != op->expected;
}

static void uring_submit(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = of(io);
    if (u->epoll != NULL) {
        di_io_submit(u->epoll, op);
        return;
    }
    op->in_flight = true;
    if (u->due.closing)
        di_due_put(&u->due, op, DI_IO_CANCELED);
    else if (op->kind == DI_IO_TIMER)
        di_due_add_timer(&u->due, op);
    else if (op->kind == DI_IO_WORD && (io->can & DI_IO_CAN_WORD) == 0)
        di_due_put(&u->due, op, DI_IO_FAILED);
    else if (op->kind == DI_IO_WORD && changed(op))
        di_due_put(&u->due, op, 0);
    else
        queue(u, op);
}

/* False if there is no room: a later request may fare better. */
static bool queue_cancel(struct uring *u, struct di_io_op *op)
{
    struct io_uring_sqe *sqe = next_entry(u);
    if (sqe == NULL)
        return false;
    io_uring_prep_cancel(sqe, op, 0);
    sqe->user_data = OF_CANCEL;
    return true;
}

static void uring_cancel(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = of(io);
    if (u->epoll != NULL)
        di_io_cancel(u->epoll, op);
    else if (!op->in_flight || op->ready || op->canceling)
        return;
    else if (op->kind == DI_IO_TIMER)
        di_due_cancel_timer(&u->due, op);
    else
        op->canceling = queue_cancel(u, op);
}

static void uring_forget(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = of(io);
    if (u->epoll != NULL) /* else nothing of an operation stays behind its completion */
        di_io_forget(u->epoll, op);
}

static bool anything(const struct uring *u)
{
    return di_due_any(&u->due) || u->woken;
}

/* Whether wait has to enter the kernel; idle: it has nothing to return with yet. */
static bool must_enter(struct uring *u, bool idle, int64_t deadline)
{
    if (di_ring_must_enter(&u->ring))
        return true;
    bool queued = di_ring_queued(&u->ring) > 0;
    if (idle)
        return queued || deadline != 0;
    return queued && u->put_off++ >= PUT_OFF_MAX;
}

/*
 * Makes sure that a sleep ends at `until`: returns how long it may last. A timer for every sleep is dear,
 * above all under a hypervisor, and most sleeps end long before it: so one timeout is left in flight, and
 * every later sleep that ends after it relies on it, to look at the clock then and ask for the next.
 */
static int64_t limit_sleep(struct uring *u, int64_t until)
{
    struct io_uring_sqe *sqe;

    if (until == INT64_MAX || (u->alarm != 0 && u->alarm <= until))
        return -1;
    int64_t left = until > 0 ? until - di_clock_now() : 0;
    if (left <= 0)
        return 0;
    if (u->alarm != 0 || (sqe = next_entry(u)) == NULL)
        return left; /* earlier than the one in flight: a timer of its own */
    u->alarm_in =
        (struct __kernel_timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    io_uring_prep_timeout(sqe, &u->alarm_in, 0, 0);
    sqe->user_data = OF_ALARM;
    u->alarm = until;
    return -1;
}

/* One enter, asleep until the deadline or the next timer. */
static enum duct_err enter(struct uring *u, int64_t deadline)
{
    int64_t timeout = limit_sleep(u, di_due_until(&u->due, deadline));
    if (!u->wake_armed)
        timeout = 0; /* no room for its poll: nobody could end this sleep */
    u->put_off = 0;
    enum duct_err err = di_ring_enter(&u->ring, timeout);
    if (err != DUCT_EAGAIN)
        return err;
    harvest(u);
    err = flush(u);
    return err == DUCT_EAGAIN ? DUCT_OK : err; /* the caller loops until its deadline */
}

static enum duct_err collect(struct uring *u, int64_t deadline)
{
    harvest(u);
    di_due_expire(&u->due);
    for (;;) {
        if (!u->wake_armed)
            arm_wake(u);
        bool idle = !anything(u);
        if (!must_enter(u, idle, deadline))
            return DUCT_OK;
        enum duct_err err = enter(u, idle ? deadline : 0);
        if (err)
            return err;
        harvest(u);
        di_due_expire(&u->due);
        if (!idle || anything(u) || deadline == 0)
            return DUCT_OK;
        if (deadline != INT64_MAX && di_clock_now() >= deadline)
            return DUCT_OK;
    }
}

static enum duct_err uring_wait(struct di_io *io, int64_t deadline)
{
    struct uring *u = of(io);
    if (u->epoll != NULL)
        return di_io_wait(u->epoll, deadline);
    enum duct_err err = collect(u, deadline < 0 ? 0 : deadline);
    bool woken = u->woken;
    u->woken = false;
    bool ran = di_due_run(&u->due) || woken;
    if (err)
        return err;
    return ran ? DUCT_OK : DUCT_EAGAIN;
}

static int64_t uring_now(struct di_io *io)
{
    (void)io;
    return di_clock_now();
}

static void uring_wake(struct di_io *io)
{
    di_wake_ring(&of(io)->wake);
}

/*
 * Takes everything in flight back from the kernel, and waits for its answers, because until then it
 * holds references to the descriptors: a peer would not see the end of a socket that was closed.
 * What turns out to have completed keeps its result. Cancelled one by one: "all of this ring" is
 * newer than what we need (5.19). Making room may harvest, which takes operations out of either
 * list: hence no walk along the links.
 */
static void recall(struct uring *u)
{
    u->recalling = true;
    while (!di_list_empty(&u->flying)) {
        struct di_list asked;
        di_list_init(&asked);
        di_list_splice(&asked, &u->flying);
        while (!di_list_empty(&asked)) {
            struct di_io_op *op = di_container(asked.next, struct di_io_op, node);
            di_list_remove(&op->node);
            di_list_append(&u->flying, &op->node);
            (void)queue_cancel(u, op);
        }
        if (enter(u, INT64_MAX) != DUCT_OK)
            break; /* not our thread, or worse; the ring's end ends its waits, if later */
        harvest(u);
    }
    di_list_splice(&u->recalled, &u->flying);
    u->recalling = false;
}

static struct di_io_op *next_recalled(struct uring *u)
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
    if (u->wake_armed && (sqe = next_entry(u)) != NULL) {
        io_uring_prep_cancel64(sqe, OF_WAKE, 0);
        sqe->user_data = OF_CANCEL;
    }
    if (u->alarm != 0 && (sqe = next_entry(u)) != NULL) {
        io_uring_prep_timeout_remove(sqe, OF_ALARM, 0);
        sqe->user_data = OF_CANCEL;
    }
    while (u->wake_armed || u->alarm != 0) {
        enum duct_err err = di_ring_enter(&u->ring, -1); /* not enter(), which asks for timeouts */
        if (err != DUCT_OK && err != DUCT_EAGAIN)
            break;
        harvest(u);
    }
}

/*
 * The ring stays, empty: its end would interrupt this thread once more, some milliseconds later,
 * and fail an epoll_wait with EINTR just when a foreign loop begins to sleep on the descriptor.
 */
static int uring_fd(struct di_io *io)
{
    struct uring *u = of(io);
    if (u->epoll != NULL)
        return u->exported;
    struct di_io *epoll;
    if (di_epoll_open_exported(&epoll, &u->wake, &u->exported))
        return -1;
    recall(u);
    recall_own(u);
    io->can = 0;
    u->epoll = epoll;
    for (struct di_io_op *op; (op = next_recalled(u)) != NULL;) {
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

/*
 * The kernel ties a ring, and the waits in it, to one thread, so another thread builds a ring of
 * its own and repeats the waits, which asks the same question again: is it ready, has it changed.
 * What the former ring had answered already is kept, but for cancellations that nobody asked for:
 * those come from the former thread's end. It is not possible to empty the former ring first, since
 * only its thread may enter it; its waits end shortly after, on the kernel's own account. A futex
 * wake meant for one waiter could meanwhile go to a former wait: hence the rule that changers wake
 * all.
 */
static enum duct_err uring_adopt(struct di_io *io)
{
    struct uring *u = of(io);
    if (u->epoll != NULL)
        return di_io_adopt(u->epoll);
    struct di_ring fresh;
    enum duct_err err = di_ring_open(&fresh);
    if (err)
        return err;
    u->recalling = true;
    harvest(u);
    u->recalling = false;
    di_list_splice(&u->recalled, &u->flying);
    di_ring_close(&u->ring);
    u->ring = fresh;
    u->wake_armed = false;
    u->alarm = 0;
    for (struct di_io_op *op; (op = next_recalled(u)) != NULL;) {
        if (op->canceling)
            di_due_put(&u->due, op, DI_IO_CANCELED);
        else
            queue(u, op);
    }
    return DUCT_OK;
}

static void uring_close(struct di_io *io)
{
    struct uring *u = of(io);
    u->due.closing = true;
    di_due_cancel_timers(&u->due);
    recall(u);
    for (struct di_io_op *op; (op = next_recalled(u)) != NULL;)
        di_due_put(&u->due, op, DI_IO_CANCELED);
    while (di_due_run(&u->due))
        continue; /* what done() submits now is canceled too */
    if (u->epoll != NULL)
        di_io_close(u->epoll);
    di_ring_close(&u->ring);
    di_wake_close(&u->wake);
    di_due_fini(&u->due);
    free(u);
}

static enum duct_err uring_open(struct di_io **io)
{
    struct uring *u = calloc(1, sizeof *u);
    if (u == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a loop");
    enum duct_err err = di_ring_open(&u->ring);
    if (err) {
        free(u);
        return err;
    }
    err = di_wake_open(&u->wake);
    if (err) {
        di_ring_close(&u->ring);
        free(u);
        return err;
    }
    u->io.backend = &di_io_uring;
    u->io.can = di_ring_knows(&u->ring, DI_OP_FUTEX_WAIT) ? DI_IO_CAN_WORD : 0;
    di_list_init(&u->flying);
    di_list_init(&u->recalled);
    di_due_init(&u->due);
    *io = &u->io;
    return DUCT_OK;
}

const struct di_io_backend di_io_uring = {
    .name = "uring",
    .open = uring_open,
    .close = uring_close,
    .submit = uring_submit,
    .cancel = uring_cancel,
    .forget = uring_forget,
    .wait = uring_wait,
    .now = uring_now,
    .wake = uring_wake,
    .fd = uring_fd,
    .adopt = uring_adopt,
};

/* Only an answer that will not change is kept: a process short of descriptors may ask again. */
bool di_io_uring_available(void)
{
    enum { UNKNOWN, YES, NO };
    static _Atomic int cached;
    /* relaxed: the number alone, and every thread finds out the same */
    int known = atomic_load_explicit(&cached, memory_order_relaxed);
    if (known != UNKNOWN)
        return known == YES;
    struct di_ring ring;
    enum duct_err err = di_ring_open(&ring);
    if (err == DUCT_OK)
        di_ring_close(&ring);
    if (err == DUCT_OK || err == DUCT_ENOTSUP)
        atomic_store_explicit(&cached, err == DUCT_OK ? YES : NO, memory_order_relaxed);
    return err == DUCT_OK;
}
