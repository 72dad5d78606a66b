/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/core/pipe.h"

#include <string.h>

#include "lib/base/log.h"
#include "lib/base/system.h"
#include "lib/base/wiped.h"
#include "lib/core/reconnect.h"

/*
 * The life of a pipe: dial, split, move, end, close; and what can be asked about it.
 *
 * Edges of this file, observed in context.h:
 *   [request]  what the caller did before, flag stored with release | flag exchanged with acquire
 */

struct duct_pipe *di_pipe_alloc(size_t size, struct duct_context *context,
                                const struct di_pipe_ops *ops, const struct duct_options *options)
{
    struct duct_pipe *pipe = di_wiped_alloc(size);

    if (pipe == NULL)
        return NULL;
    pipe->ops = ops;
    pipe->context = context;
    pipe->can = DI_CAN_SEND | DI_CAN_RECV;
    pipe->wait = options->wait;
    pipe->spin_ns = options->spin_ns;
    pipe->linger_ns = options->linger_ns;
    pipe->user = options->user;
    pipe->state = DUCT_STATE_CONNECTED;
    pipe->watch = DUCT_WATCH_READABLE | DUCT_WATCH_STATE | DUCT_WATCH_END;
    pipe->pending = DI_PENDING_STATE;
    pipe->bytes = size;
    di_list_init(&pipe->active);
    di_list_append(&context->pipes, &pipe->link);
    di_pipe_activate(pipe);
    pipe->magic = DI_PIPE_MAGIC;
    /* It is not armed yet: whoever polls the context's descriptor is to come and look. */
    di_context_signal(context);
    return pipe;
}

struct duct_options di_pipe_options(const struct duct_pipe *pipe)
{
    return (struct duct_options){.size = sizeof(struct duct_options),
                                 .wait = pipe->wait,
                                 .spin_ns = pipe->spin_ns,
                                 .linger_ns = pipe->linger_ns,
                                 .user = pipe->user};
}

void di_pipe_unlink(struct duct_pipe *pipe)
{
    pipe->magic = DI_LIVE_CLOSED;
    di_list_remove(&pipe->active);
    di_list_remove(&pipe->link);
}

void di_pipe_free(struct duct_pipe *pipe)
{
#ifdef NDEBUG
    di_wiped_free(pipe, pipe->bytes);
#else
    /* Debug builds keep the page, so that a use after close is told by name and not by a crash. */
    (void)pipe;
#endif
}

enum duct_err di_pipe_check_slow(struct duct_pipe *pipe, unsigned can)
{
    if (pipe == NULL)
        return di_fail(DUCT_EINVAL, "no pipe was given");
    if (pipe->magic == DI_LIVE_CLOSED)
        return di_fail(DUCT_EINVAL, "the pipe was used after it was closed, moved into halves by "
                                    "duct_pipe_split(), or freed");
    if (pipe->magic == 0)
        return di_fail(DUCT_ECLOSED,
                       "the pipe belongs to the parent of this process; open a new one "
                       "after fork()");
    if (pipe->magic != DI_PIPE_MAGIC)
        return di_fail(DUCT_EINVAL, "this is not a pipe");
    if (pipe->end == DUCT_ECORRUPT)
        return pipe->end;
    if ((pipe->can & can) != can)
        return di_fail(DUCT_EINVAL, "this is the half of a split pipe that only %s",
                       pipe->can == DI_CAN_SEND ? "sends" : "receives");
    return di_fail(DUCT_EINVAL,
                   "the pipe belongs to another thread's context; hand the context over with "
                   "duct_context_adopt(), or split the pipe");
}

/* The text of other ends was given when they came, by the call that found them. */
enum duct_err di_pipe_ended(struct duct_pipe *pipe)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    if (pipe->end != DUCT_EPEER)
        return pipe->end;
    pipe->ops->info(pipe, &info);
    return di_fail(DUCT_EPEER, "%s",
                   info.close_text[0] != '\0' ? info.close_text : duct_err_text(DUCT_EPEER));
}

void di_pipe_chosen(struct duct_pipe *pipe, bool shared, const char *why)
{
    struct di_choice *choice = &pipe->choice;

    *(shared ? &choice->shared : &choice->streams) += 1;
    di_text_clean(choice->why, sizeof(choice->why), why, strlen(why));
    di_log(DUCT_LOG_INFO, "auto:// took %s: %s", shared ? "shared memory" : "a stream",
           choice->why);
}

