/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll backend, for kernels and containers that forbid io_uring. A descriptor stays in the
 * set, edge-triggered, once an operation on it was submitted, so that submitting again costs no
 * system call; an edge that comes while the operation is not in flight is remembered in it
 * (pending).
 *
 * One operation per descriptor number: epoll knows a descriptor once. A second one completes with
 * DI_IO_FAILED; whoever needs two gives one of them a dup().
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/io/accepted.h"
#include "lib/io/due.h"
#include "lib/io/epoll.h"
#include "lib/io/epoll_sleep.h"
#include "lib/io/io.h"
#include "lib/io/received.h"
#include "lib/io/transfer.h"
#include "lib/io/wake.h"

/* Events taken per wait; what is left over comes with the next. */
enum { BATCH = 64 };

struct epoll_loop {
    struct di_io io;
    int set;
    struct di_due due;
    struct di_wake *wake; /* its own, or that of the loop that handed over */
    struct di_wake own;
    struct di_list waiting;     /* operations in flight without a result, on descriptors */
    struct di_buffers *buffers; /* what RECV_ANY receives into, or NULL */
    struct di_list receptions;  /* of operations for which something waits to be taken */
    bool woken;
    bool dispatching; /* inside wait or close */
    bool exported;
    bool coarse; /* epoll_pwait2 is not allowed here: milliseconds */
};

static struct epoll_loop *of(struct di_io *io)
{
    return di_container(io, struct epoll_loop, io);
}

static void arm_if_exported(struct epoll_loop *l)
{
    if (l->exported && !l->dispatching)
        di_due_arm(&l->due);
}

static bool register_fd(struct epoll_loop *l, struct di_io_op *op)
{
    uint32_t events = op->kind == DI_IO_POLL ? op->events : di_transfer_events(op);
    struct epoll_event event = {.events = events | EPOLLET, .data = {.ptr = op}};
    op->pending = false;
    op->drained = false;
    op->registered = epoll_ctl(l->set, EPOLL_CTL_ADD, op->fd, &event) == 0;
    return op->registered;
}

/* An edge was seen while nobody waited. Since then the descriptor may have been used: ask. */
static int still_ready(struct di_io_op *op)
{
    struct pollfd ask = {.fd = op->fd, .events = (short)op->events};
    op->pending = false;
    return poll(&ask, 1, 0) > 0 ? ask.revents : 0;
}

static void submit_poll(struct epoll_loop *l, struct di_io_op *op)
{
    if (!op->registered && !register_fd(l, op)) {
        di_due_put(&l->due, op, DI_IO_FAILED);
        return;
    }
    int events = op->pending ? still_ready(op) : 0;
    if (events != 0)
        di_due_put(&l->due, op, events);
    else
        di_list_append(&l->waiting, &op->node);
}

/*
 * Does what can be done; false if it has to wait for an edge. Only a receive that found nothing has surely taken
 * all there was: behind one that got less than it asked for, the end of the stream may be waiting, and that makes
 * no edge again.
 */
static bool attempt(struct epoll_loop *l, struct di_io_op *op, bool connecting)
{
    int64_t result = di_transfer_attempt(op, connecting);
    if (result == -EAGAIN) {
        op->drained = op->kind == DI_IO_RECV || op->kind == DI_IO_CALL;
        return false;
    }
    if (result < 0)
        op->error = result == -EPROTO ? EAGAIN : (int)-result;
    di_due_put(&l->due, op, result < 0 ? DI_IO_FAILED : (int)result);
    return true;
}

/* The descriptor is in the set; false: it cannot be, and the operation fails. */
static bool watched(struct epoll_loop *l, struct di_io_op *op)
{
    if (op->registered || register_fd(l, op)) {
        op->drained = op->drained && !op->pending;
        op->pending = false;
        return true;
    }
    op->error = errno;
    di_due_put(&l->due, op, DI_IO_FAILED);
    return false;
}

