/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulated backend: a loop of a simulated world (lib/io/sim.h). Like epoll it has one operation per
 * descriptor, and remembers what became ready while nobody waited; unlike any kernel it makes use of every freedom
 * that the contract leaves: completions come in any order, late, or beat their cancellation.
 */
#include "lib/io/sim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "lib/base/error.h"
#include "lib/io/accepted.h"
#include "lib/io/received.h"
#include "lib/io/sim_world.h"
#include "lib/io/transfer.h"

/* Looks at the clock in a row, after which a program is taken to be spinning. */
#define LOOKS_MAX 16u
#define LOOKS_NS  ((int64_t)1000)

/* Connections of one listener that are accepted ahead. */
enum { AHEAD_MAX = 4 };

static struct sim_loop *of(struct di_io *io)
{
    return di_container(io, struct sim_loop, io);
}

struct di_sim *di_sim_of(struct di_io *io)
{
    return of(io)->sim;
}

/* ---- Operations ---- */

/* The sending half of a CALL or CALL_ANY: 0, or how it ends early. */
static int64_t ask(struct sim_fd *fd, struct di_io_op *op)
{
    const struct iovec rest = {(char *)(uintptr_t)op->data + op->sent, op->size - op->sent};
    int64_t sent = op->sent < op->size ? sim_send(fd->end, &rest, 1) : 0;

    if (sent < 0)
        return sent == -EAGAIN ? -EPROTO : sent;
    op->sent += (size_t)sent;
    return op->sent < op->size ? -EPROTO : 0;
}

/* As much of an operation that moves bytes as can be done now. */
static int64_t try_op(struct sim_fd *fd, struct di_io_op *op)
{
    int64_t asked = op->kind == DI_IO_CALL ? ask(fd, op) : 0;

    if (op->kind == DI_IO_CONNECT)
        return sim_connected(fd->end);
    if (asked != 0)
        return asked;
    return sim_recv(fd->end, op->pieces, op->piece_count);
}

/* Receives what is there, to be taken. False: nothing is. */
static bool look_any(struct sim_loop *l, struct di_io_op *op)
{
    struct di_buffer *buffer = NULL;
    int64_t got = di_receive_now(&l->io, &l->buffers, op->fd, &buffer);

    if (got == -EAGAIN)
        return false;
    di_received(&l->receptions, op, got, buffer);
    di_due_put(&l->due, op, 1);
    return true;
}

/* As a kernel that accepts by itself does, now and then more than anybody has asked for. */
static void accept_ahead(struct sim_fd *fd, struct di_io_op *op)
{
    struct di_sim *sim = fd->loop->sim;

    while (fd->listener->count > 0 && op->received_count < AHEAD_MAX &&
           sim_odds(sim, sim->plan.ahead)) {
        int taken = sim_accept(&fd->loop->io, op->fd);
        if (taken < 0)
            return;
        di_accepted(&fd->loop->io, &fd->loop->receptions, op, taken);
    }
}

/* The result of an operation in flight, if it has one now. */
static bool look(struct sim_loop *l, struct sim_fd *fd, struct di_io_op *op)
{
    if (op->kind == DI_IO_POLL || op->kind == DI_IO_ACCEPT) {
        uint32_t ready = sim_readiness(fd, op->events);
        bool any = ready != 0 || di_received_any(op);
        if (any)
            di_due_put(&l->due, op, op->kind == DI_IO_POLL ? (int)ready : 1);
        return any;
    }
    if (di_io_takes(op->kind))
        return look_any(l, op);
    int64_t result = try_op(fd, op);
    if (result == -EAGAIN)
        return false;
    if (result < 0)
        op->error = result == -EPROTO ? EAGAIN : (int)-result;
    di_due_put(&l->due, op, result < 0 ? DI_IO_FAILED : (int)result);
    return true;
}

void sim_edge(struct sim_fd *fd)
{
    struct di_io_op *op = fd->op;

    if (op != NULL && op->kind == DI_IO_ACCEPT)
        accept_ahead(fd, op);
    if (op == NULL || op->ready)
        return;
    if (!op->in_flight) {
        op->pending = true;
        return;
    }
    di_list_remove(&op->node);
    if (!look(fd->loop, fd, op))
        di_list_append(&fd->loop->waiting, &op->node);
}

