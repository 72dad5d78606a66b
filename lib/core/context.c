/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/core/context.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <duct/listener.h>
#include <duct/pipe.h>

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/system.h"
#include "lib/base/wiped.h"
#include "lib/core/listener.h"
#include "lib/core/pipe.h"
#include "lib/core/sweep.h"

/*
 * Contexts: opening, closing, ownership, and what other threads ask of them. Waiting for events is
 * in event.c, for one pipe in wait.c.
 *
 * Edges of this file:
 *   [post]     nodes pushed, posted stored with release  | posted exchanged, stack taken
 *   [queued]   node popped, queued cleared with release  | queued exchanged, node pushed
 *   [request]  what the caller did before, flag stored with release | flag exchanged (context.h)
 */

static enum duct_err open_auto(struct di_io **io)
{
    if (di_io_uring_available() && di_io_open(io, &di_io_uring) == DUCT_OK)
        return DUCT_OK;
    return di_io_open(io, &di_io_epoll);
}

/* Opens the backend that was asked for; AUTO takes DUCT_IO, then io_uring, then epoll. */
static enum duct_err open_io(struct di_io **io, enum duct_io wanted)
{
    const char *named = getenv("DUCT_IO");

    if (wanted == DUCT_IO_AUTO && named != NULL && *named != '\0') {
        if (strcmp(named, "uring") == 0)
            wanted = DUCT_IO_URING;
        else if (strcmp(named, "epoll") == 0)
            wanted = DUCT_IO_EPOLL;
        else if (strcmp(named, "sqpoll") == 0)
            wanted = DUCT_IO_SQPOLL;
        else
            return di_fail(DUCT_EINVAL,
                           "DUCT_IO=%s: expected uring, sqpoll or epoll, or to be unset", named);
    }
    switch (wanted) {
    case DUCT_IO_SQPOLL:
        if (di_io_open(io, &di_io_sqpoll) == DUCT_OK)
            return DUCT_OK;
        di_log(DUCT_LOG_WARN, "no io_uring with a thread of the kernel's (SQPOLL), so without: %s",
               duct_err_detail());
        return open_auto(io);
    case DUCT_IO_URING:
        return di_io_open(io, &di_io_uring);
    case DUCT_IO_EPOLL:
        return di_io_open(io, &di_io_epoll);
    case DUCT_IO_AUTO:
        return open_auto(io);
    }
    return di_fail(DUCT_EINVAL, "io=%d: expected a value of enum duct_io", wanted);
}

/* What of the options the caller knew of, over the defaults. */
static enum duct_err read_options(struct duct_context_options *o,
                                  const struct duct_context_options *given)
{
    if (given == NULL)
        return DUCT_OK;
    if (given->size < sizeof(given->size) + sizeof(given->io))
        return di_fail(DUCT_EINVAL,
                       "duct_context_open: options.size is %zu; start from "
                       "DUCT_CONTEXT_OPTIONS_INIT",
                       given->size);
    memcpy(o, given, given->size < sizeof(*o) ? given->size : sizeof(*o));
    if (o->spin_ns < 0 || o->spin_ns > DUCT_CONTEXT_SPIN_MAX)
        return di_fail(DUCT_EINVAL,
                       "duct_context_open: spin_ns is %lld; expected nanoseconds, at most %lld",
                       (long long)o->spin_ns, (long long)DUCT_CONTEXT_SPIN_MAX);
    return DUCT_OK;
}