static void submit_transfer(struct epoll_loop *l, struct di_io_op *op)
{
    op->sent = 0;
    if (op->kind == DI_IO_CONNECT && attempt(l, op, false))
        return; /* and not registered: the descriptor is for other operations next */
    if (!watched(l, op))
        return;
    bool waits = op->kind == DI_IO_CONNECT || (op->kind == DI_IO_RECV && op->drained);
    if (waits || !attempt(l, op, false))
        di_list_append(&l->waiting, &op->node);
}

static int64_t receive(struct epoll_loop *l, struct di_io_op *op, struct di_buffer **buffer)
{
    int64_t got = di_receive_now(&l->io, &l->buffers, op->fd, buffer);
    op->drained = got == -EAGAIN && op->registered;
    return got;
}

/* Receives what is there, to be taken; false if it has to wait for an edge. */
static bool attempt_any(struct epoll_loop *l, struct di_io_op *op)
{
    struct di_buffer *buffer = NULL;
    int64_t got = receive(l, op, &buffer);
    if (got == -EAGAIN)
        return false;
    di_received(&l->receptions, op, got, buffer);
    di_due_put(&l->due, op, 1);
    return true;
}

static void submit_any(struct epoll_loop *l, struct di_io_op *op)
{
    if (op->kind == DI_IO_CALL_ANY && !di_transfer_ask(op)) {
        di_due_put(&l->due, op, DI_IO_FAILED);
        return;
    }
    if (di_received_any(op)) {
        di_due_put(&l->due, op, 1);
        return;
    }
    if (!watched(l, op))
        return;
    if (op->drained || !attempt_any(l, op))
        di_list_append(&l->waiting, &op->node);
}

/* An edge tells of what is new only: who has not taken all there was is told at once. */
static void submit_accept(struct epoll_loop *l, struct di_io_op *op)
{
    if (!watched(l, op))
        return;
    if (di_received_any(op) || (!op->drained && still_ready(op) != 0))
        di_due_put(&l->due, op, 1);
    else
        di_list_append(&l->waiting, &op->node);
}

static int epoll_accept(struct di_io *io, struct di_io_op *op)
{
    int got = di_accepted_next(op); /* of a ring that this loop goes on for */
    if (got != -EAGAIN)
        return got;
    got = di_transfer_accept(io, op->fd);
    op->drained = got == -EAGAIN && op->registered;
    return got;
}

static int64_t epoll_take(struct di_io *io, struct di_io_op *op, struct di_buffer **buffer)
{
    int64_t got = di_received_next(op, buffer);
    return got != -EAGAIN ? got : receive(of(io), op, buffer);
}

static void epoll_submit(struct di_io *io, struct di_io_op *op)
{
    struct epoll_loop *l = of(io);
    op->in_flight = true;
    op->error = 0;
    if (l->due.closing)
        di_due_put(&l->due, op, DI_IO_CANCELED);
    else if (op->kind == DI_IO_TIMER)
        di_due_add_timer(&l->due, op);
    else if (op->kind == DI_IO_POLL)
        submit_poll(l, op);
    else if (op->kind == DI_IO_WORD)
        di_due_put(&l->due, op, DI_IO_FAILED); /* epoll cannot */
    else if (di_io_takes(op->kind))
        submit_any(l, op);
    else if (op->kind == DI_IO_ACCEPT)
        submit_accept(l, op);
    else
        submit_transfer(l, op);
    arm_if_exported(l);
}

static void epoll_cancel(struct di_io *io, struct di_io_op *op)
{
    struct epoll_loop *l = of(io);
    if (!op->in_flight || op->ready)
        return;
    if (op->kind == DI_IO_TIMER) {
        di_due_cancel_timer(&l->due, op);
    } else {
        di_list_remove(&op->node);
        di_due_put(&l->due, op, DI_IO_CANCELED);
    }
    arm_if_exported(l);
}

static void unregister(struct epoll_loop *l, struct di_io_op *op)
{
    /* fails only if the descriptor was closed before its time, and then it left the set by itself
     */
    (void)epoll_ctl(l->set, EPOLL_CTL_DEL, op->fd, NULL);
    op->registered = false;
    op->pending = false;
}

