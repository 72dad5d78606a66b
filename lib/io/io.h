/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_IO_H
#define DI_IO_IO_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <duct/error.h>

#include "lib/base/list.h"
#include "lib/io/buffer.h"

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
 * later. Whoever submits one again must first have used the descriptor until it gave EAGAIN, or a
 * send took less than it was given (an eventfd need not be read for a later write to it to count);
 * whoever has not forgets it before. From its first submission until it is
 * forgotten, an operation keeps its descriptor and its events. There is one operation per
 * descriptor number: a second one completes with DI_IO_FAILED where the backend cannot have two
 * (epoll), so give it a dup(). Descriptors that cannot be polled, such as regular files, are not
 * for POLL.
 *
 * WORD: the loop reads the word whenever it runs, so the word stays mapped while the operation is in
 * flight. It also completes when woken without a change: look again. Whoever changes the word wakes all
 * who wait for it (FUTEX_WAKE with INT_MAX): after di_io_adopt() the wait of the former thread may still
 * be there for a moment, and would take a wake that is meant for one.
 *
 * CONNECT, RECV and CALL move bytes of stream sockets, as many as go, which may be fewer than asked for.
 * They share the descriptor's one operation with POLL, in turns, as long as the events are the same, POLLIN |
 * POLLRDHUP; CONNECT is forgotten before the next. What they move is the caller's again when they complete. They must
 * not be in flight across di_io_adopt() (what a former thread's ring would still send or receive is lost, or sent
 * twice), and are for calls that wait; whoever waits for events uses POLL and the di_io_try_… calls. What a CALL sends
 * has gone as far as it can go at once before any other operation's done() runs: whoever sends from there sends behind
 * it, or finds that it has ended.
 *
 * RECV_ANY and CALL_ANY receive into buffers of the loop's choosing, and are like a POLL: they complete when there is
 * something to take with di_io_take(), and now and then though there is not. The kernel may go on receiving while the
 * operation is not in flight: what comes then waits, a few buffers of it, to be taken or for the next submission; past
 * that the kernel is stopped, and what comes stays in the socket. So while one is di_io_receiving(), nobody else
 * receives from the descriptor, its memory stays, and it keeps its kind (or changes between these two). Cancelling it
 * stops the kernel too, also while it is not in flight; and it completes with CANCELED only when the kernel has stopped
 * and nothing waits to be taken: whoever wants it back submits, cancels and takes until it is not receiving any more.
 * RECV_ANY may be in flight across di_io_adopt(), and loses nothing by it. Only with DI_IO_CAN_TAKE.
 *
 * ACCEPT is to a listening socket, one that does not block, what RECV_ANY is to a connected one: it completes when there
 * is a connection to be had by di_io_accept(), and now and then though there is none, and every word above holds for it.
 * So connections may have been accepted that nobody has asked for yet: some wait, and past those the kernel is stopped, and
 * they stay in the socket's queue. Whoever pauses cancels it, so that they stay there all. Every loop has it.
 *
 * Stream sockets are opened, duplicated and closed by the loop too, so that a backend may have descriptors that
 * are not the kernel's. Those a program hands out, or got from elsewhere, are the kernel's own.
 */

enum di_io_kind {
    DI_IO_POLL,  /* fd becomes ready for events (POLLIN, POLLOUT); result: the ready events */
    DI_IO_WORD,  /* *word leaves the value expected; result 0. Only with DI_IO_CAN_WORD. */
    DI_IO_TIMER, /* now() reaches deadline; result 0 */
    DI_IO_CONNECT, /* fd, of di_io_open_socket(), is connected to address; result 0. FAILED with error EAGAIN: the
                      listener's queue is full (of a Unix socket; try again later, with another socket) */
    DI_IO_RECV, /* into pieces; result: bytes, 0 at the end of the stream */
    DI_IO_CALL, /* all of data, then RECV; result as RECV. Where data did not all go at once it ends early: with
                   FAILED and error EAGAIN, or with what was received. sent says how much went, in every case */
    DI_IO_RECV_ANY, /* there is something to take; result 1 */
    DI_IO_CALL_ANY, /* all of data, then RECV_ANY; ends early as CALL does */
    DI_IO_ACCEPT    /* there is a connection to accept; result 1 */
};

/* What DI_IO_FAILED means to a user whose operation was a poll. */
#define DI_IO_FAILED_TEXT                                                    \
    "the loop cannot watch one more descriptor; close some pipes, or raise " \
    "/proc/sys/fs/epoll/max_user_watches or the memory limit"

enum {
    DI_IO_CANCELED = -1,
    DI_IO_FAILED = -2 /* the descriptor or word cannot be waited for; or see error */
};

