/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_H
#define DI_TRANSPORTS_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/base/error.h"
#include "lib/core/pipe.h"
#include "lib/core/sweep.h"
#include "lib/protocol/handshake.h"
#include "lib/protocol/heartbeat.h"
#include "lib/protocol/sendq.h"
#include "lib/protocol/wire.h"
#include "transports/stream_in.h"
#include "transports/stream_quota.h"

/*
 * A pipe over a byte stream, whatever the stream is made of: uds and tcp differ in their addresses only.
 *
 * The connection (struct stream) is what both halves of a split pipe share: the socket, the queue of what is
 * to be sent, and the end. A handle (struct stream_pipe) is what the program holds, with its operations on
 * its context's loop; a whole pipe has one, a split one two. Once the pipe is split the lock covers what both
 * may touch: everything that leaves, since the receiving half acknowledges, and the end.
 *
 * Edges of the files stream*.c:
 *   [ended]  close reason written, ended stored with release  |  ended loaded with acquire
 *   [refs]   what a half did to the stream before it let go   |  the last one, which frees it
 */

struct stream_scheme;

enum stream_half { STREAM_RECEIVER, STREAM_SENDER };

/* Who is at the other end, as far as the kernel knows. */
struct stream_peer {
    int32_t pid;
    uint32_t uid;
    uint32_t gid;
};

/* Loans of one pipe at a time. */
#define STREAM_LOANS_MAX 4096u

/* Queued by DUCT_MSG_MORE before they leave anyway: what one system call moves well. */
#define STREAM_MORE_MAX ((size_t)65536)

struct stream_loan {
    struct di_chunk *chunk; /* NULL: free */
    unsigned char *data;
    size_t capacity;
    uint32_t generation;
    uint32_t next; /* in the list of free ones, from 1; 0: none */
};

struct stream_zc;

struct stream_loans {
    struct di_msg_owner owner; /* first */
    struct stream *stream;
    struct stream_loan *table;
    uint32_t count;
    uint32_t free; /* the first free one, from 1 */
};

#define STREAM_ANSWERED (UINT64_C(1) << 32)

struct stream {
    _Atomic uint32_t refs;
    bool split;
    pthread_mutex_t lock;
    const struct stream_scheme *scheme;
    int fd;
    int out_fd; /* a second descriptor of the socket, to be waited for by itself; -1 until needed */

    /* Who the peer is, and what was agreed. */
    struct stream_peer peer;
    uint64_t session;
    struct di_wire_rules rules; /* for what arrives */
    uint32_t frame_max;         /* of what leaves */

    /* Patience. */
    int64_t heartbeat_ns; /* 0: none */
    uint32_t heartbeat_missed;
    int64_t reassembly_ns;

    /* What leaves. */
    struct di_sendq queue;
    uint32_t seq;         /* of the next message */
    bool held_back;       /* everything queued was queued with MORE */
    bool hung_up;         /* the CLOSE is sent or queued: nothing follows it */
    bool shut;            /* nor can anything: the peer finds the end of the stream behind it */
    uint32_t drain_seq;   /* a DRAIN was sent for so many messages */
    uint32_t drain_first; /* and one for so many that was not answered before that */
    bool drain_asked;
    uint32_t owed;             /* notes that found no room: 1 << enum di_frame_type */
    uint64_t owed_pong;        /* the tag of the last PING among them */
    _Atomic uint32_t acked;    /* messages the peer's program has taken */
    _Atomic uint64_t answered; /* by the last ACK: so many, and STREAM_ANSWERED; 0: none came */
    struct stream_loans loans;
    struct stream_zc *zc; /* what is sent without a copy, or NULL: nothing is */
    size_t need;          /* bytes that the last refused call needed in the queue */

    /* The end. */
    _Atomic uint32_t ended; /* enum duct_err */
    uint32_t close_code;
    char close_text[DUCT_REASON_MAX];
    struct duct_context *stir_context[2]; /* by half; NULL: none */
    struct di_post *stir[2];

    uint64_t sent_msgs, sent_bytes, full, too_big, discarded;
    struct stream_quota *quota; /* of the listener it came from, or NULL */
};

/* What a handle waits for in the loop. */
enum stream_op { STREAM_OP_IN, STREAM_OP_OUT, STREAM_OPS };

struct stream_pipe;

struct stream_op_slot {
    struct di_io_op op; /* first */
    struct stream_pipe *owner;
};

struct stream_pipe {
    struct duct_pipe pipe; /* first */
    struct stream *stream;
    bool sends;           /* has the sending half */
    struct stream_in *in; /* the receiving half, or NULL */
    struct stream_op_slot ops[STREAM_OPS];
    struct iovec pieces[2]; /* of a receive in flight */
    uint32_t calling;       /* the loan that a CALL in flight sends, from 1; 0: none */
    struct di_sweep_entry beat_entry, whole_entry;
    struct di_heartbeat beat;
    bool parted; /* it has said good-bye, and waits for the peer to hang up */
    bool closing;
    bool detaching;
    unsigned in_flight;
    struct di_post stir;
    int exported; /* duct_pipe_fd(): an epoll, or -1 */
    int bell;     /* in it: readable while there is something that is not in the socket */
    bool bell_up;
    uint64_t parks, heard;
};

