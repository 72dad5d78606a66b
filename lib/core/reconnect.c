/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/core/reconnect.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/log.h"
#include "lib/base/random.h"

/* Sessions: dialled, lost, swapped; contexts; the end. */

static void want_settling(struct di_reconnect *self)
{
    if (!di_list_linked(&self->chore.link))
        di_list_append(&self->pipe.context->chores, &self->chore.link);
}

/* ---- What is reported ---- */

static void note_change(struct di_reconnect *self)
{
    unsigned at = (self->change_first + self->change_count) % DI_RECONNECT_CHANGES;

    self->pipe.state = self->session.state;
    self->pipe.state_why = self->session.cause;
    self->changes[at].state = self->session.state;
    self->changes[at].why = self->session.cause;
    if (self->change_count < DI_RECONNECT_CHANGES)
        self->change_count++;
    else
        self->change_first = (self->change_first + 1) % DI_RECONNECT_CHANGES;
    di_pipe_changed(&self->pipe);
    di_io_wake(self->pipe.context->io);
}

/* It is over for good. What the last inner pipe still has can be received. */
static void end(struct di_reconnect *self)
{
    enum duct_err cause = self->session.cause;

    note_change(self);
    di_pipe_end_quietly(&self->pipe, cause);
    self->pipe.state = DUCT_STATE_CLOSED;
}

/* ---- Inner pipes ---- */

/* Takes a pipe off its context's lists: from now on it is known to us alone. */
static void make_inner(struct di_reconnect *self, struct di_inner *inner, struct duct_pipe *pipe)
{
    /* One that ended before it was ours told nobody. */
    if (pipe->end != DUCT_OK)
        want_settling(self);
    di_list_remove(&pipe->active);
    di_list_remove(&pipe->link);
    pipe->outer = &self->pipe;
    inner->pipe = pipe;
    di_list_append(&self->inners, &inner->link);
    self->now = inner;
    self->pipe.ops = di_reconnect_ops(pipe->ops);
    /* How it waits depends on what it is, where auto:// chose. */
    self->pipe.wait = pipe->wait;
    self->pipe.spin_ns = pipe->spin_ns;

    /* What auto:// chose is counted over all sessions. */
    self->pipe.choice.shared += pipe->choice.shared;
    self->pipe.choice.streams += pipe->choice.streams;
    memcpy(self->pipe.choice.why, pipe->choice.why, sizeof(pipe->choice.why));

    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    pipe->ops->info(pipe, &info);
    self->max_send = (size_t)info.max_send;
}

/* Its counters live on. */
static void close_inner(struct di_reconnect *self, struct di_inner *inner, uint32_t code,
                        const char *text)
{
    struct duct_pipe_stats all = DUCT_PIPE_STATS_INIT;

    inner->pipe->ops->stats(inner->pipe, &all);
    di_reconnect_add_stats(&self->past, &all);
    di_list_remove(&inner->link);
    di_pipe_unlink(inner->pipe);
    inner->pipe->ops->close(inner->pipe, code, text);
    free(inner);
}

void di_reconnect_drop(struct di_reconnect *self, struct di_inner *inner)
{
    if (inner == self->now || inner == self->last || inner->loans > 0)
        return;
    close_inner(self, inner, 0, "");
}

/* What an ended pipe still has will not be received any more: counted. */
static void give_up_messages(struct di_reconnect *self, struct di_inner *inner)
{
    struct duct_msg msg;

    while (inner->pipe->ops->recv(inner->pipe, &msg) == DUCT_OK) {
        self->lost_in++;
        enum duct_err ignored = duct_msg_release(&msg);
        (void)ignored;
    }
}

static void forget_last(struct di_reconnect *self)
{
    struct di_inner *last = self->last;

    self->last = NULL;
    if (last == NULL)
        return;
    give_up_messages(self, last);
    di_reconnect_drop(self, last);
}

/* ---- The session ---- */

static void lost(struct di_reconnect *self, int64_t now)
{
    struct di_inner *gone = self->now;
    enum duct_err why = gone->pipe->end;
    uint64_t untaken = gone->pipe->ops->untaken(gone->pipe);

    self->lost_out += untaken;
    di_session_lost(&self->session, why, now);
    if (self->session.state == DUCT_STATE_CLOSED) {
        end(self);
        return;
    }
    di_log(DUCT_LOG_INFO,
           "%s://%s: the peer was lost (%s), with up to %llu messages; dialling again",
           self->url.scheme, self->url.rest, duct_err_text(why), (unsigned long long)untaken);
    /* One that was lost has messages, but not two. */
    forget_last(self);
    self->now = NULL;
    self->last = gone;
    note_change(self);
}

