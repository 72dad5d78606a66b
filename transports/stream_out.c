/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "transports/stream_loan.h"
#include "transports/stream_out.h"
#include "transports/stream_zc.h"

/*
 * What leaves a stream. A message goes to the kernel at once, by one system call without a copy, unless
 * something is queued already or the caller says that more follows; what the kernel does not take is queued,
 * and the loop waits for room. So a small message is copied only where it is to leave together with others.
 */

/* Pieces of one system call: enough for a batch, small enough for the stack. */
#define PIECES_MAX 66u

/* Parts of a large message in one system call: three pieces each. */
#define PARTS_MAX (PIECES_MAX / 3)

/* Copied to leave with others, up to here; above it is cheaper to hand on the memory. */
#define COPY_MAX ((size_t)4096)

static const unsigned char zeros[DI_WIRE_ALIGN];

static struct di_frame data_frame(struct stream_pipe *sp, size_t size, uint64_t tag)
{
    return (struct di_frame){.size = (uint32_t)size,
                             .type = DI_FRAME_DATA,
                             .tag = tag,
                             .session = sp->stream->rules.session,
                             .seq = sp->stream->seq,
                             .ack = sp->in != NULL ? sp->in->taken : 0,
                             .whole = (uint32_t)size};
}

/* The front of the queue: without a copy where it lies so that it may be. */
static int64_t send_front(struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;
    struct di_io *io = sp->pipe.context->io;
    struct iovec pieces[PIECES_MAX];
    struct di_chunk *front = di_sendq_front(&stream->queue);

    pieces[0] = (struct iovec){front->at, front->left};
    int64_t done = stream_zc_send(stream->zc, io, stream->fd, front, &pieces[0]);
    if (done != -EOPNOTSUPP)
        return done;
    uint32_t count = di_sendq_pieces(&stream->queue, pieces, PIECES_MAX);
    return di_io_try_send(io, stream->fd, pieces, count);
}

/* All that the kernel takes of the queue; false once the socket is of no use any more. */
static bool drain_queue(struct stream_pipe *sp, enum duct_err *err)
{
    struct stream *stream = sp->stream;

    stream->held_back = false;
    while (stream->queue.bytes > 0) {
        int64_t done = send_front(sp);
        if (done == -EAGAIN)
            return true;
        if (done < 0) {
            *err = stream_broken(sp, (int)-done);
            return false;
        }
        di_sendq_advance(&stream->queue, (size_t)done);
    }
    return true;
}

/* What is queued and cannot leave now does so when there is room: the sending half's loop sees to it. */
static void leave_later(struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;

    if (sp->sends)
        stream_wait_for_room(sp);
    else if (stream->stir[STREAM_SENDER] != NULL)
        di_context_post(stream->stir_context[STREAM_SENDER], stream->stir[STREAM_SENDER]);
}

enum duct_err stream_push_locked(struct stream_pipe *sp)
{
    enum duct_err err = DUCT_OK;

    stream_call_look(sp);
    if (!drain_queue(sp, &err))
        return err;
    if (sp->stream->owed != 0 && di_sendq_room(&sp->stream->queue, DI_WIRE_HEADER))
        stream_send_owed(sp);
    if (sp->stream->queue.bytes > 0)
        leave_later(sp);
    return err;
}

void stream_push(struct stream_pipe *sp)
{
    stream_lock(sp->stream);
    enum duct_err ignored = stream_push_locked(sp); /* the pipe has ended, and says so by itself */
    (void)ignored;
    stream_unlock(sp->stream);
}

static enum duct_err no_memory(struct stream_pipe *sp)
{
    /* Part of a frame may have left: nothing sensible can follow. */
    enum duct_err err = di_fail(DUCT_ENOMEMORY, "no memory for what a pipe has to send");

    stream_end(sp->stream, err);
    di_pipe_end(&sp->pipe, err);
    return err;
}

/* Room for so many bytes more? Looks at the socket before it says no. */
static enum duct_err make_room(struct stream_pipe *sp, size_t size)
{
    struct stream *stream = sp->stream;
    enum duct_err err;

    if (di_sendq_room(&stream->queue, size))
        return DUCT_OK;
    if ((err = stream_push_locked(sp)) != DUCT_OK)
        return err;
    if (di_sendq_room(&stream->queue, size))
        return DUCT_OK;
    stream->full++;
    stream->need = size;
    return DUCT_EAGAIN;
}

/* Hands on what was queued. What lies in the queue is the stream's, and part of it may have left: that the stream has
 * ended meanwhile is for the next call to say. */
static void push_queued(struct stream_pipe *sp)
{
    enum duct_err ignored = stream_push_locked(sp);
    (void)ignored;
}