/* A deadline: di_io_wait() neither sleeps nor asks a thread of the kernel's (SQPOLL) for what it has not got to. */
#define DI_IO_GLANCE ((int64_t)-1)

enum {
    DI_IO_CAN_WORD = 1u << 0,
    DI_IO_CAN_HOLD = 1u << 1, /* di_io_send_held() */
    DI_IO_CAN_TAKE = 1u << 2  /* di_io_take() */
};

/* Most pieces of one operation: what every kernel takes (IOV_MAX). */
#define DI_IO_PIECES_MAX 1024u

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
    const struct iovec *pieces;   /* RECV, CALL: valid until it completes */
    uint32_t piece_count;
    const void *data; /* CALL, CALL_ANY */
    size_t size;
    const struct sockaddr *address; /* CONNECT */
    socklen_t address_size;

    /* Set by completion. */
    size_t sent; /* CALL, CALL_ANY: bytes of data that went */
    int error;   /* FAILED, of what moves bytes: errno */

    /* The backend's. Zero before the first submission. */
    struct di_list node;
    struct msghdr message;
    uint32_t heap_index; /* TIMER: position in the heap, from 1 */
    bool in_flight;
    bool registered; /* epoll: fd is in the set, for events */
    bool pending;    /* epoll: became ready while not in flight */
    bool canceling;
    bool drained; /* epoll: the last receive or accept found nothing, and no edge came since */
    bool cut;     /* uring: the sending part of a CALL has ended early */
    bool ready;   /* result is known, done() is due */
    int result;

    /* RECV_ANY, CALL_ANY, ACCEPT: what waits to be taken, see lib/io/received.h and lib/io/accepted.h. */
    struct di_list reception; /* in the loop's list, while there is any of this */
    struct di_buffer *received, *received_last;
    struct di_accepted *accepted;
    uint32_t received_count; /* buffers or connections */
    uint32_t lost;           /* of these, connections that were closed for want of memory */
    int ended_by;            /* errno, 0: the peer's end of the stream */
    bool ended;              /* nothing follows what waits */
    bool receiving;          /* the kernel goes on */
    bool stopping;           /* it was asked not to */
    bool watching;           /* uring: it only says when there is a connection, and accepts none */
};

/* How memory comes back that the loop held. */
enum di_io_released {
    DI_IO_UNCOPIED, /* nobody reads it any more */
    DI_IO_COPIED,   /* likewise; the kernel had copied it after all */
    DI_IO_ABANDONED /* the loop goes, and the kernel may read it still: it may be unmapped, and not written */
};

/* Memory that the kernel reads after the call that gave it: the caller's record of it, which lives until release(). */
struct di_io_hold {
    /* Called once, inside any call on the loop, which it must not call. A wait does not end by it. */
    void (*release)(struct di_io_hold *hold, enum di_io_released how);
    struct di_list node; /* the backend's */
};

/* One backend. di_io_* below only forward to it. */
struct di_io_backend {
    const char *name; /* "uring", "sqpoll", "epoll", "sim" */
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
    int64_t (*try_send)(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count);
    int64_t (*send_held)(struct di_io *io, int fd, const struct iovec *piece,
                         struct di_io_hold *hold, bool *held); /* NULL: it never can */
    int64_t (*try_recv)(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count);
    int64_t (*take)(struct di_io *io, struct di_io_op *op, struct di_buffer **buffer);
    int (*accept)(struct di_io *io, struct di_io_op *op);
    int (*open_socket)(struct di_io *io, int family);
    int (*dup_socket)(struct di_io *io, int fd);
    void (*shut_socket)(struct di_io *io, int fd);
    void (*close_socket)(struct di_io *io, int fd);
};

/* First member of every backend's own struct. */
struct di_io {
    const struct di_io_backend *backend;
    uint32_t can;    /* DI_IO_CAN_…; see di_io_fd() */
    int64_t spin_ns; /* how long a wait looks before it sleeps; see di_io_spin() */
};

extern const struct di_io_backend di_io_uring;
extern const struct di_io_backend
    di_io_sqpoll; /* io_uring, with a thread of the kernel's that submits */
extern const struct di_io_backend di_io_epoll;

/* Whether it completes when there is something to take. */
static inline bool di_io_takes(enum di_io_kind kind)
{
    return kind == DI_IO_RECV_ANY || kind == DI_IO_CALL_ANY;
}

/* Whether the kernel may go on with it by itself. */
static inline bool di_io_goes_on(enum di_io_kind kind)
{
    return di_io_takes(kind) || kind == DI_IO_ACCEPT;
}

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

