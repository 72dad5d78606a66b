/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_PIPE_H
#define DUCT_PIPE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <duct/context.h>
#include <duct/error.h>
#include <duct/event.h>
#include <duct/message.h>
#include <duct/options.h>

/*
 * A pipe: one bidirectional, message-oriented connection to one peer.
 *
 * Threads: a pipe belongs to its context's thread. duct_pipe_split() makes two halves for two threads.
 * Blocking: a call with timeout_ns 0 never waits and returns AGAIN; any other runs the context until
 * done, and gives TIMEOUT, or CANCELED. A blocking call inside a callback is INVALID.
 * Errors of every call below, beside those named: CLOSED (either side closed in order; what the peer
 * sent before is received first), PEER (it died; likewise), CORRUPT (it broke the protocol; the pipe
 * is dead at once), INVALID. On error a message stays the caller's.
 */

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Opens a pipe to the listener at url. options may be NULL. Blocks up to options->dial_ns. Close with
 * duct_pipe_close(). Errors: INVALID (the position in the address and what was expected in the
 * detail), NOTFOUND (at once, with the path tried), TIMEOUT, CANCELED, DENIED, REFUSED, VERSION,
 * LIMIT, NOSPACE, NOMEMORY, OS.
 */
DUCT_API enum duct_err duct_dial(struct duct_pipe **pipe, const char *url,
                                 const struct duct_options *options) DUCT_NODISCARD;

/* Ownership of the message moves on DUCT_OK: *msg is then empty. AGAIN: the ring is full. When both
 * sides block on full rings, one of them gets AGAIN at once, with "both full" in the detail. */
DUCT_API enum duct_err duct_send(struct duct_pipe *pipe, struct duct_msg *msg,
                                 int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Receives a view: *msg is filled and stays readable until duct_msg_release(), also after the pipe
 * was closed. The sender can still change what lies in its pool: a receiver that does not trust its
 * peer uses duct_read(). LIMIT: held_max small messages, or all blocks, are held already.
 */
DUCT_API enum duct_err duct_recv(struct duct_pipe *pipe, struct duct_msg *msg,
                                 int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Batches: take or give what they can at once, up to count, waiting only for the first. DUCT_OK means
 * *done is at least 1 (or count was 0). One fence and at most one wake-up for the whole batch.
 */
DUCT_API enum duct_err duct_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                       size_t *done, int64_t timeout_ns) DUCT_NODISCARD;
DUCT_API enum duct_err duct_recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                       size_t *done, int64_t timeout_ns) DUCT_NODISCARD;

/* Copies a message in. The buffer is the caller's again on return. TOOBIG: see max_msg. */
DUCT_API enum duct_err duct_write(struct duct_pipe *pipe, const void *data, size_t size,
                                  uint64_t tag, int64_t timeout_ns) DUCT_NODISCARD;

/* As duct_write(), gathering the message from count pieces. */
DUCT_API enum duct_err duct_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                                   uint64_t tag, int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Copies a message out: a snapshot the peer cannot change. *size and *tag (which may be NULL) are
 * written on DUCT_OK. TOOBIG: capacity is too small; *size is the size needed, and the message is
 * still there to be received.
 */
DUCT_API enum duct_err duct_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                                 uint64_t *tag, int64_t timeout_ns) DUCT_NODISCARD;

/* Batches of copies, with the rules of duct_send_batch(). A TOOBIG after the first ends the batch. */
DUCT_API enum duct_err duct_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                        size_t count, size_t *done,
                                        int64_t timeout_ns) DUCT_NODISCARD;
DUCT_API enum duct_err duct_read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers,
                                       size_t count, size_t *done,
                                       int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Sends *out, then receives the next message into *in. Where the send fails, *out is the caller's;
 * where the receive fails, *out has been sent and is empty.
 */
DUCT_API enum duct_err duct_call(struct duct_pipe *pipe, struct duct_msg *out, struct duct_msg *in,
                                 int64_t timeout_ns) DUCT_NODISCARD;

/*
 * Waits until the peer's program has received everything that was sent, which close does with the option linger. What
 * arrives meanwhile is kept; over a stream the peer's word comes behind it, so that a message that waits here may have to be
 * received first. TIMEOUT: something is not known to have been received.
 */
DUCT_API enum duct_err duct_pipe_drain(struct duct_pipe *pipe, int64_t timeout_ns) DUCT_NODISCARD;

/* Wakes the peer for what was sent with DUCT_MSG_MORE. Does not wait. */
DUCT_API enum duct_err duct_flush(struct duct_pipe *pipe) DUCT_NODISCARD;

/*
 * Splits a pipe into a half that sends and a half that receives, for two threads: each belongs to the
 * context given for it (both opened by the caller; they may be the same), and they write no common
 * cache line. The pipe must be on the calling thread's context; the two contexts must not be inside a
 * call. On DUCT_OK pipe is gone and each half is closed by its own thread: closing one closes the
 * pipe in order, and the other half then gets CLOSED. The wrong call on a half is INVALID.
 */
DUCT_API enum duct_err duct_pipe_split(struct duct_pipe *pipe, struct duct_context *sender_context,
                                       struct duct_context *receiver_context,
                                       struct duct_pipe **sender,
                                       struct duct_pipe **receiver) DUCT_NODISCARD;

/* Moves a pipe to another context, as a server does that accepts in one thread and works in another.
 * Owner thread of the pipe's context; the target must not be inside a call. */