void sim_edge_end(struct sim_end *end)
{
    for (unsigned i = 0; i < end->fd_count; i++)
        sim_edge(sim_fd_of(end->sim, end->fds[i]));
}

static void fail(struct sim_loop *l, struct di_io_op *op, int error)
{
    op->error = error;
    di_due_put(&l->due, op, DI_IO_FAILED);
}

/* An operation on a descriptor, known and its own. */
static void start(struct sim_loop *l, struct sim_fd *fd, struct di_io_op *op)
{
    bool fresh = !op->registered;
    bool news = op->pending;

    op->registered = true;
    op->pending = false;
    op->sent = 0;
    /* Not to be told of what happens while it asks: it looks itself. */
    int64_t result = op->kind == DI_IO_CONNECT ? sim_connect(fd->end, op->address) : 0;
    fd->op = op;
    fd->loop = l;
    if (op->kind == DI_IO_CONNECT) {
        if (result == 0)
            di_due_put(&l->due, op, 0);
        else if (result == -EAGAIN)
            di_list_append(&l->waiting, &op->node);
        else
            fail(l, op, (int)-result);
        return;
    }
    if (op->kind == DI_IO_CALL_ANY && (result = ask(fd, op)) != 0) {
        fail(l, op, result == -EPROTO ? EAGAIN : (int)-result);
        return;
    }
    if (di_received_any(op)) {
        di_due_put(&l->due, op, 1);
        return;
    }
    bool may_look = op->kind != DI_IO_POLL || fresh || news || !l->sim->plan.edges;
    if (!may_look || !look(l, fd, op))
        di_list_append(&l->waiting, &op->node);
}

static void submit_fd(struct sim_loop *l, struct di_io_op *op)
{
    struct di_sim *sim = l->sim;
    struct sim_fd *fd = sim_fd_of(sim, op->fd);

    bool known =
        fd != NULL && (op->kind == DI_IO_ACCEPT ? fd->listener != NULL
                                                : op->kind == DI_IO_POLL || fd->end != NULL);

    if (!known) {
        fail(l, op, EBADF);
    } else if (di_io_takes(op->kind) && (l->io.can & DI_IO_CAN_TAKE) == 0) {
        fail(l, op, ENOTSUP);
    } else if (fd->op != NULL && fd->op != op) {
        fail(l, op, EEXIST);
    } else if (!op->registered && sim_odds(sim, sim->plan.poll_fails)) {
        fail(l, op, ENOSPC);
    } else {
        if (fd->op == op && (!op->registered || fd->loop != l))
            sim_fault(sim, "an operation's memory was used anew before it was forgotten", op->fd);
        start(l, fd, op);
    }
}

static void sim_submit(struct di_io *io, struct di_io_op *op)
{
    struct sim_loop *l = of(io);

    if (op->in_flight)
        sim_fault(l->sim, "an operation in flight was submitted again", op->kind);
    op->in_flight = true;
    op->error = 0;
    if (l->due.closing)
        di_due_put(&l->due, op, DI_IO_CANCELED);
    else if (op->kind == DI_IO_TIMER)
        di_due_add_timer(&l->due, op);
    else if (op->kind == DI_IO_WORD)
        fail(l, op, ENOTSUP);
    else
        submit_fd(l, op);
}

static void sim_cancel(struct di_io *io, struct di_io_op *op)
{
    struct sim_loop *l = of(io);

    if (!op->in_flight || op->ready)
        return;
    if (op->kind == DI_IO_TIMER) {
        di_due_cancel_timer(&l->due, op);
        return;
    }
    struct sim_fd *fd = sim_fd_of(l->sim, op->fd);
    if (fd != NULL && fd->end != NULL && sim_odds(l->sim, l->sim->plan.outrun))
        sim_hurry(fd->end);
    if (op->ready)
        return;
    di_list_remove(&op->node);
    di_due_put(&l->due, op, DI_IO_CANCELED);
}