static void attempt_failed(struct di_reconnect *self, enum duct_err err, int64_t now)
{
    if (self->dial != NULL)
        self->transport->dial_ops->close(self->dial);
    self->dial = NULL;
    self->dial_failed = err;
    di_log(DUCT_LOG_DEBUG, "%s://%s: attempt %u: %s", self->url.scheme, self->url.rest,
           self->session.attempts, duct_err_detail());
    di_session_failed(&self->session, err, now);
    if (self->session.state == DUCT_STATE_CLOSED)
        end(self);
    else
        note_change(self);
}

static void begin_attempt(struct di_reconnect *self, int64_t now)
{
    enum duct_err err =
        self->transport->dial(self->pipe.context, &self->url, &self->options, &self->dial);

    if (err != DUCT_OK) {
        self->dial = NULL;
        attempt_failed(self, err, now);
    }
}

/* Asks the dial how far it is. */
static void poll_attempt(struct di_reconnect *self, int64_t now)
{
    struct duct_pipe *made = NULL;
    enum duct_err err = self->transport->dial_ops->poll(self->dial, &made);

    if (err == DUCT_EAGAIN)
        return;
    struct di_inner *inner = err == DUCT_OK ? calloc(1, sizeof(*inner)) : NULL;
    if (err == DUCT_OK && inner == NULL) {
        err = di_fail(DUCT_ENOMEMORY, "no memory for a session");
        di_pipe_unlink(made);
        made->ops->close(made, 0, "");
    }
    if (err != DUCT_OK) {
        attempt_failed(self, err, now);
        return;
    }
    make_inner(self, inner, made);
    self->transport->dial_ops->close(self->dial);
    self->dial = NULL;
    di_session_connected(&self->session, now);
    note_change(self);
}

/* By the clock. */
static void look_at_clock(struct di_reconnect *self, int64_t now)
{
    switch (di_session_due(&self->session, now)) {
    case DI_SESSION_NOTHING:
        break;
    case DI_SESSION_DIAL:
        note_change(self);
        begin_attempt(self, now);
        break;
    case DI_SESSION_ABANDON:
        attempt_failed(self,
                       di_fail(DUCT_ETIMEOUT, "dial %s://%s: no answer in time", self->url.scheme,
                               self->url.rest),
                       now);
        break;
    }
}

/* One timer, for the deadline there is. One that fires early does no harm: it is set anew. */
static void set_timer(struct di_reconnect *self)
{
    struct di_io *io = self->pipe.context->io;
    int64_t deadline = self->session.deadline;

    if (self->timer.in_flight) {
        if (deadline < self->timer.deadline)
            di_io_cancel(io, &self->timer);
        return;
    }
    if (deadline == INT64_MAX)
        return;
    self->timer.deadline = deadline;
    di_io_submit(io, &self->timer);
}

void di_reconnect_inner_ended(struct duct_pipe *outer)
{
    want_settling(di_reconnect_of(outer));
}

void di_reconnect_settle(struct di_reconnect *self)
{
    if (self->busy > 0 || self->closing)
        return;
    self->busy++;
    di_list_remove(&self->chore.link);
    int64_t now = di_io_now(self->pipe.context->io);
    if (self->pipe.end == DUCT_OK) {
        if (self->now != NULL && self->now->pipe->end != DUCT_OK)
            lost(self, now);
        /* One that was moved to another context dials anew. */
        if (self->dial == NULL && self->session.state == DUCT_STATE_RECONNECTING)
            begin_attempt(self, now);
        if (self->dial != NULL)
            poll_attempt(self, now);
        look_at_clock(self, now);
        if (self->now != NULL && self->pipe.end == DUCT_OK)
            di_reconnect_send_kept(self);
        set_timer(self);
    }
    /* A dial says nothing by itself: it is asked in every turn of the loop. */
    if (self->dial != NULL)
        want_settling(self);
    self->busy--;
}

static void run_chore(struct di_chore *chore)
{
    di_reconnect_settle(di_container(chore, struct di_reconnect, chore));
}

/* ---- Contexts ---- */

static void free_self(struct di_reconnect *self)
{
    di_options_fini(&self->options);
    di_pipe_free(&self->pipe);
}