enum duct_err di_context_open_over(struct duct_context **context, struct di_io *io,
                                   const struct duct_context_options *options)
{
    struct duct_context *made = di_wiped_alloc(sizeof(*made));

    if (made == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a context");
    made->io = io;
    di_io_spin(io, options->spin_ns);
    atomic_init(&made->thread, di_thread_self());
    di_list_init(&made->pipes);
    di_list_init(&made->listeners);
    di_list_init(&made->active);
    di_list_init(&made->chores);
    di_sweep_init(made);
    di_stack_init(&made->posts);
    made->on_event = options->on_event;
    made->on_state_change =
        options->on_state_change != NULL ? options->on_state_change : options->on_event;
    made->on_error = options->on_error != NULL ? options->on_error : options->on_event;
    made->user = options->user;
    made->magic = DI_CONTEXT_MAGIC;
    *context = made;
    return DUCT_OK;
}

enum duct_err duct_context_open(struct duct_context **context,
                                const struct duct_context_options *options)
{
    struct duct_context_options o = DUCT_CONTEXT_OPTIONS_INIT;
    struct di_io *io = NULL;
    enum duct_err err;

    if (context == NULL)
        return di_fail(DUCT_EINVAL, "duct_context_open: no place for the context");
    if ((err = read_options(&o, options)) != DUCT_OK || (err = open_io(&io, o.io)) != DUCT_OK)
        return err;
    if ((err = di_context_open_over(context, io, &o)) != DUCT_OK)
        di_io_close(io);
    return err;
}

enum duct_err di_context_check(struct duct_context *context)
{
    if (context == NULL)
        return di_fail(DUCT_EINVAL, "no context was given");
    if (context->magic != DI_CONTEXT_MAGIC)
        return di_fail(DUCT_ECLOSED,
                       "the context is closed, or belongs to the parent of this process: "
                       "open a new one after fork()");
#ifndef NDEBUG
    /* Relaxed: it is this thread's mark or it is not. */
    if (atomic_load_explicit(&context->thread, memory_order_relaxed) != di_thread_self())
        return di_fail(DUCT_EINVAL, "the context belongs to another thread; hand it over with "
                                    "duct_context_adopt()");
#endif
    return DUCT_OK;
}

void di_context_run_posts(struct duct_context *context)
{
    /* Relaxed: the exchange settles it. */
    if (atomic_load_explicit(&context->posted, memory_order_relaxed) == 0)
        return;
    /* [post] observes: the nodes pushed before. */
    if (atomic_exchange_explicit(&context->posted, 0, memory_order_acquire) == 0)
        return;
    struct di_node *node = di_stack_take(&context->posts);
    while (node != NULL) {
        struct di_node *next = node->next;
        struct di_post *post = di_container(node, struct di_post, node);
        /* [queued] publishes: the node is ours no more, and may be pushed again. */
        atomic_store_explicit(&post->queued, 0, memory_order_release);
        post->run(post);
        node = next;
    }
}

static void run_chores(struct duct_context *context)
{
    struct di_list turn;

    if (di_list_empty(&context->chores))
        return;
    di_list_init(&turn);
    di_list_splice(&turn, &context->chores);
    while (!di_list_empty(&turn)) {
        struct di_chore *chore = di_container(turn.next, struct di_chore, link);
        di_list_remove(&chore->link);
        di_list_append(&context->chores, &chore->link);
        chore->run(chore);
    }
}

/* What is due between two turns of the loop. */
static void between_turns(struct duct_context *context)
{
    di_context_run_posts(context);
    run_chores(context);
}

void di_context_post(struct duct_context *context, struct di_post *post)
{
    /* [queued] observes: the owner is done with the node. */
    if (atomic_exchange_explicit(&post->queued, 1, memory_order_acq_rel) != 0)
        return;
    di_stack_push(&context->posts, &post->node);
    /* [post] publishes: the node. */
    atomic_store_explicit(&context->posted, 1, memory_order_release);
    di_io_wake(context->io);
}

void duct_context_close(struct duct_context *context)
{
    if (context == NULL || di_context_check(context) != DUCT_OK)
        return;
    di_context_run_posts(context);
    while (!di_list_empty(&context->pipes)) {
        struct duct_pipe *pipe = di_container(context->pipes.next, struct duct_pipe, link);
        duct_pipe_close_with(pipe, 0, NULL, 0);
    }
    while (!di_list_empty(&context->listeners))
        duct_listener_close(di_container(context->listeners.next, struct duct_listener, link));
    /* Completes whatever the closed objects still have in flight, and so frees them. */
    di_io_close(context->io);
    context->magic = DI_LIVE_CLOSED;
    di_wiped_free(context, sizeof(*context));
}

/* The thread's own context: closed by the key's destructor when the thread ends. */
static pthread_key_t default_key;
static pthread_once_t default_once = PTHREAD_ONCE_INIT;
static int default_failed;

static void close_default(void *context)
{
    /* In a child after fork() the context was wiped, and is not ours to close. */
    if (((struct duct_context *)context)->magic == DI_CONTEXT_MAGIC)
        duct_context_close(context);
}

static void make_default_key(void)
{
    default_failed = pthread_key_create(&default_key, close_default);
}

enum duct_err duct_context_default(struct duct_context **context)
{
    if (context == NULL)
        return di_fail(DUCT_EINVAL, "duct_context_default: no place for the context");
    pthread_once(&default_once, make_default_key);
    if (default_failed != 0)
        return di_fail(DUCT_ELIMIT,
                       "no thread-specific key is left for the thread's own context; open "
                       "one with duct_context_open()");
    struct duct_context *own = pthread_getspecific(default_key);
    if (own == NULL || own->magic != DI_CONTEXT_MAGIC) {
        enum duct_err err = duct_context_open(&own, NULL);
        if (err != DUCT_OK)
            return err;
        if (pthread_setspecific(default_key, own) != 0) {
            duct_context_close(own);
            return di_fail(DUCT_ENOMEMORY, "no memory for the thread's own context");
        }
    }
    *context = own;
    return DUCT_OK;
}

enum duct_err di_context_resolve(struct duct_context **context)
{
    if (*context == NULL)
        return duct_context_default(context);
    return di_context_check(*context);
}

enum duct_err duct_context_adopt(struct duct_context *context)
{
    if (context == NULL || context->magic != DI_CONTEXT_MAGIC)
        return di_fail(DUCT_EINVAL, "duct_context_adopt: not an open context");
    enum duct_err err = di_io_adopt(context->io);
    if (err != DUCT_OK)
        return err;
    /* Relaxed: the hand-over itself is the caller's, with a join or a lock. */
    atomic_store_explicit(&context->thread, di_thread_self(), memory_order_relaxed);
    for (struct di_list *at = context->pipes.next; at != &context->pipes; at = at->next) {
        struct duct_pipe *pipe = di_container(at, struct duct_pipe, link);
        pipe->ops->adopted(pipe);
    }
    return DUCT_OK;
}

int64_t di_context_deadline(struct duct_context *context, int64_t timeout_ns)
{
    int64_t now = di_io_now(context->io);

    return timeout_ns > INT64_MAX - now ? INT64_MAX : now + timeout_ns;
}

enum duct_err di_context_sleep(struct duct_context *context, int64_t deadline)
{
    /* A request is for a call that waits. Before the sleep too: its wake may have been taken by a call that
     * does not. */
    bool waits = deadline != 0;

    context->turns = 0;
    between_turns(context);
    if (waits && di_request_take(&context->cancel))
        return DUCT_ECANCELED;
    enum duct_err err = di_io_wait(context->io, deadline);
    between_turns(context);
    if (waits && di_request_take(&context->cancel))
        return DUCT_ECANCELED;
    if (err == DUCT_EAGAIN && deadline != 0)
        return DUCT_ETIMEOUT;
    return err;
}

bool di_context_over(struct duct_context *context, int64_t deadline)
{
    return deadline != 0 && deadline != INT64_MAX && di_io_now(context->io) >= deadline;
}

static enum duct_err reap(struct duct_context *context, int64_t deadline)
{
    context->turns = 0;
    between_turns(context);
    enum duct_err err = di_io_wait(context->io, deadline);
    between_turns(context);
    /* It may have taken the wake by which the exported descriptor is readable. */
    di_context_signal(context);
    return err;
}

enum duct_err di_context_reap(struct duct_context *context)
{
    return reap(context, 0);
}

void di_context_glance(struct duct_context *context)
{
    /* The tick's clock, since every hot path comes by here. */
    int64_t now = di_coarse_now();

    if (now - context->looked_at < DUCT_MILLISECOND)
        return;
    context->looked_at = now;
    /* Its failure is for a call that sleeps to report. */
    enum duct_err ignored = reap(context, DI_IO_GLANCE);
    (void)ignored;
}

/*
 * A turn beside one busy pipe takes some 50 ns, so the news of others wait 50 us at most where that is all there is,
 * and asking costs less than a hundredth. The clock alone, a tick of 4 or 10 ms, let 100,000 turns pass; and under a
 * hypervisor, which may withhold ticks, more.
 */
#define TURNS_MAX 1024u

void di_context_turn(struct duct_context *context)
{
    if (++context->turns < TURNS_MAX) {
        di_context_glance(context);
        return;
    }
    enum duct_err ignored = reap(context, DI_IO_GLANCE);
    (void)ignored;
}

bool di_context_busy(struct duct_context *context)
{
    if (!di_list_empty(&context->active))
        return true;
    for (struct di_list *at = context->listeners.next; at != &context->listeners; at = at->next) {
        struct duct_listener *listener = di_container(at, struct duct_listener, link);
        if (listener->ops->ready(listener))
            return true;
    }
    return false;
}

void di_context_signal(struct duct_context *context)
{
    if (!context->exported)
        return;
    run_chores(context);
    if (di_context_busy(context))
        di_io_wake(context->io);
}

void duct_context_cancel(struct duct_context *context)
{
    /* [request] publishes: what the caller did before it cancelled. */
    atomic_store_explicit(&context->cancel, 1, memory_order_release);
    di_io_wake(context->io);
}

void duct_context_wake(struct duct_context *context)
{
    /* [request] publishes: as in cancel. */
    atomic_store_explicit(&context->woken, 1, memory_order_release);
    di_io_wake(context->io);
}

enum duct_err duct_context_fd(struct duct_context *context, int *fd)
{
    enum duct_err err = di_context_check(context);

    if (err != DUCT_OK)
        return err;
    if (fd == NULL)
        return di_fail(DUCT_EINVAL, "duct_context_fd: no place for the descriptor");
    int made = di_io_fd(context->io);
    if (made < 0)
        return di_err_of_errno(errno); /* the loop has said why */
    if (!context->exported) {
        context->exported = true;
        di_io_wake(context->io);
    }
    *fd = made;
    return DUCT_OK;
}

const char *duct_context_io(const struct duct_context *context)
{
    return context->io->backend->name;
}