/* Bytes of one frame, or more: at once if they may, behind what is queued if they must. */
static enum duct_err put(struct stream_pipe *sp, const struct iovec *pieces, uint32_t count,
                         size_t size, bool more)
{
    struct stream *stream = sp->stream;
    int64_t done = 0;

    DI_CRASH_POINT("stream.frame_due");
    if (stream->queue.bytes == 0 && !more) {
        done = di_io_try_send(sp->pipe.context->io, stream->fd, pieces, count);
        DI_CRASH_POINT("stream.frame_gone");
        if (done == (int64_t)size)
            return DUCT_OK;
        if (done < 0 && done != -EAGAIN)
            return stream_broken(sp, (int)-done);
        done = done < 0 ? 0 : done;
    }
    bool first = stream->queue.bytes == 0;
    if (!di_sendq_copy(&stream->queue, pieces, count, (size_t)done))
        return no_memory(sp);
    stream->held_back = first ? more : stream->held_back;
    if (first && !more)
        leave_later(sp);
    else if (stream->held_back && (!more || stream->queue.bytes >= STREAM_MORE_MAX))
        push_queued(sp);
    return DUCT_OK;
}

/* One part of a message: its header, its bytes and their padding, as three pieces. How many bytes that is. */
static size_t gather_part(struct iovec pieces[3], unsigned char header[DI_WIRE_HEADER],
                          const struct di_frame *frame, const unsigned char *data)
{
    size_t padding = di_wire_padded(frame->size) - frame->size;

    di_wire_put(header, frame);
    pieces[0] = (struct iovec){header, DI_WIRE_HEADER};
    pieces[1] = (struct iovec){(void *)(uintptr_t)(data + frame->offset), frame->size};
    pieces[2] = (struct iovec){(void *)(uintptr_t)zeros, padding};
    return DI_WIRE_HEADER + frame->size + padding;
}

/* A message that is larger than the peer takes in one frame, in parts: as many in one system call as fit, and only
 * what the kernel does not take of them is copied. */
static enum duct_err put_parts(struct stream_pipe *sp, const unsigned char *data, size_t size,
                               uint64_t tag)
{
    struct stream *stream = sp->stream;
    struct di_frame frame = data_frame(sp, size, tag);
    unsigned char headers[PARTS_MAX][DI_WIRE_HEADER];
    struct iovec pieces[3 * PARTS_MAX];
    enum duct_err err = DUCT_OK;

    for (size_t at = 0; at < size && err == DUCT_OK;) {
        size_t bytes = 0;
        uint32_t parts = 0;
        for (; parts < PARTS_MAX && at < size; parts++, at += frame.size) {
            frame.offset = (uint32_t)at;
            frame.size = (uint32_t)(size - at < stream->frame_max ? size - at : stream->frame_max);
            bytes += gather_part(pieces + 3 * parts, headers[parts], &frame, data);
        }
        err = put(sp, pieces, 3 * parts, bytes, false);
    }
    return err;
}

static size_t frames_size(const struct stream *stream, size_t size)
{
    size_t frames = size <= stream->frame_max ? 1 : (size - 1) / stream->frame_max + 1;

    return frames * (DI_WIRE_HEADER + DI_WIRE_ALIGN) + size;
}

enum duct_err stream_too_big(struct stream *stream, size_t size)
{
    stream->too_big++;
    return di_fail(DUCT_ETOOBIG,
                   "a message of %zu bytes is larger than this pipe takes, %llu; the option "
                   "max_msg, on both sides, allows more",
                   size, (unsigned long long)stream->rules.message_max);
}

/* The frame of every call that sends: limits, room, and the books. Under the lock. */
static enum duct_err admit(struct stream_pipe *sp, size_t size)
{
    struct stream *stream = sp->stream;

    if (size > stream->rules.message_max)
        return stream_too_big(stream, size);
    stream_call_look(sp);
    /* Relaxed: a hint; the loop's side tells the reason. */
    if (atomic_load_explicit(&stream->ended, memory_order_relaxed) != DUCT_OK)
        return stream_broken(sp, EPIPE);
    return make_room(sp, frames_size(stream, size));
}

static void account(struct stream *stream, size_t size)
{
    stream->seq++;
    stream->sent_msgs++;
    stream->sent_bytes += size;
}

/*
 * A small message behind others that are held back, while more follow: framed where it is to lie. This is the way of
 * most messages of a run, and all of its way: everything else is put as it must be. False: it is not so simple, and
 * nothing was done.
 */
