/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The io_uring backend. An operation in flight is in exactly one place: in the kernel (its node in
 * flying), in the timers' heap, as the word we wait for ourselves (near, see lib/io/futex.h; the one
 * that was submitted last), or with its result known in due. The kernel is given the
 * operation's address as a number to hand back and never follows it.
 *
 * Cancelling cannot hit the wrong life of an operation that is submitted again: entries are taken
 * in the order they were queued, and a cancellation looks for its target the moment it is taken.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "lib/base/error.h"
#include "lib/io/futex.h"
#include "lib/io/received.h"
#include "lib/io/transfer.h"
#include "lib/io/uring.h"
#include "lib/io/uring_ops.h"

/* Looks at the queues between two looks at the clock: about as long as one of those takes. */
enum { LOOKS = 32 };

static void land(struct uring *u, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == OF_CANCEL)
        return;
    if (cqe->user_data == OF_FENCE) {
        u->fenced = true;
        return;
    }
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
    if (cqe->user_data & OF_HOLD) {
        di_uring_land_held(u, cqe);
        return;
    }
    struct di_io_op *op = (struct di_io_op *)(uintptr_t)(cqe->user_data & ~(uint64_t)OF_CALL);
    int result = cqe->res;
    if (di_io_goes_on(op->kind)) {
        di_uring_land_any(u, op, cqe);
        return;
    }
    if (cqe->user_data & OF_CALL) {
        di_uring_land_cut(op, result);
        u->cut_some = true;
        return; /* what receives is still there */
    }
    di_list_remove(&op->node);
    if (op->kind == DI_IO_WORD)
        u->others = op != u->newest;
    if (u->recalling && result == -ECANCELED && !op->canceling && op->kind != DI_IO_CALL) {
        di_list_append(&u->recalled, &op->node);
        return;
    }
    if (di_transfer_kind(op->kind))
        result = di_uring_transfer_result(op, result);
    else if (result == -EAGAIN && op->kind == DI_IO_WORD)
        result = 0; /* it had changed already */
    else if (result == -ECANCELED)
        result = DI_IO_CANCELED;
    else if (result < 0)
        result = DI_IO_FAILED;
    di_due_put(&u->due, op, result);
}

/* Spares the system call to be told so. Relaxed: the kernel looks again, ordered with the wake;
 * whoever reads what the change announces loads the word anew. */
static bool changed(const struct di_io_op *op)
{
    return atomic_load_explicit(op->word, memory_order_relaxed) != op->expected;
}

static void land_near(struct uring *u, int result)
{
    di_due_put(&u->due, u->near, result);
    u->others = u->near != u->newest;
    u->near = NULL;
}

/* Moves completions to due; no system call, and nobody is called. */
void di_uring_harvest(struct uring *u)
{
    struct io_uring_cqe cqe;
    while (di_ring_take(&u->ring, &cqe))
        land(u, &cqe);
    if (u->near != NULL && changed(u->near))
        land_near(u, 0);
}

static void arm_wake(struct uring *u)
{
    struct io_uring_sqe *sqe = u->wake_armed ? NULL : di_uring_next_entry(u);
    if (sqe == NULL)
        return;
    io_uring_prep_poll_multishot(sqe, u->wake.fd, POLLIN);
    sqe->user_data = OF_WAKE;
    u->wake_armed = true;
}

void di_uring_queue(struct uring *u, struct di_io_op *op)
{
    struct io_uring_sqe *sqe =
        op->kind == DI_IO_CALL ? di_uring_prep_call(u, op) : di_uring_next_entry(u);
    if (sqe == NULL) {
        if (op->error == 0)
            op->error = EAGAIN;
        di_due_put(&u->due, op, DI_IO_FAILED);
        return;
    }
    if (di_transfer_kind(op->kind))
        di_uring_prep_transfer(u, sqe, op);
    else if (op->kind == DI_IO_POLL)
        io_uring_prep_poll_add(sqe, op->fd, op->events);
    else
        di_prep_futex_wait(sqe, op->word, op->expected);
    if (op->kind == DI_IO_CALL)
        u->put_off = PUT_OFF_MAX; /* what it sends goes before anybody is called */
    sqe->user_data = (uintptr_t)op;
    di_list_append(&u->flying, &op->node);
}

