/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_IO_H
#define DI_IO_IO_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>

#include "lib/base/list.h"

/*
 * The I/O contract: completion-based, with caller-owned operations.
 *
 * Rules that every backend keeps, and tests/lib/io checks on each of them:
 *  1. A submitted operation completes exactly once: done() is called with its result.
 *  2. Completions run only inside di_io_wait(). Submitting and cancelling never call back.
 *  3. cancel is a request: the operation still completes once, with DI_IO_CANCELED or, if it was
 *     faster, its own result. Cancelling an operation that is not in flight does nothing.
 *  4. Time comes only from di_io_now(): nanoseconds, monotonic.
 *  5. Only di_io_wake() may be called from another thread, or a signal handler.
 *  6. The operation's memory is the caller's, and is not touched between completion and the next
 *     submission, except that an edge-triggered backend may remember in it that its descriptor is
 *     registered; di_io_forget() ends that, and must be called before the descriptor is closed or
 *     the memory reused.
 *  7. done() may submit, cancel and forget any operation, its own included. It must not wait.
 *
 * POLL is edge-or-level: it completes when the descriptor is ready at submission or becomes so
 * later. Whoever submits one again must first have used the descriptor until it gave EAGAIN (an
 * eventfd need not be read for a later write to it to count). From its first submission until it is
 * forgotten, an operation keeps its descriptor and its events. There is one operation per
 * descriptor number: a second one completes with DI_IO_FAILED where the backend cannot have two
 * (epoll), so give it a dup(). Descriptors that cannot be polled, such as regular files, are not
 * for POLL.
 *
 * WORD: the loop reads the word whenever it runs, so the word stays mapped while the operation is in
 * flight. It also completes when woken without a change: look again. Whoever changes the word wakes all
 * who wait for it (FUTEX_WAKE with INT_MAX): after di_io_adopt() the wait of the former thread may still
 * be there for a moment, and would take a wake that is meant for one.
 */

enum di_io_kind {
    DI_IO_POLL, /* fd becomes ready for events (POLLIN, POLLOUT); result: the ready events */
    DI_IO_WORD, /* *word leaves the value expected; result 0. Only with DI_IO_CAN_WORD. */
    DI_IO_TIMER /* now() reaches deadline; result 0 */
};

enum { DI_IO_CANCELED = -1, DI_IO_FAILED = -2 /* the descriptor or word cannot be waited for */ };

enum { DI_IO_CAN_WORD = 1u << 0 };

struct di_io;
struct di_io_op;

typedef void di_io_done_fn(struct di_io_op *op, int result);

struct di_io_op {
    /* Set by the caller before submission. */
    di_io_done_fn *done;
    enum di_io_kind kind;
    int fd;                       /* POLL */
    uint32_t events;              /* POLL */
    const _Atomic uint32_t *word; /* WORD: may lie in memory mapped read-only */
    uint32_t expected;            /* WORD */
    int64_t deadline;             /* TIMER */

    /* The backend's. Zero before the first submission. */
    struct di_list node;
    uint32_t heap_index; /* TIMER: position in the heap, from 1 */
    bool in_flight;
    bool registered; /* epoll: fd is in the set, for events */
    bool pending;    /* epoll: became ready while not in flight */
    bool canceling;
    bool ready; /* result is known, done() is due */
    int result;
};

/* One backend. di_io_* below only forward to it. */
struct di_io_backend {
    const char *name; /* "uring", "epoll", "sim" */
    enum duct_err (*open)(struct di_io **io);
    void (*close)(struct di_io *io);
    void (*submit)(struct di_io *io, struct di_io_op *op);
    void (*cancel)(struct di_io *io, struct di_io_op *op);
    void (*forget)(struct di_io *io, struct di_io_op *op);
    enum duct_err (*wait)(struct di_io *io, int64_t deadline);
    int64_t (*now)(struct di_io *io);
    void (*wake)(struct di_io *io);
    int (*fd)(struct di_io *io);
    enum duct_err (*adopt)(struct di_io *io);
};

/* First member of every backend's own struct. */
struct di_io {
    const struct di_io_backend *backend;
    uint32_t can; /* DI_IO_CAN_…; see di_io_fd() */
};

extern const struct di_io_backend di_io_uring;
extern const struct di_io_backend di_io_epoll;

/* Whether an io_uring with what the backend needs can be set up here; the answer is cached. */
bool di_io_uring_available(void);

/* Opens for the calling thread. Errors: NOTSUP, LIMIT, NOMEMORY, OS. */
static inline enum duct_err di_io_open(struct di_io **io, const struct di_io_backend *backend)
{
    return backend->open(io);
}

/* Every operation in flight is completed with DI_IO_CANCELED first, and so is what done() submits
 * then; it should not do so for ever. Then frees. An operation used with another loop is zeroed, or
 * was forgotten, before. */
static inline void di_io_close(struct di_io *io)
{
    io->backend->close(io);
}

/* Cannot fail: a resource that is short makes the operation complete with DI_IO_FAILED. */
static inline void di_io_submit(struct di_io *io, struct di_io_op *op)
{
    io->backend->submit(io, op);
}

static inline void di_io_cancel(struct di_io *io, struct di_io_op *op)
{
    io->backend->cancel(io, op);
}

/* The operation is not in flight, and its descriptor is about to be closed or its memory freed. */
static inline void di_io_forget(struct di_io *io, struct di_io_op *op)
{
    io->backend->forget(io, op);
}

/*
 * Runs completions: those there are, at least one round; sleeps until the first if there are none,
 * up to deadline (absolute; 0: does not sleep; INT64_MAX: for ever). DUCT_OK if any completion ran
 * or wake() was called, AGAIN if the deadline passed, OS if the loop itself has failed for good.
 */
static inline enum duct_err di_io_wait(struct di_io *io, int64_t deadline)
{
    return io->backend->wait(io, deadline);
}

static inline int64_t di_io_now(struct di_io *io)
{
    return io->backend->now(io);
}

/* Makes the wait in progress, or else the next, return DUCT_OK at once. Any thread, and signal
 * handlers. */
static inline void di_io_wake(struct di_io *io)
{
    io->backend->wake(io);
}

/*
 * A descriptor that polls readable exactly while wait(0) would find something: a completion, a timer
 * that is due, or a wake not yet consumed. -1 if it cannot be made, with the reason in the detail.
 * Calling it flushes what was submitted, and from then on every submit is flushed at once. From then on
 * words cannot be waited for: DI_IO_CAN_WORD is cleared, and those in flight complete with FAILED.
 */
static inline int di_io_fd(struct di_io *io)
{
    return io->backend->fd(io);
}

/* The calling thread becomes the one that submits and waits. */
static inline enum duct_err di_io_adopt(struct di_io *io)
{
    return io->backend->adopt(io);
}

#endif
