/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "lib/core/reconnect.h"

/* The table of a pipe that reconnects: what arrives, waiting, what can be asked. */

/* ---- What arrives ---- */

/* Asks for one message, or several: first the pipe of the session that is over, then that of the present one. */
typedef enum duct_err ask_fn(struct duct_pipe *inner, void *args);

static enum duct_err receive(struct di_reconnect *self, ask_fn *ask, void *args)
{
    enum duct_err err = DUCT_EAGAIN;

    di_reconnect_enter(self);
    if (self->last != NULL && (err = ask(self->last->pipe, args)) == DUCT_EAGAIN) {
        struct di_inner *last = self->last;
        self->last = NULL;
        di_reconnect_drop(self, last);
    }
    if (err == DUCT_EAGAIN && self->now != NULL)
        err = ask(self->now->pipe, args);
    di_reconnect_leave(self);
    return err;
}

struct request {
    struct duct_msg *msgs;
    struct duct_buffer *buffers;
    void *data;
    size_t count;
    size_t *result;
    uint64_t *tag;
};

static enum duct_err ask_recv(struct duct_pipe *inner, void *args)
{
    return inner->ops->recv(inner, ((struct request *)args)->msgs);
}

static enum duct_err ask_read(struct duct_pipe *inner, void *args)
{
    struct request *r = args;

    return inner->ops->read(inner, r->data, r->count, r->result, r->tag);
}

/* A batch that got something has not met the end. */
static enum duct_err ask_recv_batch(struct duct_pipe *inner, void *args)
{
    struct request *r = args;
    enum duct_err err = inner->ops->recv_batch(inner, r->msgs, r->count, r->result);

    return *r->result > 0 ? DUCT_OK : err;
}

static enum duct_err ask_read_batch(struct duct_pipe *inner, void *args)
{
    struct request *r = args;
    enum duct_err err = inner->ops->read_batch(inner, r->buffers, r->count, r->result);

    return *r->result > 0 ? DUCT_OK : err;
}

static enum duct_err recv_one(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct request r = {.msgs = msg};

    return receive(di_reconnect_of(pipe), ask_recv, &r);
}

static enum duct_err read_one(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                              uint64_t *tag)
{
    struct request r = {.data = data, .count = capacity, .result = size, .tag = tag};

    return receive(di_reconnect_of(pipe), ask_read, &r);
}

static enum duct_err recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                size_t *done)
{
    struct request r = {.msgs = msgs, .count = count, .result = done};

    return receive(di_reconnect_of(pipe), ask_recv_batch, &r);
}

static enum duct_err read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers, size_t count,
                                size_t *done)
{
    struct request r = {.buffers = buffers, .count = count, .result = done};

    return receive(di_reconnect_of(pipe), ask_read_batch, &r);
}

/* ---- Waiting ---- */

static bool nothing_kept(const struct di_reconnect *self)
{
    return di_list_empty(&self->queue);
}

/* What is ready without asking a present session's pipe. */
static unsigned ready_without(struct di_reconnect *self, unsigned want)
{
    const unsigned send = DI_READY_SEND | DI_READY_NEED;
    unsigned ready = 0;

    if (self->last != NULL && (want & DI_READY_RECV))
        ready |= self->last->pipe->ops->ready(self->last->pipe, DI_READY_RECV);
    if ((self->now == NULL || !nothing_kept(self)) &&
        di_reconnect_has_room(self, self->refused ? self->need : 0))
        ready |= want & send;
    /* What waits in the buffer waits for a peer, which is not what the kernel could be asked for. */
    if (self->now == NULL || !self->now->pipe->ops->pulled)
        ready |= want & DI_READY_LEFT;
    if (self->now == NULL && nothing_kept(self))
        ready |= want & DI_READY_DRAINED;
    if (self->now == NULL)
        ready |= want & DI_READY_PARTED;
    return ready;
}

/* What the present session's pipe can be asked for: it is behind what was kept. */
static unsigned want_of_inner(const struct di_reconnect *self, unsigned want)
{
    return nothing_kept(self)
               ? want
               : want & ~(unsigned)(DI_READY_SEND | DI_READY_NEED | DI_READY_DRAINED);
}