static inline bool follow(struct stream_pipe *sp, const void *data, size_t size, uint64_t tag)
{
    struct stream *stream = sp->stream;
    struct di_sendq *queue = &stream->queue;
    size_t padded = di_wire_padded(size);

    if (!stream->held_back || sp->calling != 0 || size > COPY_MAX || size > stream->frame_max ||
        size > stream->rules.message_max)
        return false;
    /* Relaxed: a hint, as in admit(). */
    if (queue->bytes + DI_WIRE_HEADER + padded >= STREAM_MORE_MAX ||
        !di_sendq_room(queue, frames_size(stream, size)) ||
        atomic_load_explicit(&stream->ended, memory_order_relaxed) != DUCT_OK)
        return false;
    unsigned char *at = di_sendq_extend(queue, DI_WIRE_HEADER + padded);
    if (at == NULL)
        return false;
    struct di_frame frame = data_frame(sp, size, tag);
    di_wire_put(at, &frame);
    at += DI_WIRE_HEADER;
    if (padded > size)
        memset(at + padded - DI_WIRE_ALIGN, 0, DI_WIRE_ALIGN);
    if (size > 0)
        memcpy(at, data, size);
    return true;
}

/* A message in pieces, of which there is room for one before and one behind. */
static enum duct_err send_pieces(struct stream_pipe *sp, struct iovec *pieces, uint32_t count,
                                 size_t size, uint64_t tag, bool more)
{
    struct di_frame frame = data_frame(sp, size, tag);
    unsigned char header[DI_WIRE_HEADER];
    size_t padded = di_wire_padded(size);

    di_wire_put(header, &frame);
    pieces[0] = (struct iovec){header, sizeof(header)};
    if (padded > size)
        pieces[++count] = (struct iovec){(void *)(uintptr_t)zeros, padded - size};
    return put(sp, pieces, count + 1, DI_WIRE_HEADER + padded, more);
}

enum duct_err stream_write_one(struct stream_pipe *sp, const void *data, size_t size, uint64_t tag,
                               bool more)
{
    struct stream *stream = sp->stream;
    struct iovec pieces[3] = {{NULL, 0}, {(void *)(uintptr_t)data, size}};
    enum duct_err err;

    if (more && follow(sp, data, size, tag)) {
        account(stream, size);
        return DUCT_OK;
    }
    if ((err = admit(sp, size)) != DUCT_OK)
        return err;
    if (size > stream->frame_max)
        err = put_parts(sp, data, size, tag);
    else
        err = send_pieces(sp, pieces, size > 0 ? 1 : 0, size, tag, more);
    if (err == DUCT_OK)
        account(stream, size);
    return err;
}

enum duct_err stream_pipe_write(struct duct_pipe *pipe, const void *data, size_t size, uint64_t tag)
{
    struct stream_pipe *sp = stream_of(pipe);

    stream_lock(sp->stream);
    enum duct_err err = stream_left(sp, stream_write_one(sp, data, size, tag, false));
    stream_unlock(sp->stream);
    return err;
}