void di_pipe_activate_outer(struct duct_pipe *pipe)
{
    di_pipe_activate(pipe->outer);
}

void di_pipe_changed(struct duct_pipe *pipe)
{
    pipe->pending |= DI_PENDING_STATE | DI_PENDING_CHANGE;
    di_pipe_activate(pipe);
}

void di_pipe_end_quietly(struct duct_pipe *pipe, enum duct_err why)
{
    pipe->end = why;
    pipe->state = why == DUCT_ECLOSED ? DUCT_STATE_CLOSED : DUCT_STATE_DISCONNECTED;
    pipe->pending |= DI_PENDING_STATE | DI_PENDING_END;
    di_pipe_activate(pipe);
    /* Nothing more is read of such a peer, nor sent to it. */
    if (why == DUCT_ECORRUPT)
        pipe->can = 0;
}

void di_pipe_end(struct duct_pipe *pipe, enum duct_err why)
{
    if (pipe->end != DUCT_OK)
        return;
    di_pipe_end_quietly(pipe, why);
    if (why == DUCT_ECORRUPT)
        di_log(DUCT_LOG_WARN, "a pipe was closed because its peer broke the protocol: %s",
               duct_err_detail());
    if (pipe->outer != NULL)
        di_reconnect_inner_ended(pipe->outer);
}

/* Runs the context until the dial is through, it failed, or its time is over. */
static enum duct_err dial_wait(struct duct_context *context, const struct di_transport *transport,
                               void *dial, const char *url, int64_t timeout_ns,
                               struct duct_pipe **pipe)
{
    int64_t deadline =
        timeout_ns == DUCT_FOREVER ? INT64_MAX : di_context_deadline(context, timeout_ns);

    for (bool slept = false;; slept = true) {
        enum duct_err err = transport->dial_ops->poll(dial, pipe);
        if (err != DUCT_EAGAIN)
            return err;
        err = slept && di_context_over(context, deadline) ? DUCT_ETIMEOUT
                                                          : di_context_sleep(context, deadline);
        if (err == DUCT_ETIMEOUT)
            return di_fail(err,
                           "dial %s: no answer within %lld ms; is the listener running its loop? "
                           "The option timeout waits longer",
                           url, (long long)(timeout_ns / DUCT_MILLISECOND));
        if (err != DUCT_OK)
            return err;
    }
}

/* The pipe becomes one that dials again; or none, if there is no memory for that. */
static enum duct_err reconnecting(struct duct_pipe **pipe, const struct di_transport *transport,
                                  const struct di_url *url, const struct di_options *options,
                                  int64_t began)
{
    struct duct_pipe *made = *pipe;
    enum duct_err err = di_reconnect_open(pipe, made, transport, url, options, began);

    if (err != DUCT_OK) {
        di_pipe_unlink(made);
        made->ops->close(made, 0, "");
    }
    return err;
}

enum duct_err duct_dial(struct duct_pipe **pipe, const char *url,
                        const struct duct_options *options)
{
    struct duct_context *context = options != NULL && options->size >= 16 ? options->context : NULL;
    struct di_options merged;
    struct duct_pipe *made;
    struct di_url parsed;
    void *dial;
    enum duct_err err;

    if (pipe == NULL || url == NULL)
        return di_fail(DUCT_EINVAL, "duct_dial: %s is NULL", url == NULL ? "url" : "pipe");
    if ((err = di_context_resolve(&context)) != DUCT_OK)
        return err;
    if (context->running)
        return di_fail(DUCT_EINVAL, "duct_dial waits, and was called inside a callback");
    if ((err = di_url_parse(&parsed, url)) != DUCT_OK)
        return err;
    const struct di_transport *transport = di_transport_find(parsed.scheme);
    if (transport == NULL)
        return di_fail(DUCT_EINVAL, "dial %s: no scheme \"%s\"; expected one of %s", url,
                       parsed.scheme, di_transport_names());
    if ((err = di_options_merge(&merged, options, &parsed,
                                transport->costly_looks ? 1 : di_cpus())) != DUCT_OK)
        return err;
    int64_t began = di_io_now(context->io);
    err = transport->dial(context, &parsed, &merged, &dial);
    if (err == DUCT_OK) {
        err = dial_wait(context, transport, dial, url, merged.o.dial_ns, &made);
        transport->dial_ops->close(dial);
        if (err == DUCT_OK && merged.o.reconnect == DUCT_YES)
            err = reconnecting(&made, transport, &parsed, &merged, began);
        di_context_signal(context);
    }
    if (err == DUCT_OK)
        *pipe = made;
    di_options_fini(&merged);
    return err;
}

