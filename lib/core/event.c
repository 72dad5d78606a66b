/* SPDX-License-Identifier: Apache-2.0 */
#include <duct/event.h>

#include "lib/core/context.h"
#include "lib/core/listener.h"
#include "lib/core/pipe.h"

/*
 * The event queue of a context. There is none, really: level-triggered events are read off the
 * pipes that are active. A pipe is active until it was looked at, found empty, and armed; from then
 * on it sleeps for free, and whatever wakes it puts it back. So a round costs as much as there is
 * to report, however many pipes are open.
 */

struct round {
    struct duct_event *events;
    size_t capacity;
    size_t count;
    bool spinning; /* a pipe does not want to sleep */
};

static bool full(const struct round *round)
{
    return round->count == round->capacity;
}

static void report(struct round *round, enum duct_event_type type, struct duct_pipe *pipe)
{
    if (full(round))
        return;
    round->events[round->count++] = (struct duct_event){
        .type = type, .state = pipe->state, .err = pipe->end, .pipe = pipe, .user = pipe->user};
}

/* Changes of state that were not told yet: most pipes have had one, one that reconnects several. */
static void report_changes(struct round *round, struct duct_pipe *pipe)
{
    while ((pipe->pending & DI_PENDING_STATE) && !full(round)) {
        enum duct_state state = pipe->state;
        enum duct_err why = pipe->end != DUCT_OK ? pipe->end : pipe->state_why;
        bool more = pipe->ops->change != NULL && pipe->ops->change(pipe, &state, &why);
        if (!more)
            pipe->pending &= ~(uint32_t)(DI_PENDING_STATE | DI_PENDING_CHANGE);
        if (pipe->watch & DUCT_WATCH_STATE)
            round->events[round->count++] = (struct duct_event){.type = DUCT_EVENT_STATE,
                                                                .state = state,
                                                                .err = why,
                                                                .pipe = pipe,
                                                                .user = pipe->user};
    }
}

unsigned di_pipe_wanted(const struct duct_pipe *pipe)
{
    unsigned want = 0;

    if ((pipe->watch & DUCT_WATCH_READABLE) && (pipe->can & DI_CAN_RECV))
        want |= DI_READY_RECV;
    if ((pipe->watch & DUCT_WATCH_WRITABLE) && (pipe->can & DI_CAN_SEND))
        want |= DI_READY_SEND;
    return want;
}

/* What an ended pipe has left to say: its messages first, then its end, once. */
static void report_end(struct round *round, struct duct_pipe *pipe)
{
    if ((pipe->can & DI_CAN_RECV) && pipe->ops->ready(pipe, DI_READY_RECV) != 0) {
        if (pipe->watch & DUCT_WATCH_READABLE)
            report(round, DUCT_EVENT_READABLE, pipe);
        else
            di_list_remove(&pipe->active);
        return;
    }
    if ((pipe->pending & DI_PENDING_END) && (pipe->watch & DUCT_WATCH_END)) {
        if (full(round))
            return;
        pipe->pending &= ~(uint32_t)DI_PENDING_END;
        report(round, pipe->end == DUCT_ECLOSED ? DUCT_EVENT_CLOSED : DUCT_EVENT_ERROR, pipe);
    }
    di_list_remove(&pipe->active);
}

/* With room for one of both, the other has its turn the next time: a reader of one event at a time, as
 * duct_context_run() is, sees each. */
static void report_ready(struct round *round, struct duct_pipe *pipe, unsigned ready)
{
    bool send_first = pipe->writable_first && (ready & DI_READY_SEND) != 0;

    if (send_first)
        report(round, DUCT_EVENT_WRITABLE, pipe);
    if (ready & DI_READY_RECV)
        report(round, DUCT_EVENT_READABLE, pipe);
    pipe->writable_first = !send_first && full(round);
    if (!send_first && (ready & DI_READY_SEND) != 0)
        report(round, DUCT_EVENT_WRITABLE, pipe);
}

static void report_pipe(struct round *round, struct duct_pipe *pipe)
{
    unsigned want = di_pipe_wanted(pipe);

    report_changes(round, pipe);
    if (pipe->pending & DI_PENDING_STATE)
        return;
    if (pipe->end != DUCT_OK) {
        report_end(round, pipe);
        return;
    }
    unsigned ready = pipe->ops->ready(pipe, want);
    if (ready == 0 && pipe->wait == DUCT_WAIT_SPIN) {
        round->spinning = true;
        return;
    }
    enum duct_err err = DUCT_OK;
    if (ready == 0 && (ready = pipe->ops->arm(pipe, want, false, &err)) == 0 && err == DUCT_OK &&
        pipe->end == DUCT_OK && !di_pipe_has_news(pipe)) {
        di_list_remove(&pipe->active);
        return;
    }
    if (pipe->end != DUCT_OK || di_pipe_has_news(pipe)) {
        /* Found just now, by looking: its news come in their order. */
        report_pipe(round, pipe);
        return;
    }
    report_ready(round, pipe, ready);
}