static void sim_forget(struct di_io *io, struct di_io_op *op)
{
    struct sim_loop *l = of(io);
    struct sim_fd *fd = op->registered ? sim_fd_of(l->sim, op->fd) : NULL;

    if (op->in_flight)
        sim_fault(l->sim, "an operation in flight was forgotten", op->kind);
    if (op->registered && (fd == NULL || fd->op != op))
        sim_fault(l->sim, "an operation has changed its descriptor", op->fd);
    if (fd != NULL && fd->op == op)
        fd->op = NULL;
    op->registered = false;
    op->pending = false;
    di_received_drop(io, op);
}

static int64_t sim_take(struct di_io *io, struct di_io_op *op, struct di_buffer **buffer)
{
    int64_t got = di_received_next(op, buffer);

    return got != -EAGAIN ? got : di_receive_now(io, &of(io)->buffers, op->fd, buffer);
}

static int sim_io_accept(struct di_io *io, struct di_io_op *op)
{
    int got = di_accepted_next(op);

    return got != -EAGAIN ? got : sim_accept(io, op->fd);
}

/* ---- Waiting ---- */

static void expire(struct sim_loop *l)
{
    di_due_expire_at(&l->due, l->sim->now);
}

bool di_sim_ready(struct di_io *io)
{
    struct sim_loop *l = of(io);

    return di_due_any(&l->due) || l->woken || di_sim_loop_next(io) <= l->sim->now;
}

int64_t di_sim_loop_next(struct di_io *io)
{
    return di_due_until(&of(io)->due, SIM_NEVER);
}

/* Alone in the world: it moves on when we sleep. */
static void sleep_alone(struct sim_loop *l, int64_t until)
{
    int64_t next = di_sim_next(l->sim);
    int64_t timer = di_due_until(&l->due, until);

    di_sim_move(l->sim, next < timer ? next : timer);
}

static void collect(struct sim_loop *l, int64_t deadline)
{
    struct di_sim *sim = l->sim;

    if (sim->idle != NULL)
        sim->idle(sim->idle_user, &l->io, di_sim_ready(&l->io) ? sim->now : deadline);
    while (!di_sim_ready(&l->io) && sim->now < deadline) {
        if (sim->idle != NULL) {
            sim->idle(sim->idle_user, &l->io, deadline);
        } else if (di_due_until(&l->due, deadline) == SIM_NEVER && di_sim_next(sim) == SIM_NEVER) {
            sim_fault(sim, "a wait for ever, in a world where nothing happens any more", 0);
            return;
        } else {
            sleep_alone(l, deadline);
        }
    }
    expire(l);
}

/* Takes what is due in an order of the world's choosing, and leaves some for the next round. */
static void deal(struct sim_loop *l, struct di_list *later)
{
    struct di_list taken;
    unsigned count = 0;

    di_list_init(&taken);
    while (!di_list_empty(&l->due.ready)) {
        struct di_list *node = l->due.ready.next;
        di_list_remove(node);
        if (count > 0 && sim_odds(l->sim, l->sim->plan.late)) {
            di_list_append(later, node);
            continue;
        }
        /* In front or behind: a shuffle good enough to bring any two in either order. */
        if (l->sim->plan.unordered && di_sim_random(l->sim, 2) == 0)
            di_list_append(taken.next, node);
        else
            di_list_append(&taken, node);
        count++;
    }
    di_list_splice(&l->due.ready, &taken);
}

static enum duct_err sim_wait(struct di_io *io, int64_t deadline)
{
    struct sim_loop *l = of(io);
    struct di_list later;

    if (deadline > l->sim->now && sim_odds(l->sim, l->sim->plan.interrupted))
        l->woken = true;
    collect(l, deadline < 0 ? 0 : deadline);
    if (l->sim->fault[0] != '\0')
        return di_fail(DUCT_EOS, "the simulated world is at fault: %s", l->sim->fault);
    bool woken = l->woken;
    l->woken = false;
    di_list_init(&later);
    deal(l, &later);
    bool ran = di_due_run(&l->due) || woken;
    l->looks = ran || deadline > 0 ? 0 : l->looks;
    di_list_splice(&l->due.ready, &later);
    di_sim_note(l->sim, "waited", ran, 0);
    return ran ? DUCT_OK : DUCT_EAGAIN;
}

