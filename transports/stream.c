/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream.h"

#include <stdlib.h>
#include <string.h>

#include "transports/stream_zc.h"

/* The life of a connection and of its handles: opened, split in two, asked about, freed. */

/* The lock is taken again by what answers a frame that was found while something was being sent. */
static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t kind;

    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(lock, &kind);
    pthread_mutexattr_destroy(&kind);
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

enum duct_err stream_open(struct stream **out, int fd, const struct stream_scheme *scheme,
                          const struct di_shake *shake, const struct duct_options *options)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (stream == NULL || !stream_zc_open(&stream->zc, options->zerocopy_min)) {
        free(stream);
        return di_fail(DUCT_ENOMEMORY, "no memory for a stream");
    }
    atomic_init(&stream->refs, 1);
    init_lock(&stream->lock);
    stream->scheme = scheme;
    stream->fd = fd;
    stream->out_fd = -1;
    stream->session = shake->own.session;
    stream->rules = (struct di_wire_rules){
        .session = (uint32_t)shake->own.session,
        .frame_max = shake->own.frame_max,
        .message_max = smaller(shake->own.message_max, shake->peer.message_max)};
    stream->frame_max = shake->peer.frame_max;
    stream->loans.stream = stream;
    stream->heartbeat_ns = options->heartbeat_ns;
    stream->heartbeat_missed = options->heartbeat_missed;
    stream->reassembly_ns = options->reassembly_ns;
    di_sendq_init(&stream->queue, (size_t)options->pool);
    *out = stream;
    return DUCT_OK;
}

void stream_release(struct stream *stream, struct di_io *io)
{
    /* [refs] publishes: what this half did. */
    if (atomic_fetch_sub_explicit(&stream->refs, 1, memory_order_release) != 1)
        return;
    /* [refs] observes: what the other did. */
    atomic_thread_fence(memory_order_acquire);
    stream->discarded += stream->queue.bytes > 0;
    di_sendq_fini(&stream->queue);
    stream_loans_fini(&stream->loans);
    stream_zc_give(stream->zc);
    di_io_close_socket(io, stream->out_fd);
    di_io_close_socket(io, stream->fd);
    pthread_mutex_destroy(&stream->lock);
    stream_quota_give(stream->quota);
    free(stream);
}