/* RECV_ANY, CALL_ANY, ACCEPT: whether the kernel goes on for it, or something waits to be taken. */
static inline bool di_io_receiving(const struct di_io_op *op)
{
    return op->receiving || op->received_count > 0 || op->ended;
}

/* Whether its results are there, though done() may still be due. */
static inline bool di_io_completed(const struct di_io_op *op)
{
    return op->ready || !op->in_flight;
}

/* The operation is not in flight, nor does the kernel go on for it, and its descriptor is about to be closed or its
 * memory freed. What waits to be taken is lost: connections are closed. */
static inline void di_io_forget(struct di_io *io, struct di_io_op *op)
{
    io->backend->forget(io, op);
}

/*
 * Runs completions: those there are, at least one round; sleeps until the first if there are none,
 * up to deadline (absolute; 0: does not sleep; INT64_MAX: for ever; DI_IO_GLANCE). DUCT_OK if any completion ran
 * or wake() was called, AGAIN if the deadline passed, OS if the loop itself has failed for good.
 */
static inline enum duct_err di_io_wait(struct di_io *io, int64_t deadline)
{
    return io->backend->wait(io, deadline);
}

/* From now on a wait looks again and again, for up to so many nanoseconds, before it sleeps. 0, as at first: it
 * sleeps at once. The simulation, whose time passes only in sleep, takes no notice. */
static inline void di_io_spin(struct di_io *io, int64_t spin_ns)
{
    io->spin_ns = spin_ns;
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

/*
 * Moves what can be moved without waiting: the number of bytes, 0 at the end of the stream, or a negative
 * errno, -EAGAIN if nothing can. No RECV or CALL is in flight in that direction.
 */
static inline int64_t di_io_try_send(struct di_io *io, int fd, const struct iovec *pieces,
                                     uint32_t count)
{
    return io->backend->try_send(io, fd, pieces, count);
}

/*
 * As di_io_try_send() of one piece, but the kernel does not copy it: it reads the bytes where they lie, when it sends
 * them, and may do so again until the peer has them. Meanwhile they must not change. *held: the loop has the
 * hold, whatever was returned, and will call its release(), or has done so already; else it stays the caller's.
 * -EOPNOTSUPP, also where the loop has not DI_IO_CAN_HOLD: nothing was sent, and not for want of room; send otherwise.
 */
static inline int64_t di_io_send_held(struct di_io *io, int fd, const struct iovec *piece,
                                      struct di_io_hold *hold, bool *held)
{
    *held = false;
    if (!(io->can & DI_IO_CAN_HOLD))
        return -EOPNOTSUPP;
    return io->backend->send_held(io, fd, piece, hold, held);
}

static inline int64_t di_io_try_recv(struct di_io *io, int fd, const struct iovec *pieces,
                                     uint32_t count)
{
    return io->backend->try_recv(io, fd, pieces, count);
}

/*
 * What was received for a RECV_ANY or CALL_ANY, and what can be without waiting; in flight or not. The number of bytes
 * in *buffer, which becomes the caller's, 0 at the end of the stream, or a negative errno, -EAGAIN if there is nothing.
 */
static inline int64_t di_io_take(struct di_io *io, struct di_io_op *op, struct di_buffer **buffer)
{
    return io->backend->take(io, op, buffer);
}

/*
 * The next connection for an ACCEPT, in flight or not, or one never submitted: a descriptor, which the caller closes with
 * di_io_close_socket(), or a negative errno. -EAGAIN: there is none. -ECONNABORTED: there was one, and no memory to keep it
 * until now; it was closed.
 */
static inline int di_io_accept(struct di_io *io, struct di_io_op *op)
{
    return io->backend->accept(io, op);
}

/* A stream socket to be connected: a descriptor, or a negative errno. No child made by fork() keeps it. */
static inline int di_io_open_socket(struct di_io *io, int family)
{
    return io->backend->open_socket(io, family);
}

/* A second descriptor of a connected socket, for an operation of its own: or a negative errno. */
static inline int di_io_dup_socket(struct di_io *io, int fd)
{
    return io->backend->dup_socket(io, fd);
}

/* Nothing more is sent: behind what was, the peer finds the end of the stream. */
static inline void di_io_shut_socket(struct di_io *io, int fd)
{
    io->backend->shut_socket(io, fd);
}

/* Ignores negative descriptors. Operations on it were forgotten before. */
static inline void di_io_close_socket(struct di_io *io, int fd)
{
    io->backend->close_socket(io, fd);
}

/* The calling thread becomes the one that submits and waits. */
static inline enum duct_err di_io_adopt(struct di_io *io)
{
    return io->backend->adopt(io);
}

#endif