/* ---- The rest of the contract ---- */

/* Who only looks at the clock would wait for ever for it to move: now and then that takes time, and the more the
 * longer nothing else happens. */
static int64_t sim_now(struct di_io *io)
{
    struct sim_loop *l = of(io);

    if (++l->looks % LOOKS_MAX == 0 && l->sim->idle != NULL) {
        int64_t takes = LOOKS_NS << (l->looks / LOOKS_MAX < 9 ? l->looks / LOOKS_MAX : 9);
        l->sim->idle(l->sim->idle_user, NULL, l->sim->now + takes);
    }
    return l->sim->now;
}

static void sim_wake(struct di_io *io)
{
    of(io)->woken = true;
}

static int sim_fd(struct di_io *io)
{
    (void)io;
    errno = ENOTSUP;
    (void)!di_fail(DUCT_ENOTSUP, "a simulated loop has no descriptor");
    return -1;
}

static enum duct_err sim_adopt(struct di_io *io)
{
    (void)io; /* a world belongs to one thread */
    return DUCT_OK;
}

static struct sim_end *end_of(struct di_io *io, int fd)
{
    struct sim_fd *known = sim_fd_of(of(io)->sim, fd);

    if (known == NULL || known->end == NULL) {
        sim_fault(of(io)->sim, "bytes were moved by a descriptor that is none", fd);
        return NULL;
    }
    return known->end;
}

static int64_t sim_try_send(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count)
{
    struct sim_end *end = end_of(io, fd);

    return end == NULL ? -EBADF : sim_send(end, pieces, count);
}

static int64_t sim_try_recv(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count)
{
    struct sim_end *end = end_of(io, fd);

    return end == NULL ? -EBADF : sim_recv(end, pieces, count);
}

static void sim_close(struct di_io *io)
{
    struct sim_loop *l = of(io);
    struct di_sim *sim = l->sim;
    bool own = l->own_world;

    l->due.closing = true;
    di_due_cancel_timers(&l->due);
    di_list_splice(&l->due.ready, &l->waiting);
    while (di_due_run(&l->due))
        continue; /* what done() submits now is canceled too */
    for (uint32_t i = 0; i < sim->fd_room; i++) {
        if (sim->fds[i].loop == l)
            sim->fds[i].op = NULL;
    }
    di_due_fini(&l->due);
    di_received_drop_all(io, &l->receptions);
    di_buffers_close(l->buffers);
    sim->loops--;
    free(l);
    if (own)
        di_sim_close(sim);
}

enum duct_err di_sim_loop(struct di_sim *sim, struct di_io **io)
{
    struct sim_loop *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a loop");
    l->io.backend = &di_io_sim;
    l->io.can = sim->plan.polls ? 0 : DI_IO_CAN_TAKE;
    l->sim = sim;
    di_due_init(&l->due);
    di_list_init(&l->waiting);
    di_list_init(&l->receptions);
    sim->loops++;
    *io = &l->io;
    return DUCT_OK;
}

static enum duct_err sim_open(struct di_io **io)
{
    const struct di_sim_plan kind = {0};
    struct di_sim *sim;
    enum duct_err err = di_sim_open(&sim, 1, &kind);

    if (err != DUCT_OK)
        return err;
    if ((err = di_sim_loop(sim, io)) != DUCT_OK)
        di_sim_close(sim);
    else
        of(*io)->own_world = true;
    return err;
}

const struct di_io_backend di_io_sim = {
    .name = "sim",
    .open = sim_open,
    .close = sim_close,
    .submit = sim_submit,
    .cancel = sim_cancel,
    .forget = sim_forget,
    .wait = sim_wait,
    .now = sim_now,
    .wake = sim_wake,
    .fd = sim_fd,
    .adopt = sim_adopt,
    .try_send = sim_try_send,
    .try_recv = sim_try_recv,
    .take = sim_take,
    .accept = sim_io_accept,
    .open_socket = sim_open_socket,
    .dup_socket = sim_dup_socket,
    .shut_socket = sim_shut_socket,
    .close_socket = sim_close_socket,
};