/* A handle with the halves given; takes a reference. */
static enum duct_err open_handle(struct duct_pipe **pipe, struct stream *stream,
                                 struct duct_context *context, const struct duct_options *options,
                                 bool sends, struct stream_in *in)
{
    struct stream_pipe *sp =
        (struct stream_pipe *)di_pipe_alloc(sizeof(*sp), context, &stream_pipe_ops, options);

    if (sp == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe");
    sp->stream = stream;
    sp->sends = sends;
    sp->in = in;
    sp->exported = -1;
    sp->bell = -1;
    sp->stir.run = stream_stir;
    sp->pipe.can = (sends ? DI_CAN_SEND : 0) | (in != NULL ? DI_CAN_RECV : 0);
    stream_pipe_attach(&sp->pipe);
    *pipe = &sp->pipe;
    return DUCT_OK;
}

enum duct_err stream_pipe_start(struct duct_pipe **pipe, struct stream *stream,
                                struct duct_context *context, const struct duct_options *options,
                                const void *bytes, size_t size)
{
    struct stream_in *in;
    enum duct_err err = stream_in_open(&in, options->held_max);

    if (err != DUCT_OK)
        return err;
    if ((err = stream_in_feed(in, bytes, size)) != DUCT_OK ||
        (err = open_handle(pipe, stream, context, options, true, in)) != DUCT_OK)
        stream_in_close(in);
    return err;
}

static enum duct_err split(struct duct_pipe *pipe, struct duct_pipe **sender,
                           struct duct_pipe **receiver)
{
    struct stream_pipe *whole = stream_of(pipe);
    struct stream *stream = whole->stream;
    const struct duct_options options = di_pipe_options(pipe);
    enum duct_err err;

    *sender = *receiver = NULL;
    if (whole->exported >= 0)
        return di_fail(DUCT_EINVAL, "a pipe whose descriptor was taken cannot be split");
    stream_pipe_detach(pipe);
    stream->split = true;
    if ((err = open_handle(sender, stream, pipe->context, &options, true, NULL)) != DUCT_OK ||
        (err = open_handle(receiver, stream, pipe->context, &options, false, whole->in)) !=
            DUCT_OK) {
        /* The pipe goes on whole; a half that was made goes quietly. */
        if (*sender != NULL) {
            stream_pipe_detach(*sender);
            di_pipe_unlink(*sender);
            di_pipe_free(*sender);
        }
        stream->split = false;
        stream_pipe_attach(pipe);
        di_pipe_activate(pipe);
        return err;
    }
    /* Relaxed: no other thread has the stream yet. */
    atomic_fetch_add_explicit(&stream->refs, 1, memory_order_relaxed);
    di_pipe_unlink(pipe);
    di_pipe_free(pipe);
    return DUCT_OK;
}

static enum duct_err set_waiting(struct duct_pipe *pipe, const struct duct_waiting *waiting)
{
    (void)pipe;
    if (waiting->bell != DUCT_BELL_AUTO)
        return di_fail(DUCT_ENOTSUP, "a stream has no doorbell: bell is auto here");
    return DUCT_OK;
}

static uint64_t untaken(struct duct_pipe *pipe)
{
    const struct stream *stream = stream_of(pipe)->stream;

    /* Relaxed: the number alone. Both wrap. */
    return stream->seq - atomic_load_explicit(&stream->acked, memory_order_relaxed);
}

static void info(struct duct_pipe *pipe, struct duct_pipe_info *all)
{
    struct stream *stream = stream_of(pipe)->stream;

    all->scheme = stream->scheme->name;
    all->peer_pid = stream->peer.pid;
    all->peer_uid = stream->peer.uid;
    all->peer_gid = stream->peer.gid;
    all->session_id = stream->session;
    all->max_send = stream->rules.message_max;
    all->max_recv = stream->rules.message_max;
    stream_lock(stream);
    all->close_code = stream->close_code;
    memcpy(all->close_text, stream->close_text, sizeof(all->close_text));
    stream_unlock(stream);
}

static void stats(struct duct_pipe *pipe, struct duct_pipe_stats *all)
{
    struct stream_pipe *sp = stream_of(pipe);

    all->parks = sp->parks;
    all->doorbells_heard = sp->heard;
    if (sp->sends) {
        all->sent_msgs = sp->stream->sent_msgs;
        all->sent_bytes = sp->stream->sent_bytes;
        all->full_ring = sp->stream->full;
        all->refused_too_big = sp->stream->too_big;
        all->dropped_unsent = sp->stream->discarded;
        stream_zc_stats(sp->stream->zc, all);
    }
    if (sp->in != NULL) {
        all->received_msgs = sp->in->msgs;
        all->received_bytes = sp->in->bytes;
        all->full_held = sp->in->held->full;
    }
}

const struct di_pipe_ops stream_pipe_ops = {
    .scheme = "stream",
    .pulled = true,
    .loan = stream_pipe_loan,
    .loan_batch = stream_pipe_loan_batch,
    .send = stream_pipe_send,
    .call = stream_pipe_call,
    .recv = stream_pipe_recv,
    .write = stream_pipe_write,
    .writev = stream_pipe_writev,
    .read = stream_pipe_read,
    .send_batch = stream_pipe_send_batch,
    .recv_batch = stream_pipe_recv_batch,
    .write_batch = stream_pipe_write_batch,
    .read_batch = stream_pipe_read_batch,
    .flush = stream_pipe_flush,
    .spin = stream_pipe_spin,
    .ready = stream_pipe_ready,
    .arm = stream_pipe_arm,
    .disarm = stream_pipe_disarm,
    .look = stream_pipe_look,
    .detach = stream_pipe_detach,
    .attach = stream_pipe_attach,
    .adopted = stream_pipe_adopted,
    .split = split,
    .fd = stream_pipe_fd,
    .set_waiting = set_waiting,
    .untaken = untaken,
    .info = info,
    .stats = stats,
    .part = stream_pipe_part,
    .close = stream_pipe_close,
};