static unsigned ready(struct duct_pipe *pipe, unsigned want)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    unsigned result = 0;

    if (di_list_linked(&self->chore.link))
        di_reconnect_settle(self);
    di_reconnect_enter(self);
    if (self->now != NULL && self->now->pipe->end == DUCT_OK)
        di_reconnect_send_kept(self);
    result = ready_without(self, want);
    if (self->now != NULL)
        result |= self->now->pipe->ops->ready(self->now->pipe, want_of_inner(self, want));
    di_reconnect_leave(self);
    return result & want;
}

/* Has the session's pipe wake us for what is wanted, and for room if something was kept. */
static unsigned arm_inner(struct di_reconnect *self, unsigned want, bool blocking,
                          enum duct_err *err)
{
    struct duct_pipe *inner = self->now->pipe;

    for (;;) {
        bool behind = !di_reconnect_send_kept(self);
        unsigned ours = want_of_inner(self, want);
        if (inner->end != DUCT_OK)
            return 0;
        unsigned result =
            inner->ops->arm(inner, ours | (behind ? DI_READY_NEED : 0), blocking, err);
        if (*err != DUCT_OK || inner->end != DUCT_OK || (result & ours) != 0 || result == 0)
            return result & ours;
        /* There is room for what was kept: it goes, and we ask again. */
    }
}

static unsigned arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    unsigned result = 0;

    if (di_list_linked(&self->chore.link))
        di_reconnect_settle(self);
    di_reconnect_enter(self);
    result = ready_without(self, want);
    if (self->now != NULL && result == 0)
        result |= arm_inner(self, want, blocking, err);
    bool over = self->now != NULL && self->now->pipe->end != DUCT_OK;
    di_reconnect_leave(self);
    if (pipe->end != DUCT_OK)
        return want;
    /* It ended just now: what it left may be there. */
    return (over ? ready(pipe, want) : result) & want;
}

static void disarm(struct duct_pipe *pipe, unsigned want)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    di_reconnect_enter(self);
    if (self->now != NULL)
        self->now->pipe->ops->disarm(self->now->pipe, want);
    di_reconnect_leave(self);
}

static bool spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    bool result = false;

    if (ready(pipe, want) != 0 || pipe->end != DUCT_OK)
        return true;
    di_reconnect_enter(self);
    if (self->now != NULL && self->now->pipe->end == DUCT_OK && nothing_kept(self))
        result = self->now->pipe->ops->spin(self->now->pipe, want, polls, first);
    di_reconnect_leave(self);
    return result;
}

static void look(struct duct_pipe *pipe)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    di_reconnect_enter(self);
    if (self->now != NULL)
        self->now->pipe->ops->look(self->now->pipe);
    di_reconnect_leave(self);
    if (di_list_linked(&self->chore.link))
        di_reconnect_settle(self);
}

static bool change(struct duct_pipe *pipe, enum duct_state *state, enum duct_err *why)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    if (self->change_count > 0) {
        *state = self->changes[self->change_first].state;
        *why = self->changes[self->change_first].why;
        self->change_first = (self->change_first + 1) % DI_RECONNECT_CHANGES;
        self->change_count--;
    }
    return self->change_count > 0;
}

/* ---- What cannot be had ---- */

static enum duct_err split(struct duct_pipe *pipe, struct duct_pipe **sender,
                           struct duct_pipe **receiver)
{
    (void)pipe;
    *sender = *receiver = NULL;
    return di_fail(DUCT_ENOTSUP, "a pipe with reconnect=1 cannot be split; its peer may come and "
                                 "go");
}

static enum duct_err fd(struct duct_pipe *pipe, int *out)
{
    (void)pipe;
    (void)out;
    return di_fail(DUCT_ENOTSUP, "a pipe with reconnect=1 has no descriptor of its own, since its "
                                 "peer may come and go; use duct_context_fd()");
}

/* ---- What can be asked ---- */