/* What a scheme over byte streams has to say: addresses, and nothing else. */
#define STREAM_ADDRESSES_MAX 8u

struct stream_address {
    struct sockaddr_storage at;
    socklen_t size;
    char name[128]; /* for people */
};

struct stream_scheme {
    const char *name;
    /* Where to dial: up to STREAM_ADDRESSES_MAX, in the order to be tried. */
    enum duct_err (*resolve)(const struct di_url *url, struct stream_address *addresses,
                             unsigned *count);
    /* A socket that is bound and listens, does not block, and is for operations on io; its address in words goes
     * to name. What else is to be kept as long as it lives goes to *state. */
    enum duct_err (*listen)(struct di_io *io, const struct di_url *url,
                            const struct di_options *options, int *fd, char *name, size_t capacity,
                            void **state);
    /* Takes away what listen() made, and closes the socket. */
    void (*unlisten)(struct di_io *io, int fd, void *state);
    /* Sets the options of a socket that is about to be connected (first), or was. */
    void (*tune)(int fd);
    /* Who is at the other end: DENIED if the options do not allow it. */
    enum duct_err (*identify)(int fd, const struct di_options *options, struct stream_peer *peer);
    /* The peer in words, for the log: where it comes from and not which connection it is. "" if that cannot be
     * said any more; NULL: never. */
    void (*who)(int fd, char *name, size_t capacity);
};

extern const struct di_pipe_ops stream_pipe_ops;

static inline struct stream_pipe *stream_of(struct duct_pipe *pipe)
{
    return (struct stream_pipe *)pipe;
}

static inline void stream_lock(struct stream *stream)
{
    if (stream->split)
        pthread_mutex_lock(&stream->lock);
}

static inline void stream_unlock(struct stream *stream)
{
    if (stream->split)
        pthread_mutex_unlock(&stream->lock);
}

/* ---- stream.c: the connection ---- */

/* What connected and shook hands becomes a stream; fd is its, on success. Errors: NOMEMORY. */
enum duct_err stream_open(struct stream **stream, int fd, const struct stream_scheme *scheme,
                          const struct di_shake *shake,
                          const struct duct_options *options) DUCT_NODISCARD;
/* The last reference closes the socket, by the loop of whoever had it. */
void stream_release(struct stream *stream, struct di_io *io);

/* The pipe on a stream, whose reference it takes; bytes: what followed the handshake. Errors: NOMEMORY; then the
 * reference stays the caller's. */
enum duct_err stream_pipe_start(struct duct_pipe **pipe, struct stream *stream,
                                struct duct_context *context, const struct duct_options *options,
                                const void *bytes, size_t size) DUCT_NODISCARD;

/* It is over: for the other half too. The first reason stands. */
void stream_end(struct stream *stream, enum duct_err why);
enum duct_err stream_ended(struct stream *stream);

/* Whether an errno is what a connection dies of by itself; any other is a shortage on this side. */
bool stream_line_failed(int error);

/* Nothing more is sent, not even what is queued: the peer is told so by the end of the stream. */
void stream_shut(struct stream_pipe *sp);

/* The peer has closed, and takes nothing any more: that we have heard it is all that it waits for. */
void stream_answer_close(struct stream_pipe *sp);

/* Of close: says good-bye, and what comes is thrown away from then on. False: the other half is the one to receive. */
bool stream_pipe_part(struct duct_pipe *pipe, uint32_t code, const char *text);

/* The peer is lost by an error of the socket, 0 for its plain end: PEER, with words that stay. */
enum duct_err stream_lost(struct stream *stream, int error);

/* Keeps duct_err_detail() as what the stream ended of, where nobody has said why yet. */
void stream_keep_why(struct stream *stream);

/* ---- stream_out.c: what leaves ---- */

enum duct_err stream_pipe_loan(struct duct_pipe *pipe, size_t size, size_t align,
                               struct duct_msg *msg);
enum duct_err stream_pipe_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                     size_t count, size_t *done);
enum duct_err stream_pipe_send(struct duct_pipe *pipe, struct duct_msg *msg);
enum duct_err stream_pipe_write(struct duct_pipe *pipe, const void *data, size_t size,
                                uint64_t tag);
enum duct_err stream_pipe_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                                 size_t size, uint64_t tag);
enum duct_err stream_pipe_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                     size_t *done);
enum duct_err stream_pipe_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                      size_t count, size_t *done);
void stream_pipe_flush(struct duct_pipe *pipe);
void stream_loans_fini(struct stream_loans *loans);

/* Sends a frame without payload: DRAIN, ACK, PONG. Either half. */
void stream_send_note(struct stream_pipe *sp, enum di_frame_type type, uint64_t tag);

/* Says good-bye: nothing is sent after it. */
void stream_send_close(struct stream_pipe *sp, enum duct_err err, uint32_t code, const char *text);