static void epoll_forget(struct di_io *io, struct di_io_op *op)
{
    if (op->registered)
        unregister(of(io), op);
    di_received_drop(io, op);
}

/* Nobody is called from here, so an operation cannot go away while a batch still names it. */
static void land(struct epoll_loop *l, const struct epoll_event *event)
{
    if (event->data.ptr == l->wake) {
        if (di_wake_take(l->wake))
            l->woken = true;
        return;
    }
    if (event->data.ptr == &l->due)
        return; /* the timerfd: only there to make the set readable */
    struct di_io_op *op = event->data.ptr;
    op->drained = false;
    if (op->ready)
        return; /* its done() is still to come, and with it a look at the descriptor */
    if (op->in_flight && op->kind != DI_IO_POLL && op->kind != DI_IO_ACCEPT) {
        di_list_remove(&op->node);
        if (di_io_takes(op->kind) ? !attempt_any(l, op) : !attempt(l, op, true))
            di_list_append(&l->waiting, &op->node);
    } else if (op->in_flight) {
        di_list_remove(&op->node);
        di_due_put(&l->due, op, op->kind == DI_IO_ACCEPT ? 1 : (int)event->events);
    } else if (l->exported) {
        unregister(l, op); /* or the set would turn readable for something nobody waits for */
    } else {
        op->pending = true;
    }
}

static bool anything(const struct epoll_loop *l)
{
    return di_due_any(&l->due) || l->woken;
}

/* One epoll_wait, asleep until the deadline or the next timer. */
static enum duct_err look(struct epoll_loop *l, int64_t deadline)
{
    int64_t timeout = di_due_until(&l->due, deadline);
    if (timeout == INT64_MAX) {
        timeout = -1;
    } else if (timeout > 0) {
        timeout -= di_clock_now();
        timeout = timeout < 0 ? 0 : timeout;
    } else {
        timeout = 0;
    }
    struct epoll_event events[BATCH];
    int count = di_epoll_sleep(l->set, events, BATCH, timeout, &l->coarse);
    if (count < 0 && count != -EINTR)
        return di_fail_os(-count, "the loop's epoll failed for good");
    for (int i = 0; i < count; i++)
        land(l, &events[i]);
    return DUCT_OK;
}

/* Asks until something is there, or for as long as the options say. */
static enum duct_err spin(struct epoll_loop *l, int64_t deadline)
{
    int64_t until = di_due_until_spun(&l->due, deadline, l->io.spin_ns);
    enum duct_err err;

    do {
        err = look(l, 0);
    } while (err == DUCT_OK && !anything(l) && di_clock_now() < until);
    return err;
}

static enum duct_err collect(struct epoll_loop *l, int64_t deadline)
{
    bool spins = l->io.spin_ns > 0 && deadline != 0;

    di_due_expire(&l->due);
    for (;;) {
        bool idle = !anything(l);
        enum duct_err err = idle && spins ? spin(l, deadline) : look(l, idle ? deadline : 0);
        if (err)
            return err;
        spins = false; /* once a wait */
        di_due_expire(&l->due);
        if (!idle || anything(l) || deadline == 0)
            return DUCT_OK;
        if (deadline != INT64_MAX && di_clock_now() >= deadline)
            return DUCT_OK;
    }
}

static enum duct_err epoll_loop_wait(struct di_io *io, int64_t deadline)
{
    struct epoll_loop *l = of(io);
    l->dispatching = true;
    enum duct_err err = collect(l, deadline < 0 ? 0 : deadline);
    bool woken = l->woken;
    l->woken = false;
    bool ran = di_due_run(&l->due) || woken;
    l->dispatching = false;
    arm_if_exported(l);
    if (err)
        return err;
    return ran ? DUCT_OK : DUCT_EAGAIN;
}

static int64_t epoll_now(struct di_io *io)
{
    (void)io;
    return di_clock_now();
}

static void epoll_wake(struct di_io *io)
{
    di_wake_ring(of(io)->wake);
}