static void on_timer(struct di_io_op *op, int result)
{
    struct di_reconnect *self = di_container(op, struct di_reconnect, timer);

    (void)result;
    if (self->closed)
        free_self(self);
    else if (!self->closing)
        want_settling(self);
}

void di_reconnect_adopted(struct duct_pipe *pipe)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    for (struct di_list *at = self->inners.next; at != &self->inners; at = at->next) {
        struct duct_pipe *inner = di_container(at, struct di_inner, link)->pipe;
        inner->ops->adopted(inner);
    }
}

void di_reconnect_detach(struct duct_pipe *pipe)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    self->busy++;
    for (struct di_list *at = self->inners.next; at != &self->inners; at = at->next) {
        struct duct_pipe *inner = di_container(at, struct di_inner, link)->pipe;
        inner->ops->detach(inner);
    }
    if (self->dial != NULL)
        self->transport->dial_ops->close(self->dial);
    self->dial = NULL;
    di_io_cancel(pipe->context->io, &self->timer);
    while (self->timer.in_flight) {
        if (di_io_wait(pipe->context->io, INT64_MAX) == DUCT_EOS)
            break;
    }
    di_list_remove(&self->chore.link);
    self->busy--;
}

void di_reconnect_attach(struct duct_pipe *pipe)
{
    struct di_reconnect *self = di_reconnect_of(pipe);

    for (struct di_list *at = self->inners.next; at != &self->inners; at = at->next) {
        struct duct_pipe *inner = di_container(at, struct di_inner, link)->pipe;
        inner->context = pipe->context;
        inner->ops->attach(inner);
    }
    want_settling(self);
}

/* ---- Opened and closed ---- */

static void begin(struct di_reconnect *self, const struct di_options *options, int64_t began)
{
    const struct di_session_rules rules = {.first_ns = options->o.pause_ns,
                                           .most_ns = options->o.pause_max_ns,
                                           .attempt_ns = options->o.dial_ns,
                                           .attempts_max = options->o.attempts_max};

    di_session_begin(&self->session, &rules, di_random_u64(), began);
    note_change(self);
    di_session_connected(&self->session, di_io_now(self->pipe.context->io));
    note_change(self);
    /* Every pipe begins so: who only receives need not ask for it. */
    self->pipe.pending &= ~(uint32_t)DI_PENDING_CHANGE;
}

enum duct_err di_reconnect_open(struct duct_pipe **outer, struct duct_pipe *made,
                                const struct di_transport *transport, const struct di_url *url,
                                const struct di_options *options, int64_t began)
{
    struct di_inner *inner = calloc(1, sizeof(*inner));
    struct di_options copy;
    struct di_reconnect *self = NULL;

    if (inner == NULL || di_options_copy(&copy, options) != DUCT_OK) {
        free(inner);
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe that reconnects");
    }
    self = (struct di_reconnect *)di_pipe_alloc(sizeof(*self), made->context,
                                                di_reconnect_ops(made->ops), &options->o);
    if (self == NULL) {
        free(inner);
        di_options_fini(&copy);
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe that reconnects");
    }
    self->transport = transport;
    self->url = *url;
    self->options = copy;
    /* Attempts have pauses of their own to wait in. */
    self->options.o.wait_for_listener = DUCT_NO;
    self->chore.run = run_chore;
    self->timer = (struct di_io_op){.done = on_timer, .kind = DI_IO_TIMER};
    di_list_init(&self->inners);
    di_list_init(&self->queue);
    make_inner(self, inner, made);
    begin(self, options, began);
    *outer = &self->pipe;
    return DUCT_OK;
}

void di_reconnect_close(struct duct_pipe *pipe, uint32_t code, const char *text)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_context *context = pipe->context;

    self->closing = true;
    di_list_remove(&self->chore.link);
    if (self->dial != NULL)
        self->transport->dial_ops->close(self->dial);
    di_reconnect_loans_fini(self);
    di_reconnect_out_fini(self);
    while (!di_list_empty(&self->inners))
        close_inner(self, di_container(self->inners.next, struct di_inner, link), code, text);
    if (!self->timer.in_flight) {
        free_self(self);
        return;
    }
    self->closed = true;
    di_io_cancel(context->io, &self->timer);
    if (di_context_reap(context) == DUCT_EOS)
        di_log(DUCT_LOG_ERROR,
               "the context's loop failed; a closed pipe stays until it is closed too");
}