enum duct_err stream_pipe_writev(struct duct_pipe *pipe, const struct iovec *given, size_t count,
                                 size_t size, uint64_t tag)
{
    struct stream_pipe *sp = stream_of(pipe);
    struct iovec pieces[PIECES_MAX];
    unsigned char *gathered = NULL;
    enum duct_err err;

    if (size > sp->stream->rules.message_max)
        return stream_too_big(sp->stream, size);
    if (count <= PIECES_MAX - 2 && size <= sp->stream->frame_max) {
        stream_lock(sp->stream);
        err = admit(sp, size);
        if (count > 0)
            memcpy(pieces + 1, given, count * sizeof(given[0]));
        if (err == DUCT_OK)
            err = send_pieces(sp, pieces, (uint32_t)count, size, tag, false);
        if (err == DUCT_OK)
            account(sp->stream, size);
        err = stream_left(sp, err);
        stream_unlock(sp->stream);
        return err;
    }
    gathered = malloc(size > 0 ? size : 1);
    if (gathered == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to gather a message");
    for (size_t i = 0, at = 0; i < count; at += given[i].iov_len, i++) {
        if (given[i].iov_len > 0)
            memcpy(gathered + at, given[i].iov_base, given[i].iov_len);
    }
    err = stream_pipe_write(pipe, gathered, size, tag);
    free(gathered);
    return err;
}

/* ---- Messages on loan ---- */

/* What the kernel has not taken is queued where it lies. */
static void queue_chunk(struct stream *stream, struct stream_loan *loan, size_t done, size_t size)
{
    struct di_chunk *chunk = loan->chunk;

    chunk->at = loan->data - DI_WIRE_HEADER + done;
    chunk->left = size - done;
    chunk->spare = 0;
    loan->chunk = NULL;
    di_sendq_link(&stream->queue, chunk);
}

/* The kernel takes what it takes of the chunk; the rest is queued. */
static enum duct_err put_chunk(struct stream_pipe *sp, struct stream_loan *loan, size_t size,
                               bool more)
{
    struct stream *stream = sp->stream;
    struct di_io *io = sp->pipe.context->io;
    struct iovec piece = {loan->data - DI_WIRE_HEADER, size};
    int64_t done = 0;

    if (size <= COPY_MAX + DI_WIRE_HEADER && (more || stream->queue.bytes > 0))
        return put(sp, &piece, 1, size, more);
    DI_CRASH_POINT("stream.loan_due");
    if (stream->queue.bytes == 0 && !more) {
        done = stream_zc_send(stream->zc, io, stream->fd, loan->chunk, &piece);
        if (done == -EOPNOTSUPP)
            done = di_io_try_send(io, stream->fd, &piece, 1);
        DI_CRASH_POINT("stream.loan_gone");
        if (done == (int64_t)size)
            return DUCT_OK;
        if (done < 0 && done != -EAGAIN)
            return stream_broken(sp, (int)-done);
        done = done < 0 ? 0 : done;
    }
    if (stream->queue.bytes == 0)
        stream->held_back = more;
    queue_chunk(stream, loan, (size_t)done, size);
    if (!stream->held_back || !more || stream->queue.bytes >= STREAM_MORE_MAX)
        push_queued(sp);
    return DUCT_OK;
}

/* The loan of a message: one of this pipe's, and within its limits. */
static enum duct_err find_loan(struct stream_pipe *sp, const struct duct_msg *msg,
                               struct stream_loan **found)
{
    struct stream_loan *loan = *found = stream_find_loan(&sp->stream->loans, msg);

    if (loan == NULL || msg->size > loan->capacity)
        return di_fail(DUCT_EINVAL, loan == NULL
                                        ? "duct_send: the message is not on loan from this pipe"
                                        : "duct_send: the message is longer than its loan");
    return DUCT_OK;
}

/* Header before, padding behind; the size of it all. */
static size_t frame_loan(struct stream_pipe *sp, struct stream_loan *loan,
                         const struct duct_msg *msg)
{
    struct di_frame frame = data_frame(sp, msg->size, msg->tag);
    size_t padded = di_wire_padded(msg->size);

    di_wire_put(loan->data - DI_WIRE_HEADER, &frame);
    memset(loan->data + msg->size, 0, padded - msg->size);
    return DI_WIRE_HEADER + padded;
}

static enum duct_err put_loan(struct stream_pipe *sp, struct stream_loan *loan,
                              const struct duct_msg *msg, bool more)
{
    enum duct_err err = admit(sp, msg->size);

    if (err != DUCT_OK)
        return err;
    if (msg->size > sp->stream->frame_max)
        return put_parts(sp, loan->data, msg->size, msg->tag);
    return put_chunk(sp, loan, frame_loan(sp, loan, msg), more);
}

enum duct_err stream_send_one(struct stream_pipe *sp, struct duct_msg *msg, bool more)
{
    struct stream *stream = sp->stream;
    struct stream_loan *loan;
    enum duct_err err = find_loan(sp, msg, &loan);

    if (err != DUCT_OK)
        return err;
    if (!(more && follow(sp, loan->data, msg->size, msg->tag)) &&
        (err = put_loan(sp, loan, msg, more)) != DUCT_OK)
        return err;
    account(stream, msg->size);
    stream_give_back(&stream->loans, loan);
    di_msg_empty(msg);
    return DUCT_OK;
}

enum duct_err stream_take_loan(struct stream_pipe *sp, struct duct_msg *msg, uint32_t *place,
                               size_t *size)
{
    struct stream_loan *loan;
    enum duct_err err = find_loan(sp, msg, &loan);

    if (err != DUCT_OK || (err = admit(sp, msg->size)) != DUCT_OK)
        return err;
    *size = frame_loan(sp, loan, msg);
    *place = (uint32_t)(loan - sp->stream->loans.table);
    loan->generation++; /* a copy of the handle names nothing any more */
    account(sp->stream, msg->size);
    di_msg_empty(msg);
    return DUCT_OK;
}

void stream_queue_loan(struct stream_pipe *sp, uint32_t place, size_t done, size_t size)
{
    struct stream *stream = sp->stream;

    queue_chunk(stream, &stream->loans.table[place], done, size);
    stream->held_back = false;
    stream_give_back(&stream->loans, &stream->loans.table[place]);
}

enum duct_err stream_pipe_send(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct stream_pipe *sp = stream_of(pipe);

    stream_lock(sp->stream);
    enum duct_err err =
        stream_left(sp, stream_send_one(sp, msg, (msg->flags & DUCT_MSG_MORE) != 0));
    stream_unlock(sp->stream);
    return err;
}