static enum duct_err set_waiting(struct duct_pipe *pipe, const struct duct_waiting *waiting)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_pipe *inner = self->now != NULL ? self->now->pipe : NULL;
    enum duct_err err = inner != NULL ? inner->ops->set_waiting(inner, waiting) : DUCT_OK;

    if (err != DUCT_OK)
        return err;
    enum duct_wait wait = waiting->wait == DUCT_WAIT_DEFAULT ? DUCT_WAIT_SPIN_PARK : waiting->wait;
    int64_t spin_ns = waiting->spin_ns > 0 ? waiting->spin_ns : 0;
    if (inner != NULL) {
        inner->wait = wait;
        inner->spin_ns = spin_ns;
    }
    /* For the sessions to come. */
    self->options.o.wait = wait;
    self->options.o.spin_ns = spin_ns;
    self->options.o.bell = waiting->bell;
    self->options.o.fence = waiting->fence;
    self->options.spin_given = true;
    return DUCT_OK;
}

static void info(struct duct_pipe *pipe, struct duct_pipe_info *all)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct di_inner *inner = self->now != NULL ? self->now : self->last;

    all->scheme = self->transport->scheme;
    if (inner != NULL) {
        all->scheme = inner->pipe->ops->scheme;
        inner->pipe->ops->info(inner->pipe, all);
    }
    all->reconnects = 1;
    all->attempts = self->session.attempts;
    all->lost = self->session.lost;
    all->cause = self->session.cause;
    all->kept_msgs = self->kept_msgs;
    all->kept_bytes = self->kept_bytes;
}

void di_reconnect_add_stats(struct duct_pipe_stats *sum, const struct duct_pipe_stats *all)
{
    uint64_t *to = (uint64_t *)((char *)sum + sizeof(sum->size));
    const uint64_t *from = (const uint64_t *)((const char *)all + sizeof(all->size));

    _Static_assert(sizeof(*sum) % sizeof(uint64_t) == 0 && sizeof(sum->size) == sizeof(uint64_t),
                   "a size, and counters of 64 bits");
    for (size_t i = 0; i < (sizeof(*sum) - sizeof(sum->size)) / sizeof(uint64_t); i++)
        to[i] += from[i];
}

static void stats(struct duct_pipe *pipe, struct duct_pipe_stats *all)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    di_reconnect_add_stats(all, &self->past);
    for (struct di_list *at = self->inners.next; at != &self->inners; at = at->next) {
        struct duct_pipe_stats one = DUCT_PIPE_STATS_INIT;
        struct duct_pipe *inner = di_container(at, struct di_inner, link)->pipe;
        inner->ops->stats(inner, &one);
        di_reconnect_add_stats(all, &one);
    }
    all->dropped_unsent += self->dropped - self->copied;
    all->sessions = self->session.sessions;
    all->redials = self->session.redials;
    all->lost_msgs = self->lost_out;
    all->lost_received = self->lost_in;
}

/* Of the present session's pipe: what comes of that is the end of this one. */
static bool part(struct duct_pipe *pipe, uint32_t code, const char *text)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_pipe *inner = self->now != NULL ? self->now->pipe : NULL;

    if (inner == NULL || inner->end != DUCT_OK || inner->ops->part == NULL || !nothing_kept(self))
        return false;
    di_reconnect_enter(self);
    bool result = inner->ops->part(inner, code, text);
    di_reconnect_leave(self);
    return result;
}

#define OPS                                                                                       \
    .scheme = "reconnect", .loan = di_reconnect_loan, .loan_batch = di_reconnect_loan_batch,      \
    .send = di_reconnect_send, .recv = recv_one, .write = di_reconnect_write,                     \
    .writev = di_reconnect_writev, .read = read_one, .send_batch = di_reconnect_send_batch,       \
    .recv_batch = recv_batch, .write_batch = di_reconnect_write_batch, .read_batch = read_batch,  \
    .flush = di_reconnect_flush, .spin = spin, .ready = ready, .arm = arm, .disarm = disarm,      \
    .look = look, .change = change, .detach = di_reconnect_detach, .attach = di_reconnect_attach, \
    .adopted = di_reconnect_adopted, .split = split, .fd = fd, .set_waiting = set_waiting,        \
    .info = info, .stats = stats, .part = part, .close = di_reconnect_close

static const struct di_pipe_ops pulled_ops = {OPS, .pulled = true};
static const struct di_pipe_ops other_ops = {OPS, .pulled = false};

const struct di_pipe_ops *di_reconnect_ops(const struct di_pipe_ops *inner)
{
    return inner->pulled ? &pulled_ops : &other_ops;
}