/*
 * Which word to sleep on beside the ring: the newest, as long as the one that changes is the one that was
 * submitted last, which is so for whoever exchanges messages with one peer at a time. A loop that hears of many
 * in turn leaves them all to the ring, since a change of any but the near one costs a second wake-up's worth of
 * instructions: 17.0 us instead of 15.5 among 1,000 pipes.
 */
static void queue_word(struct uring *u, struct di_io_op *op)
{
    di_uring_sleep_elsewhere(u);
    struct di_io_op *former = u->near;
    u->newest = op;
    u->near = NULL;
    if (former != NULL)
        di_uring_queue(u, former);
    if (u->others || !di_ring_sleeps_elsewhere(&u->ring) || !di_futex_available())
        di_uring_queue(u, op);
    else
        u->near = op;
}

static void uring_submit(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = di_uring_of(io);
    if (u->epoll != NULL) {
        di_io_submit(u->epoll, op);
        return;
    }
    op->in_flight = true;
    op->error = 0;
    if (u->due.closing)
        di_due_put(&u->due, op, DI_IO_CANCELED);
    else if (op->kind == DI_IO_TIMER)
        di_due_add_timer(&u->due, op);
    else if (op->kind == DI_IO_WORD && (io->can & DI_IO_CAN_WORD) == 0)
        di_due_put(&u->due, op, DI_IO_FAILED);
    else if (op->kind == DI_IO_WORD && changed(op))
        di_due_put(&u->due, op, 0);
    else if (op->kind == DI_IO_WORD)
        queue_word(u, op);
    else if (di_io_goes_on(op->kind))
        di_uring_submit_any(u, op);
    else
        di_uring_queue(u, op);
    di_uring_harvest_rest(u);
}

/* False if there is no room: a later request may fare better. */
bool di_uring_queue_cancel(struct uring *u, struct di_io_op *op)
{
    struct io_uring_sqe *sqe = di_uring_next_entry(u);
    if (sqe == NULL)
        return false;
    io_uring_prep_cancel(sqe, op, 0);
    sqe->user_data = OF_CANCEL;
    return true;
}

static void uring_cancel(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = di_uring_of(io);
    if (u->epoll != NULL)
        di_io_cancel(u->epoll, op);
    else if (di_io_goes_on(op->kind))
        di_uring_cancel_any(u, op);
    else if (!op->in_flight || op->ready || op->canceling)
        return;
    else if (op->kind == DI_IO_TIMER)
        di_due_cancel_timer(&u->due, op);
    else if (op == u->near)
        land_near(u, DI_IO_CANCELED);
    else {
        op->canceling = di_uring_queue_cancel(u, op);
        u->put_off = PUT_OFF_MAX; /* somebody waits to let go of a descriptor */
    }
    di_uring_harvest_rest(u);
}

