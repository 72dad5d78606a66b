/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_CORE_PIPE_H
#define DI_CORE_PIPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <duct/pipe.h>

#include "lib/base/error.h"
#include "lib/base/list.h"
#include "lib/core/context.h"
#include "lib/core/transport.h"

/*
 * The part of a pipe that core knows. Transports put it first in their own struct and allocate that
 * with di_pipe_alloc().
 */
#define DI_PIPE_MAGIC 0x3165706970637564ull

enum { DI_CAN_SEND = 1, DI_CAN_RECV = 2 };

/* Events to be reported once. CHANGE: a state that the pipe did not have from the beginning. */
enum { DI_PENDING_STATE = 1, DI_PENDING_END = 2, DI_PENDING_CHANGE = 4 };

/* What auto:// chose, how often so far, and why the last time; all zero for other addresses. */
struct di_choice {
    uint64_t shared, streams;
    char why[DUCT_REASON_MAX];
};

struct duct_pipe {
    uint64_t magic;
    const struct di_pipe_ops *ops;
    struct duct_context *context;
    uint32_t can;      /* DI_CAN_… */
    enum duct_err end; /* why it ended; DUCT_OK while open */
    enum duct_wait wait;
    enum duct_state state;
    enum duct_err state_why; /* of a pipe that goes on without its peer: why the state is so */
    int64_t spin_ns;
    int64_t linger_ns;
    _Atomic uint32_t cancel; /* duct_pipe_cancel() not yet seen */
    uint32_t watch;          /* enum duct_watch */
    uint32_t pending;        /* DI_PENDING_… */
    bool writable_first;     /* READABLE took the last room there was for an event */
    void *user;
    bool exported; /* duct_pipe_fd() was called */
    struct di_choice choice;
    size_t bytes;            /* of the whole struct */
    struct duct_pipe *outer; /* the one the program holds, if that is not this: reconnect.h */
    struct di_list link;
    struct di_list active;
};

/* A pipe on context, zero but for what core fills in from options; NULL if there is no memory. */
struct duct_pipe *di_pipe_alloc(size_t size, struct duct_context *context,
                                const struct di_pipe_ops *ops, const struct duct_options *options);
/* Options by which a half of it is what the whole was. */
struct duct_options di_pipe_options(const struct duct_pipe *pipe);

/* Takes it off its context; later calls are recognised in debug builds. */
void di_pipe_unlink(struct duct_pipe *pipe);
void di_pipe_free(struct duct_pipe *pipe);

/* As di_pipe_activate(), of the pipe that holds this one. */
void di_pipe_activate_outer(struct duct_pipe *pipe);

/* Something may have happened: the pipe is looked at by the next round of events. */
static inline void di_pipe_activate(struct duct_pipe *pipe)
{
    if (di_list_linked(&pipe->active))
        return;
    if (__builtin_expect(pipe->outer != NULL, 0))
        di_pipe_activate_outer(pipe);
    else
        di_list_append(&pipe->context->active, &pipe->active);
}

/* What its context is to report of it: DI_READY_…, by duct_pipe_watch(). */
unsigned di_pipe_wanted(const struct duct_pipe *pipe);

/* The pipe is what auto:// chose: shared memory or a stream. */
void di_pipe_chosen(struct duct_pipe *pipe, bool shared, const char *why);

/* The pipe has ended; the first reason stands. Called by the transport, in the context's thread. */
void di_pipe_end(struct duct_pipe *pipe, enum duct_err why);

/* The state is another one now: an event, which the pipe stays active for until it was reported. */
void di_pipe_changed(struct duct_pipe *pipe);

/* Whether there is such an event that the program wants to have. */
static inline bool di_pipe_has_news(const struct duct_pipe *pipe)
{
    return (pipe->pending & DI_PENDING_CHANGE) && (pipe->watch & DUCT_WATCH_STATE);
}

/* As di_pipe_end(), of the pipe that the program holds, where that was said of its inner one. */
void di_pipe_end_quietly(struct duct_pipe *pipe, enum duct_err why);

/* For calls on a pipe that has ended: why, and in words where a peer was lost. */
enum duct_err di_pipe_ended(struct duct_pipe *pipe);

enum duct_err di_pipe_check_slow(struct duct_pipe *pipe, unsigned can);

/* Refuses dead handles, the wrong half, and in debug builds the wrong thread. */
static inline enum duct_err di_pipe_check(struct duct_pipe *pipe, unsigned can)
{
    if (__builtin_expect(pipe == NULL || pipe->magic != DI_PIPE_MAGIC || (pipe->can & can) != can,
                         0))
        return di_pipe_check_slow(pipe, can);
#ifndef NDEBUG
    /* Relaxed: it is this thread's mark or it is not. */
    if (atomic_load_explicit(&pipe->context->thread, memory_order_relaxed) != di_thread_self())
        return di_pipe_check_slow(pipe, can);
#endif
    return DUCT_OK;
}

/* As di_pipe_check(), for calls that send: they end with the pipe. */
static inline enum duct_err di_pipe_check_send(struct duct_pipe *pipe)
{
    enum duct_err err = di_pipe_check(pipe, DI_CAN_SEND);

    if (__builtin_expect(err == DUCT_OK && pipe->end != DUCT_OK, 0))
        return di_pipe_ended(pipe);
    return err;
}

/*
 * The slow path of every call that may wait, entered after a first try gave EAGAIN: repeats try,
 * spinning and sleeping in between as the pipe's options say, until it gives something else, the
 * time is over, or the wait is cancelled.
 */
typedef enum duct_err di_try_fn(struct duct_pipe *pipe, void *args);
enum duct_err di_pipe_wait(struct duct_pipe *pipe, unsigned want, int64_t timeout_ns,
                           di_try_fn *again, void *args);

#endif