static void collect_listeners(struct duct_context *context, struct round *round)
{
    for (struct di_list *at = context->listeners.next; at != &context->listeners && !full(round);
         at = at->next) {
        struct duct_listener *listener = di_container(at, struct duct_listener, link);
        if (listener->ops->ready(listener))
            round->events[round->count++] = (struct duct_event){
                .type = DUCT_EVENT_ACCEPTED, .listener = listener, .user = listener->user};
    }
}

/* One look at every active pipe; those left over when the room ends come first the next time. */
static void collect_pipes(struct duct_context *context, struct round *round)
{
    struct di_list turn;

    di_list_init(&turn);
    di_list_splice(&turn, &context->active);
    while (!di_list_empty(&turn) && !full(round)) {
        struct duct_pipe *pipe = di_container(turn.next, struct duct_pipe, active);
        di_list_remove(&pipe->active);
        di_list_append(&context->active, &pipe->active);
        report_pipe(round, pipe);
    }
    di_list_splice(&turn, &context->active);
    di_list_splice(&context->active, &turn);
}

/* In turns, so that neither a listener nobody accepts from nor a pipe nobody reads fills all the
 * room there is every time. */
static void collect(struct duct_context *context, struct round *round)
{
    context->pipes_first = !context->pipes_first;
    if (context->pipes_first)
        collect_pipes(context, round);
    collect_listeners(context, round);
    if (!context->pipes_first)
        collect_pipes(context, round);
}

/* The kernel's turn: news that are there, or sleep until there are some. */
static enum duct_err pause_round(struct duct_context *context, const struct round *round,
                                 int64_t deadline)
{
    if (!round->spinning)
        return di_context_sleep(context, deadline);
    di_context_glance(context);
    return deadline != INT64_MAX && di_io_now(context->io) >= deadline ? DUCT_ETIMEOUT : DUCT_OK;
}

enum duct_err duct_context_wait(struct duct_context *context, struct duct_event *events,
                                size_t capacity, size_t *count, int64_t timeout_ns)
{
    enum duct_err err = di_context_check(context);

    if (err != DUCT_OK)
        return err;
    if (events == NULL || capacity == 0 || count == NULL || timeout_ns < 0)
        return di_fail(DUCT_EINVAL,
                       "duct_context_wait: expected room for events, a place for their "
                       "count, and a timeout that is not negative");
    if (context->running)
        return di_fail(DUCT_EINVAL, "duct_context_wait was called inside a callback");
    int64_t deadline = timeout_ns == 0              ? 0
                       : timeout_ns == DUCT_FOREVER ? INT64_MAX
                                                    : di_context_deadline(context, timeout_ns);
    struct round round = {.events = events, .capacity = capacity};
    *count = 0;
    bool looked = false;
    /* News of pipes that sleep must not starve while others are busy. */
    if (di_context_busy(context))
        di_context_turn(context);
    while (err == DUCT_OK) {
        round.spinning = false;
        collect(context, &round);
        if (round.count > 0 || di_request_take(&context->woken))
            break;
        if (deadline != 0) {
            if (di_request_take(&context->cancel))
                err = DUCT_ECANCELED;
            else if (looked && di_context_over(context, deadline))
                err = DUCT_ETIMEOUT;
            else
                err = pause_round(context, &round, deadline);
            looked = true;
        } else if (looked) {
            err = DUCT_EAGAIN;
        } else {
            err = di_context_sleep(context, 0);
            err = err == DUCT_EAGAIN ? DUCT_OK : err;
            looked = true;
        }
    }
    di_context_signal(context);
    *count = round.count;
    return err;
}

static duct_event_fn *callback_for(const struct duct_context *context, enum duct_event_type type)
{
    if (type == DUCT_EVENT_STATE)
        return context->on_state_change;
    return type == DUCT_EVENT_ERROR ? context->on_error : context->on_event;
}

enum duct_err duct_context_run(struct duct_context *context, int64_t timeout_ns)
{
    struct duct_event event;
    size_t count;
    enum duct_err err = di_context_check(context);

    if (err != DUCT_OK)
        return err;
    if (context->on_event == NULL)
        return di_fail(DUCT_EINVAL, "duct_context_run: the context was opened without on_event");
    /* One at a time: a callback may close any pipe, also one that had an event coming. */
    err = duct_context_wait(context, &event, 1, &count, timeout_ns);
    if (err == DUCT_OK && count == 1) {
        context->running = true;
        callback_for(context, event.type)(context->user, &event);
        context->running = false;
    }
    return err;
}