static void uring_forget(struct di_io *io, struct di_io_op *op)
{
    struct uring *u = di_uring_of(io);
    if (u->epoll != NULL) /* else nothing of an operation stays behind its completion, */
        di_io_forget(u->epoll, op);
    di_received_drop(io, op); /* but for what it has received */
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
    if (di_ring_polled(&u->ring) && queued)
        return true; /* which is hardly ever a system call */
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
    if (u->alarm != 0 || (sqe = di_uring_next_entry(u)) == NULL)
        return left; /* earlier than the one in flight: a timer of its own */
    u->alarm_in =
        (struct __kernel_timespec){.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
    io_uring_prep_timeout(sqe, &u->alarm_in, 0, 0);
    sqe->user_data = OF_ALARM;
    u->alarm = until;
    return -1;
}

/* Sleeps on the near word and whatever the ring watches. What completes on the way there may be the timeout
 * that was to end this sleep, so the caller decides anew. */
static enum duct_err sleep_near(struct uring *u, int64_t timeout)
{
    unsigned seen = di_ring_taken(&u->ring);
    enum duct_err err = di_uring_flush(u);
    di_uring_harvest(u);
    if (err || u->near == NULL || di_ring_taken(&u->ring) != seen)
        return err == DUCT_EAGAIN ? DUCT_OK : err; /* the caller loops until its deadline */
    int result =
        di_futex_sleep(u->near->word, u->near->expected, u->ring.u.cq.ktail, seen, timeout);
    if (result < 0)
        land_near(u, DI_IO_FAILED);
    return DUCT_OK;
}

/* One enter, asleep until the deadline or the next timer. */
enum duct_err di_uring_enter(struct uring *u, int64_t deadline)
{
    int64_t timeout = limit_sleep(u, di_due_until(&u->due, deadline));
    if (!u->wake_armed)
        timeout = 0; /* no room for its poll: nobody could end this sleep */
    u->put_off = 0;
    if (u->near != NULL && timeout != 0 && !di_ring_must_enter(&u->ring))
        return sleep_near(u, timeout);
    enum duct_err err = di_ring_enter(&u->ring, timeout);
    if (err != DUCT_EAGAIN)
        return err;
    di_uring_harvest(u);
    err = di_uring_flush(u);
    return err == DUCT_EAGAIN ? DUCT_OK : err;
}

/* Looks at what is shared with the kernel, which says there whether it has to be entered: a look is a few loads. */
static enum duct_err look(struct uring *u, bool *found)
{
    enum duct_err err = di_ring_must_enter(&u->ring) ? di_ring_enter(&u->ring, 0) : DUCT_OK;

    di_uring_harvest(u);
    *found = anything(u);
    return err == DUCT_EAGAIN ? DUCT_OK : err;
}

/* Looks until something is there, or for as long as the options say. */
static enum duct_err spin(struct uring *u, int64_t deadline)
{
    int64_t until = di_due_until_spun(&u->due, deadline, u->io.spin_ns);
    bool found = false;
    enum duct_err err = di_uring_flush(u);

    err = err == DUCT_EAGAIN ? DUCT_OK : err;
    do {
        for (int i = 0; i < LOOKS && !found && err == DUCT_OK; i++)
            err = look(u, &found);
    } while (!found && err == DUCT_OK && di_clock_now() < until);
    return err;
}

/*
 * With SQPOLL the kernel's thread takes what is queued, and runs what became ready, in its own time; but a wait that
 * does not sleep is to find all there is, and whoever cancelled and lets go of a descriptor counts on it. The thread takes
 * entries and then runs what is ready, over and over: what was ready, or cancelled, before this call is there when it has
 * answered twice.
 */
static enum duct_err fence(struct uring *u)
{
    enum duct_err err = DUCT_OK;

    for (int i = 0; i < 2 && !err; i++) {
        struct io_uring_sqe *sqe = di_uring_next_entry(u);
        if (sqe == NULL)
            break;
        io_uring_prep_nop(sqe);
        sqe->user_data = OF_FENCE;
        u->fenced = false;
        while (!u->fenced && !err) {
            err = di_ring_enter(&u->ring, -1);
            err = err == DUCT_EAGAIN ? DUCT_OK : err;
            di_uring_harvest(u);
        }
    }
    return err;
}

static enum duct_err collect(struct uring *u, int64_t deadline)
{
    bool spins = u->io.spin_ns > 0 && deadline > 0;
    bool asks = deadline == 0 && di_ring_polled(&u->ring);

    deadline = deadline < 0 ? 0 : deadline;
    di_uring_harvest(u);
    di_due_expire(&u->due);
    for (;;) {
        if (!u->wake_armed)
            arm_wake(u);
        if (u->cut_some)
            di_uring_take_back_cut(u);
        di_uring_serve_any(u);
        bool idle = !anything(u);
        bool fences = idle && asks;
        if (!fences && !must_enter(u, idle, deadline))
            return DUCT_OK;
        enum duct_err err = fences          ? fence(u)
                            : idle && spins ? spin(u, deadline)
                                            : di_uring_enter(u, idle ? deadline : 0);
        if (err)
            return err;
        spins = false; /* once a wait */
        di_uring_harvest(u);
        di_due_expire(&u->due);
        if (!idle || anything(u) || deadline == 0)
            return DUCT_OK;
        if (deadline != INT64_MAX && di_clock_now() >= deadline)
            return DUCT_OK;
    }
}

static enum duct_err uring_wait(struct di_io *io, int64_t deadline)
{
    struct uring *u = di_uring_of(io);
    if (u->epoll != NULL)
        return di_io_wait(u->epoll, deadline);
    enum duct_err err = collect(u, deadline);
    di_uring_harvest_rest(u);
    if (di_ring_queued(&u->ring) > 0)
        di_uring_drop_calls(u);
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
    di_wake_ring(&di_uring_of(io)->wake);
}

static void uring_close(struct di_io *io)
{
    struct uring *u = di_uring_of(io);
    u->due.closing = true;
    di_due_cancel_timers(&u->due);
    di_uring_recall(u);
    for (struct di_io_op *op; (op = di_uring_next_recalled(u)) != NULL;)
        di_due_put(&u->due, op, DI_IO_CANCELED);
    while (di_due_run(&u->due))
        continue; /* what done() submits now is canceled too */
    di_uring_abandon(u);
    if (u->epoll != NULL)
        di_io_close(u->epoll);
    di_ring_close(&u->ring);
    di_received_drop_all(io, &u->receptions);
    di_uring_buffers_close(u->buffers);
    di_buffers_close(u->pool);
    di_wake_close(&u->wake);
    di_due_fini(&u->due);
    free(u);
}

static enum duct_err open_loop(struct di_io **io, const struct di_io_backend *backend,
                               enum di_ring_kind kind)
{
    struct uring *u = calloc(1, sizeof *u);
    if (u == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a loop");
    enum duct_err err = di_ring_open(&u->ring, kind);
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
    u->io.backend = backend;
    u->io.can = di_ring_knows(&u->ring, DI_OP_FUTEX_WAIT) ? DI_IO_CAN_WORD : 0;
    /* A thread of the kernel's would answer at some later time. */
    if (kind != DI_RING_SQPOLL && di_ring_knows(&u->ring, IORING_OP_SEND_ZC))
        u->io.can |= DI_IO_CAN_HOLD;
    /* SOCKET came with the same release, and can be asked for. */
    u->may = di_ring_knows(&u->ring, IORING_OP_SOCKET) ? URING_POLL_FIRST : 0;
    u->may |= URING_ZC_USAGE; /* until it says otherwise: it cannot be asked for */
    di_list_init(&u->flying);
    di_list_init(&u->recalled);
    di_list_init(&u->holds);
    di_uring_open_any(u);
    di_due_init(&u->due);
    *io = &u->io;
    return DUCT_OK;
}

static enum duct_err uring_open(struct di_io **io)
{
    return open_loop(io, &di_io_uring, DI_RING_FASTEST);
}

static enum duct_err sqpoll_open(struct di_io **io)
{
    return open_loop(io, &di_io_sqpoll, DI_RING_SQPOLL);
}

#define OPERATIONS                                                                                \
    .close = uring_close, .submit = uring_submit, .cancel = uring_cancel, .forget = uring_forget, \
    .wait = uring_wait, .now = uring_now, .wake = uring_wake, .fd = di_uring_fd,                  \
    .adopt = di_uring_adopt, .try_send = di_transfer_send, .send_held = di_uring_send_held,       \
    .try_recv = di_transfer_recv, .take = di_uring_take, .accept = di_uring_accept,               \
    .open_socket = di_transfer_open, .dup_socket = di_transfer_dup,                               \
    .shut_socket = di_transfer_shut, .close_socket = di_transfer_close

const struct di_io_backend di_io_uring = {.name = "uring", .open = uring_open, OPERATIONS};
const struct di_io_backend di_io_sqpoll = {.name = "sqpoll", .open = sqpoll_open, OPERATIONS};

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
    enum duct_err err = di_ring_open(&ring, DI_RING_FASTEST);
    if (err == DUCT_OK)
        di_ring_close(&ring);
    if (err == DUCT_OK || err == DUCT_ENOTSUP)
        atomic_store_explicit(&cached, err == DUCT_OK ? YES : NO, memory_order_relaxed);
    return err == DUCT_OK;
}
