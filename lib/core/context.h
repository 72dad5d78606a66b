/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_CORE_CONTEXT_H
#define DI_CORE_CONTEXT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <duct/context.h>

#include "lib/base/list.h"
#include "lib/base/stack.h"
#include "lib/base/thread.h"
#include "lib/io/io.h"

/*
 * A context's insides. It lies in memory that a fork wipes in the child, so that there its magic is
 * 0 and every call on it, or on its pipes, is refused.
 */
#define DI_CONTEXT_MAGIC 0x7478657463756431ull
#define DI_LIVE_CLOSED \
    0x6465736f6c636431ull /* a closed object, kept by debug builds to be recognised */

/* Deadlines of idle pipes: lib/core/sweep.h. */
struct di_sweep {
    struct di_list entries; /* struct di_sweep_entry, the earliest first */
    struct di_io_op timer;
};

struct duct_context {
    uint64_t magic;
    _Atomic uintptr_t thread; /* the owner: di_thread_self() */
    struct di_io *io;
    struct di_list pipes;
    struct di_list listeners;
    /* Pipes that are not armed: something may be there for them. All others sleep for free. */
    struct di_list active;
    int64_t looked_at; /* when the kernel was last asked for news */
    bool running;      /* inside a callback */
    bool pipes_first;  /* whose turn it was to be reported first */
    bool exported;     /* duct_context_fd() was called */
    duct_event_fn *on_event;
    duct_event_fn *on_state_change, *on_error; /* on_event, if none was given */
    void *user;
    struct di_sweep sweep;
    struct di_list chores; /* struct di_chore: what is to be done between two turns of the loop */

    _Atomic uint32_t cancel; /* duct_context_cancel() not yet seen */
    _Atomic uint32_t woken;  /* duct_context_wake() not yet seen */
    struct di_stack posts;   /* struct di_post, from other threads */
    _Atomic uint32_t posted;
};

/* Something the owner's thread has to do, but not amid what it is doing. Runs before and after each turn of the
 * loop, and again as long as it is in the context's list: it takes itself out. Whatever it changes it follows by
 * di_io_wake(), or the context might sleep on it. */
struct di_chore {
    struct di_list link;
    void (*run)(struct di_chore *chore);
};

/* Something another thread wants done by the owner; in the queue once at most. */
struct di_post {
    struct di_node node;
    void (*run)(struct di_post *post);
    _Atomic uint32_t queued;
};

/* A context on a loop that was opened before, which is the context's on success. Errors: NOMEMORY. */
enum duct_err di_context_open_over(struct duct_context **context, struct di_io *io,
                                   const struct duct_context_options *options) DUCT_NODISCARD;

/* The context given, or the thread's own. */
enum duct_err di_context_resolve(struct duct_context **context) DUCT_NODISCARD;

/* INVALID or CLOSED unless the context is live and, in debug builds, the thread is its owner. */
enum duct_err di_context_check(struct duct_context *context) DUCT_NODISCARD;

/* Runs what was posted. The owner; di_context_sleep() and glance do it by themselves. */
void di_context_run_posts(struct duct_context *context);

/* Hands post to the owner and wakes it. Any thread. The caller makes sure the context stays open.
 */
void di_context_post(struct duct_context *context, struct di_post *post);

/*
 * Runs the loop: completions that are there, or the first that comes until deadline. DUCT_OK, or
 * TIMEOUT, CANCELED, OS. A deadline of 0 never sleeps, and gives OK or AGAIN; a request to cancel stays
 * for a call that waits.
 */
enum duct_err di_context_sleep(struct duct_context *context, int64_t deadline) DUCT_NODISCARD;

/* Runs the completions that are there, from a call that is about something else; does not sleep. */
enum duct_err di_context_reap(struct duct_context *context);

/* Asks the kernel for news if that has not been done for a millisecond, or a tick if that is
 * longer. */
void di_context_glance(struct duct_context *context);

/* Whether the deadline has passed; 0 and INT64_MAX never do. To be asked when what is waited for is not there
 * although the loop slept and came back: a sleep that ends early, for something else, does not look, and a
 * peer that always has something else would keep a wait from its end. */
bool di_context_over(struct duct_context *context, int64_t deadline);

/* When timeout_ns from now is, without overflow. */
int64_t di_context_deadline(struct duct_context *context, int64_t timeout_ns);

/* Whether there may be something to report without asking the kernel. */
bool di_context_busy(struct duct_context *context);

/* Keeps the exported descriptor readable while there may be something to report. Last in every call that
 * may have run the loop. */
void di_context_signal(struct duct_context *context);

/*
 * Takes a request, to cancel or to wake, that any thread may have made.
 *   [request]  what the asker did before, flag stored with release | flag exchanged with acquire
 */
static inline bool di_request_take(_Atomic uint32_t *flag)
{
    /* Relaxed: the exchange, which would cost too much on every look, settles it. */
    if (atomic_load_explicit(flag, memory_order_relaxed) == 0)
        return false;
    /* [request] observes: what the asker did before. */
    return atomic_exchange_explicit(flag, 0, memory_order_acquire) != 0;
}

#endif