DUCT_API enum duct_err duct_pipe_move(struct duct_pipe *pipe,
                                      struct duct_context *context) DUCT_NODISCARD;

/*
 * Closes in order. The peer receives what was sent, then CLOSED. Waits up to the option linger_ns for
 * it to do so; loans not sent are dropped and counted. Owner thread; NULL is allowed.
 *
 * Over a stream without linger the CLOSED can be lost, and is then PEER to the other side: where it is sending in that
 * moment, and the network loses a packet. With linger the time covers that the other side's library has heard it, which needs
 * its loop to run.
 */
DUCT_API void duct_pipe_close(struct duct_pipe *pipe);

/* As duct_pipe_close(), with a reason the peer can read in its duct_pipe_info: a number of the
 * program's own, and up to 191 bytes of UTF-8 (longer text is cut). text may be NULL. */
DUCT_API void duct_pipe_close_with(struct duct_pipe *pipe, uint32_t code, const char *text,
                                   int64_t linger_ns);

/* Makes the blocking call in progress on this pipe, or else its next, return CANCELED. Any thread and
 * signal handlers, while the pipe is open. */
DUCT_API void duct_pipe_cancel(struct duct_pipe *pipe);

/*
 * A descriptor for a foreign event loop: readable (level-triggered) exactly while a receive would not
 * return AGAIN, or news of the peer waits to be taken. It becomes unreadable only when a receive found
 * nothing. It belongs to the pipe: do not read, write or close it. NOTSUP for an untrusted peer.
 */
DUCT_API enum duct_err duct_pipe_fd(struct duct_pipe *pipe, int *fd) DUCT_NODISCARD;

/* Which events of the pipe its context reports. Initially READABLE | STATE | END. */
enum duct_watch {
    DUCT_WATCH_READABLE = 1u << 0,
    DUCT_WATCH_WRITABLE = 1u << 1,
    DUCT_WATCH_STATE = 1u << 2,
    DUCT_WATCH_END = 1u << 3 /* ERROR and CLOSED */
};
DUCT_API enum duct_err duct_pipe_watch(struct duct_pipe *pipe, uint32_t mask) DUCT_NODISCARD;

/* The four waiting options, to be changed while the pipe is open; see struct duct_options. */
struct duct_waiting {
    enum duct_wait wait;
    enum duct_bell bell;
    enum duct_fence fence;
    int64_t spin_ns;
};
DUCT_API enum duct_err duct_pipe_set_waiting(struct duct_pipe *pipe,
                                             const struct duct_waiting *waiting) DUCT_NODISCARD;

#define DUCT_REASON_MAX 192

struct duct_pipe_info {
    size_t size; /* sizeof(struct duct_pipe_info), set by the caller */
    enum duct_state state;
    enum duct_err end; /* DUCT_OK while open, else why it ended */
    int32_t peer_pid;  /* as the peer's kernel namespace lets us see it; for display */
    uint32_t peer_uid;
    uint32_t peer_gid;
    uint64_t session_id;
    uint64_t max_send; /* largest message this side can send */
    uint64_t max_recv; /* largest message the peer can send */
    uint32_t slots_send;
    uint32_t slots_recv;
    uint64_t shared_bytes;      /* shared memory this side owns for the pipe */
    uint64_t peer_shared_bytes; /* and the peer */
    enum duct_bell bell;        /* by which the peer wakes us now */
    enum duct_bell peer_bell;   /* and we it; AUTO while it never slept */
    uint32_t close_code;        /* the peer's reason, once end is ECLOSED, or peer_closed */
    char
        close_text[DUCT_REASON_MAX]; /* and in words; once end is EPEER what the connection died of,
                                         or what the peer found wrong, where that is known */
    const char
        *scheme; /* "shm", "uds", "tcp": of the pipe there is, also by auto://; static storage */
    uint32_t durable;   /* 1: the pipe is durable, and goes on without its peer */
    uint32_t name_lost; /* 1: its file was removed: nothing of it will outlive both processes */
    uint64_t undelivered_out;     /* messages sent, and not released by the other end */
    uint64_t undelivered_in;      /* messages the other end sent, and this one did not release */
    char choice[DUCT_REASON_MAX]; /* why auto:// took that scheme; "" for other addresses */
    uint32_t reconnects;          /* 1: the pipe dials again when it loses its peer */
    uint32_t attempts;            /* begun since it lost it */
    enum duct_err lost;           /* why the last session that ended did; DUCT_OK: none has */
    enum duct_err cause;          /* why the state is so: the loss, or the last attempt's failure */
    uint64_t kept_msgs;           /* in the downtime buffer */
    uint64_t kept_bytes;          /* and what they take of it, loans from it included */
    uint32_t
        peer_closed; /* 1: the other end of a durable pipe was closed in order, and nobody opened
                                 it since: after undelivered_in messages, that was all */
};

#define DUCT_PIPE_INFO_INIT DUCT_SIZED(struct duct_pipe_info)

/* Fills info, as far as info->size reaches. */
DUCT_API enum duct_err duct_pipe_info(struct duct_pipe *pipe,
                                      struct duct_pipe_info *info) DUCT_NODISCARD;

DUCT_API void duct_pipe_set_user(struct duct_pipe *pipe, void *user);
DUCT_API void *duct_pipe_user(const struct duct_pipe *pipe);

#ifdef __cplusplus
}
#endif

#endif