enum duct_err duct_pipe_split(struct duct_pipe *pipe, struct duct_context *sender_context,
                              struct duct_context *receiver_context, struct duct_pipe **sender,
                              struct duct_pipe **receiver)
{
    enum duct_err err = di_pipe_check(pipe, DI_CAN_SEND | DI_CAN_RECV);

    if (err != DUCT_OK)
        return err;
    if (sender == NULL || receiver == NULL)
        return di_fail(DUCT_EINVAL, "duct_pipe_split: no place for the halves");
    if (sender_context == NULL || sender_context->magic != DI_CONTEXT_MAGIC ||
        receiver_context == NULL || receiver_context->magic != DI_CONTEXT_MAGIC)
        return di_fail(DUCT_EINVAL, "duct_pipe_split: each half needs an open context");
    if (pipe->end != DUCT_OK)
        return pipe->end;
    struct duct_pipe *halves[2];
    const struct di_choice choice = pipe->choice;
    if ((err = pipe->ops->split(pipe, &halves[0], &halves[1])) != DUCT_OK)
        return err;
    halves[0]->choice = halves[1]->choice = choice;
    if ((err = duct_pipe_move(halves[0], sender_context)) == DUCT_OK)
        err = duct_pipe_move(halves[1], receiver_context);
    if (err != DUCT_OK) {
        duct_pipe_close(halves[0]);
        duct_pipe_close(halves[1]);
        return err;
    }
    *sender = halves[0];
    *receiver = halves[1];
    return DUCT_OK;
}

enum duct_err duct_pipe_move(struct duct_pipe *pipe, struct duct_context *context)
{
    enum duct_err err = di_pipe_check(pipe, 0);

    if (err != DUCT_OK)
        return err;
    if (context == NULL || context->magic != DI_CONTEXT_MAGIC)
        return di_fail(DUCT_EINVAL, "duct_pipe_move: not an open context");
    if (context == pipe->context)
        return DUCT_OK;
    pipe->ops->detach(pipe);
    di_list_remove(&pipe->active);
    di_list_remove(&pipe->link);
    pipe->context = context;
    di_list_append(&context->pipes, &pipe->link);
    di_pipe_activate(pipe);
    pipe->ops->attach(pipe);
    di_context_signal(context);
    return DUCT_OK;
}

/* Waits for what the peer does, until the deadline. False: it did not, or the pipe has ended. */
static bool outwait(struct duct_pipe *pipe, unsigned want, int64_t deadline)
{
    enum duct_err err = DUCT_OK;

    while (pipe->end == DUCT_OK && pipe->ops->arm(pipe, want, false, &err) == 0) {
        if (err != DUCT_OK || di_context_sleep(pipe->context, deadline) != DUCT_OK ||
            di_context_over(pipe->context, deadline))
            return false;
    }
    return pipe->end == DUCT_OK;
}

/* Lets the peer take what was sent, and then the good-bye, within the time given. */
static void linger(struct duct_pipe *pipe, uint32_t code, const char *text, int64_t linger_ns)
{
    int64_t deadline = di_context_deadline(pipe->context, linger_ns);

    /* A peer that consumes says so at the latest when it finds nothing more. */
    if (outwait(pipe, DI_READY_DRAINED, deadline) && pipe->ops->part != NULL &&
        pipe->ops->part(pipe, code, text))
        (void)outwait(pipe, DI_READY_PARTED, deadline);
}

void duct_pipe_close_with(struct duct_pipe *pipe, uint32_t code, const char *text,
                          int64_t linger_ns)
{
    if (pipe == NULL || di_pipe_check(pipe, 0) != DUCT_OK)
        return;
    text = text != NULL ? text : "";
    if (linger_ns > 0 && (pipe->can & DI_CAN_SEND) && !pipe->context->running)
        linger(pipe, code, text, linger_ns);
    di_pipe_unlink(pipe);
    pipe->ops->close(pipe, code, text);
}

void duct_pipe_close(struct duct_pipe *pipe)
{
    duct_pipe_close_with(pipe, 0, NULL, pipe != NULL ? pipe->linger_ns : 0);
}