/* The set itself: with the timerfd in it, it is readable exactly when it has something to report.
 */
static int epoll_fd(struct di_io *io)
{
    struct epoll_loop *l = of(io);
    if (l->exported)
        return l->set;
    if (di_due_export(&l->due))
        return -1;
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = &l->due}};
    if (epoll_ctl(l->set, EPOLL_CTL_ADD, l->due.fd, &event) != 0) {
        (void)!di_fail_os(errno, "no descriptor for a loop");
        return -1;
    }
    l->exported = true;
    arm_if_exported(l);
    return l->set;
}

static enum duct_err epoll_adopt(struct di_io *io)
{
    (void)io; /* a set belongs to no thread */
    return DUCT_OK;
}

static void epoll_close(struct di_io *io)
{
    struct epoll_loop *l = of(io);
    l->due.closing = true;
    l->dispatching = true;
    di_due_cancel_timers(&l->due);
    di_list_splice(&l->due.ready, &l->waiting);
    while (di_due_run(&l->due))
        continue; /* what done() submits now is canceled too */
    close(l->set);
    if (l->wake == &l->own)
        di_wake_close(&l->own);
    di_due_fini(&l->due);
    di_received_drop_all(io, &l->receptions);
    di_buffers_close(l->buffers);
    free(l);
}

static enum duct_err open_set(struct epoll_loop *l)
{
    l->set = epoll_create1(EPOLL_CLOEXEC);
    if (l->set < 0)
        return di_fail_os(errno, "no epoll set for a loop");
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = l->wake}};
    if (epoll_ctl(l->set, EPOLL_CTL_ADD, l->wake->fd, &event) == 0)
        return DUCT_OK;
    enum duct_err err = di_fail_os(errno, "no epoll set for a loop");
    close(l->set);
    return err;
}

/* wake: NULL for one of its own. */
static enum duct_err open_loop(struct di_io **io, struct di_wake *wake)
{
    struct epoll_loop *l = calloc(1, sizeof *l);
    if (l == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a loop");
    l->wake = wake != NULL ? wake : &l->own;
    enum duct_err err = wake != NULL ? DUCT_OK : di_wake_open(&l->own);
    if (err == DUCT_OK) {
        err = open_set(l);
        if (err && wake == NULL)
            di_wake_close(&l->own);
    }
    if (err) {
        free(l);
        return err;
    }
    l->io.backend = &di_io_epoll;
    l->io.can = DI_IO_CAN_TAKE;
    di_list_init(&l->waiting);
    di_list_init(&l->receptions);
    di_due_init(&l->due);
    *io = &l->io;
    return DUCT_OK;
}

static enum duct_err epoll_open(struct di_io **io)
{
    return open_loop(io, NULL);
}

enum duct_err di_epoll_open_exported(struct di_io **io, struct di_wake *wake, int *fd)
{
    struct di_io *opened = NULL;
    enum duct_err err = open_loop(&opened, wake);
    if (err)
        return err;
    int made = epoll_fd(opened);
    if (made < 0) {
        epoll_close(opened);
        return DUCT_EOS;
    }
    *io = opened;
    *fd = made;
    return DUCT_OK;
}

void di_epoll_inherit(struct di_io *io, struct di_due *due)
{
    struct epoll_loop *l = of(io);
    di_due_move(&l->due, due);
    arm_if_exported(l);
}

const struct di_io_backend di_io_epoll = {
    .name = "epoll",
    .open = epoll_open,
    .close = epoll_close,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .forget = epoll_forget,
    .wait = epoll_loop_wait,
    .now = epoll_now,
    .wake = epoll_wake,
    .fd = epoll_fd,
    .adopt = epoll_adopt,
    .try_send = di_transfer_send,
    .try_recv = di_transfer_recv,
    .take = epoll_take,
    .accept = epoll_accept,
    .open_socket = di_transfer_open,
    .dup_socket = di_transfer_dup,
    .shut_socket = di_transfer_shut,
    .close_socket = di_transfer_close,
};