/* Hands the kernel what it takes of the queue, and has the loop wait for room for the rest. */
void stream_push(struct stream_pipe *sp);

/* A send failed for good: how did it end? */
enum duct_err stream_broken(struct stream_pipe *sp, int error);

/* ---- stream_call.c: what leaves and is answered ---- */

enum duct_err stream_pipe_call(struct duct_pipe *pipe, struct duct_msg *msg);

/* A CALL has completed: what it did not send is queued. */
void stream_call_over(struct stream_pipe *sp);

/* For whoever sends next: a CALL may have completed that has not been told so yet. */
static inline void stream_call_look(struct stream_pipe *sp)
{
    if (sp->calling != 0 && di_io_completed(&sp->ops[STREAM_OP_IN].op))
        stream_call_over(sp);
}

/* ---- stream_recv.c: what arrives ---- */

enum duct_err stream_pipe_recv(struct duct_pipe *pipe, struct duct_msg *msg);
enum duct_err stream_pipe_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                               uint64_t *tag);
enum duct_err stream_pipe_recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                     size_t *done);
enum duct_err stream_pipe_read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers,
                                     size_t count, size_t *done);

/* Reads what the socket has, as far as there is room for it. */
void stream_pull(struct stream_pipe *sp);

/* As that, of a stream that is over: as much as a full socket holds, in however small parts it comes. A peer that never
 * stops sending does not hold it up. */
void stream_pull_all(struct stream_pipe *sp);

/* What a good-bye says that lies unread in what was received: CLOSED or PEER; OK: there is none. */
enum duct_err stream_in_closes(struct stream_pipe *sp);

/* Parses what was read, and ends the pipe if that was all there will ever be. */
void stream_settle(struct stream_pipe *sp);

/* Looks for a whole message in what was read, acting on what comes before it: true if there is one. */
bool stream_parse(struct stream_pipe *sp);

/* The peer broke the protocol: ends the pipe, and tells it. The reason is in the detail. */
void stream_corrupt(struct stream_pipe *sp);

/* ---- stream_take.c: what the loop receives by itself ---- */

/* Whether it does, or has something to be taken. */
static inline bool stream_taking(const struct stream_pipe *sp)
{
    const struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;

    return di_io_receiving(op) || (op->in_flight && di_io_takes(op->kind));
}

/* Whether it may: not where somebody watches the socket or never sleeps, nor where what comes is better received where
 * it stays. */
static inline bool stream_may_take(const struct stream_pipe *sp)
{
    bool sleeps = sp->pipe.wait != DUCT_WAIT_SPIN && sp->pipe.wait != DUCT_WAIT_YIELD;

    return (sp->pipe.context->io->can & DI_IO_CAN_TAKE) != 0 && sleeps && sp->exported < 0 &&
           sp->in->bulk == 0;
}

/* Whether a receive is in flight into the pipe's own memory: its bytes come before any other. */
static inline bool stream_reading(const struct stream_pipe *sp)
{
    const struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;

    return op->in_flight && op->kind != DI_IO_POLL && !di_io_takes(op->kind);
}

/* Takes one buffer of what the loop has received, or receives; false if there is none, or that was the end. */
bool stream_take_once(struct stream_pipe *sp);

/* The loop receives nothing more by itself, and what it had is the stream's. Waits for the kernel, and runs
 * completions. */
void stream_stop_taking(struct stream_pipe *sp);

/* ---- stream_life.c: whether the peer is there, and goes on ---- */

/* The handle came to a context, and leaves it. */
void stream_life_start(struct stream_pipe *sp);
void stream_life_stop(struct stream_pipe *sp);

/* Of a message in several frames the first is there; and the last. */
void stream_message_begun(struct stream_pipe *sp);
static inline void stream_message_complete(struct stream_pipe *sp)
{
    di_sweep_remove(&sp->whole_entry);
}

/* ---- stream_fd.c: the exported descriptor ---- */

enum duct_err stream_pipe_fd(struct duct_pipe *pipe, int *fd);

/* Keeps it readable exactly while there is something. */
void stream_signal(struct stream_pipe *sp);

/* ---- stream_wait.c: the loop's side ---- */

unsigned stream_pipe_ready(struct duct_pipe *pipe, unsigned want);
unsigned stream_pipe_arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err);
void stream_pipe_disarm(struct duct_pipe *pipe, unsigned want);
bool stream_pipe_spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first);
void stream_pipe_look(struct duct_pipe *pipe);
void stream_pipe_attach(struct duct_pipe *pipe);
void stream_pipe_detach(struct duct_pipe *pipe);
void stream_pipe_adopted(struct duct_pipe *pipe);
void stream_pipe_close(struct duct_pipe *pipe, uint32_t code, const char *text);
void stream_stir(struct di_post *post);

/* Gives the loop an operation of the handle's. */
void stream_submit(struct stream_pipe *sp, enum stream_op which);

/* Has the loop wait for room in the socket. */
void stream_wait_for_room(struct stream_pipe *sp);

#endif