void duct_pipe_cancel(struct duct_pipe *pipe)
{
    /* [request] publishes: what the caller did before it cancelled. */
    atomic_store_explicit(&pipe->cancel, 1, memory_order_release);
    di_io_wake(pipe->context->io);
}

enum duct_err duct_pipe_fd(struct duct_pipe *pipe, int *fd)
{
    enum duct_err err = di_pipe_check(pipe, DI_CAN_RECV);

    if (err != DUCT_OK)
        return err;
    if (fd == NULL)
        return di_fail(DUCT_EINVAL, "duct_pipe_fd: no place for the descriptor");
    return pipe->ops->fd(pipe, fd);
}

enum duct_err duct_pipe_watch(struct duct_pipe *pipe, uint32_t mask)
{
    enum duct_err err = di_pipe_check(pipe, 0);

    if (err != DUCT_OK)
        return err;
    if (mask &
        ~(uint32_t)(DUCT_WATCH_READABLE | DUCT_WATCH_WRITABLE | DUCT_WATCH_STATE | DUCT_WATCH_END))
        return di_fail(DUCT_EINVAL, "duct_pipe_watch: mask %#x has unknown bits", mask);
    pipe->watch = mask;
    di_pipe_activate(pipe);
    di_context_signal(pipe->context);
    return DUCT_OK;
}

enum duct_err duct_pipe_set_waiting(struct duct_pipe *pipe, const struct duct_waiting *waiting)
{
    enum duct_err err = di_pipe_check(pipe, 0);

    if (err != DUCT_OK)
        return err;
    if (waiting == NULL || (unsigned)waiting->wait > DUCT_WAIT_PARK ||
        (unsigned)waiting->bell > DUCT_BELL_SOCKET || (unsigned)waiting->fence > DUCT_FENCE_SLEEPER)
        return di_fail(DUCT_EINVAL, "duct_pipe_set_waiting: a value is outside of its enum");
    if ((err = pipe->ops->set_waiting(pipe, waiting)) != DUCT_OK)
        return err;
    pipe->wait = waiting->wait == DUCT_WAIT_DEFAULT ? DUCT_WAIT_SPIN_PARK : waiting->wait;
    pipe->spin_ns = waiting->spin_ns > 0 ? waiting->spin_ns : 0;
    di_pipe_activate(pipe);
    di_context_signal(pipe->context);
    return DUCT_OK;
}

enum duct_err duct_pipe_info(struct duct_pipe *pipe, struct duct_pipe_info *info)
{
    struct duct_pipe_info all = DUCT_PIPE_INFO_INIT;
    enum duct_err err = di_pipe_check(pipe, 0);

    if (err != DUCT_OK)
        return err;
    if (info == NULL || info->size < sizeof(info->size))
        return di_fail(DUCT_EINVAL, "duct_pipe_info: start from DUCT_PIPE_INFO_INIT");
    pipe->ops->look(pipe);
    all.state = pipe->state;
    all.end = pipe->end;
    all.scheme = pipe->ops->scheme;
    memcpy(all.choice, pipe->choice.why, sizeof(all.choice));
    pipe->ops->info(pipe, &all);
    all.size = info->size < sizeof(all) ? info->size : sizeof(all);
    memcpy(info, &all, all.size);
    return DUCT_OK;
}

enum duct_err duct_pipe_stats(struct duct_pipe *pipe, struct duct_pipe_stats *stats)
{
    struct duct_pipe_stats all = DUCT_PIPE_STATS_INIT;
    enum duct_err err = di_pipe_check(pipe, 0);

    if (err != DUCT_OK)
        return err;
    if (stats == NULL || stats->size < sizeof(stats->size))
        return di_fail(DUCT_EINVAL, "duct_pipe_stats: start from DUCT_PIPE_STATS_INIT");
    all.chose_shared = pipe->choice.shared;
    all.chose_stream = pipe->choice.streams;
    pipe->ops->stats(pipe, &all);
    all.size = stats->size < sizeof(all) ? stats->size : sizeof(all);
    memcpy(stats, &all, all.size);
    return DUCT_OK;
}

void duct_pipe_set_user(struct duct_pipe *pipe, void *user)
{
    pipe->user = user;
}

void *duct_pipe_user(const struct duct_pipe *pipe)
{
    return pipe->user;
}
