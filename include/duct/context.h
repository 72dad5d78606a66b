/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_CONTEXT_H
#define DUCT_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>
#include <duct/event.h>
#include <duct/options.h>

/*
 * A context owns one event loop and every pipe and listener opened on it.
 *
 * It belongs to one thread at a time: the one that opened it, until another calls
 * duct_context_adopt(). A second thread opens a second context; two contexts share nothing. There are
 * no hidden threads: things happen only inside the caller's calls. Calls that are allowed from any
 * thread say so. A program with one thread needs none of this: a NULL context means "this thread's".
 */

#ifdef __cplusplus
extern "C" {
#endif

/* How the context sleeps. Also set by the environment variable DUCT_IO=uring|sqpoll|epoll, when AUTO. */
enum duct_io {
    DUCT_IO_AUTO, /* io_uring where it is allowed, else epoll */
    DUCT_IO_URING,
    DUCT_IO_EPOLL,
    DUCT_IO_SQPOLL /* io_uring with a thread of the kernel's that takes what the loop submits: fewer system calls,
                      for a CPU that it keeps busy until some time after the last one. Where that is
                      not permitted, as AUTO; the log says why, and duct_context_io() which it is */
};

struct duct_context_options {
    size_t size; /* sizeof(struct duct_context_options) */
    enum duct_io io;
    duct_event_fn *on_event;        /* called by duct_context_run() for each event; may be NULL */
    void *user;                     /* handed to on_event, and to those below */
    duct_event_fn *on_state_change; /* called instead of on_event for STATE; NULL: on_event is */
    duct_event_fn *on_error;        /* likewise for ERROR */
    int64_t
        spin_ns; /* how long every wait of the context's looks for news before it sleeps, whatever it waits for:
                        a wake-up saved for a CPU that is kept busy so long; up to 1 s; 0: not at all */
};

/* The most that spin_ns may be. */
#define DUCT_CONTEXT_SPIN_MAX DUCT_SECOND

#define DUCT_CONTEXT_OPTIONS_INIT DUCT_SIZED(struct duct_context_options)

/*
 * Opens a context owned by the calling thread. options may be NULL. Does not block. Close it with
 * duct_context_close(). Errors: NOTSUP (the backend asked for is not allowed here; AUTO would have
 * fallen back), INVALID (spin_ns), LIMIT, NOMEMORY.
 */
DUCT_API enum duct_err duct_context_open(struct duct_context **context,
                                         const struct duct_context_options *options) DUCT_NODISCARD;

/*
 * Closes it, and every pipe and listener still open on it, without lingering. Messages received
 * from its pipes stay readable until released. Owner thread; NULL is allowed.
 */
DUCT_API void duct_context_close(struct duct_context *context);

/*
 * The calling thread's own context, which a NULL context stands for; opened when first asked for,
 * closed when the thread ends. Not to be closed by the caller.
 */
DUCT_API enum duct_err duct_context_default(struct duct_context **context) DUCT_NODISCARD;

/*
 * Makes the calling thread the owner. The former owner must have finished its last call, and the
 * caller must know it (a join, a lock); messages that it still holds it releases before, or when this
 * has returned. Errors: LIMIT or NOMEMORY, with the context unchanged.
 */
DUCT_API enum duct_err duct_context_adopt(struct duct_context *context) DUCT_NODISCARD;

/*
 * Waits until something happened on any pipe or listener of the context, and takes up to capacity
 * events. READABLE and WRITABLE are level-triggered: reported at each call while true. Owner thread;
 * blocks up to timeout_ns; not inside a callback. Errors: AGAIN (timeout_ns is 0 and nothing
 * happened), TIMEOUT, CANCELED. duct_context_wake() makes it return DUCT_OK with *count 0.
 */
DUCT_API enum duct_err duct_context_wait(struct duct_context *context, struct duct_event *events,
                                         size_t capacity, size_t *count,
                                         int64_t timeout_ns) DUCT_NODISCARD;

/*
 * As duct_context_wait(), handing one event to on_event instead; call it in a loop.
 * INVALID without on_event, or inside a callback.
 */
DUCT_API enum duct_err duct_context_run(struct duct_context *context,
                                        int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Makes the blocking call in progress on this context, or else the next one, return DUCT_ECANCELED.
 * Any thread, and signal handlers.
 */
DUCT_API void duct_context_cancel(struct duct_context *context);

/* Makes duct_context_wait() return early. Any thread, and signal handlers. */
DUCT_API void duct_context_wake(struct duct_context *context);

/*
 * A descriptor for a foreign event loop: readable (level-triggered) exactly while duct_context_wait()
 * with a timeout of 0 would do something: it starts readable, and becomes unreadable only when such a
 * call, or a receive, found everything empty. A change of state of a pipe that goes on without its peer keeps
 * it readable until it was reported: a program that only receives leaves DUCT_WATCH_STATE out of
 * duct_pipe_watch(). It belongs to the context: do not read, write or close it. A thread with a context on
 * io_uring may see an epoll_wait() of its own return EINTR without a signal, when the kernel has news for that
 * context: ask again. Owner thread.
 */
DUCT_API enum duct_err duct_context_fd(struct duct_context *context, int *fd) DUCT_NODISCARD;

/* "uring", "sqpoll" or "epoll". Static storage. */
DUCT_API const char *duct_context_io(const struct duct_context *context);

#ifdef __cplusplus
}
#endif

#endif
