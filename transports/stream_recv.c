/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "transports/stream.h"

/* Receives in one go: one that never ends is left for later, so that others have their turn. */
#define PULLS_MAX 64u

/* The most that is read of a stream that is over: what a full socket buffer holds, in so many turns. */
#define PULL_ALL_MAX   (UINT64_C(16) << 20)
#define PULL_TURNS_MAX 128u

/* What arrives on a stream: frames out of bytes, messages out of frames, and who has to know of the rest. */

void stream_corrupt(struct stream_pipe *sp)
{
    char reason[DI_DETAIL_MAX];

    strncpy(reason, duct_err_detail(), sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    stream_send_close(sp, DUCT_ECORRUPT, 0, reason);
    stream_shut(sp);
    stream_end(sp->stream, DUCT_ECORRUPT);
    di_pipe_end(&sp->pipe, di_fail(DUCT_ECORRUPT, "%s", reason));
}

/* What the pipe ends with by that good-bye: the peer closed in order, or gave us up for another reason; its code and
 * words are kept. */
static enum duct_err told_by(struct stream *stream, const struct di_close *close)
{
    stream_lock(stream);
    stream->close_code = close->code;
    memcpy(stream->close_text, close->text, sizeof(stream->close_text));
    stream_unlock(stream);
    if (close->err == DUCT_ECLOSED)
        return DUCT_ECLOSED;
    if (close->text[0] != '\0')
        return DUCT_EPEER;
    enum duct_err why =
        di_fail(DUCT_EPEER, "the peer gave up: %s", duct_err_text((enum duct_err)close->err));
    stream_keep_why(stream);
    return why;
}

/* The peer said good-bye: CLOSED, or what it found wrong with us. */
static void take_close(struct stream_pipe *sp, const unsigned char *payload, size_t size)
{
    struct di_close close;

    if (di_close_get(&close, payload, size) != DUCT_OK) {
        stream_corrupt(sp);
        return;
    }
    enum duct_err why = told_by(sp->stream, &close);
    stream_end(sp->stream, why);
    di_pipe_end(&sp->pipe, why);
    stream_answer_close(sp);
}

/* A frame that is no message, with its payload there. */
static void take_note(struct stream_pipe *sp, const struct di_frame *frame,
                      const unsigned char *payload)
{
    switch ((enum di_frame_type)frame->type) {
    case DI_FRAME_CLOSE:
        take_close(sp, payload, frame->size);
        break;
    case DI_FRAME_DRAIN:
        /* It is read when everything before it was taken: so this is the moment. */
        stream_send_note(sp, DI_FRAME_ACK, 0);
        break;
    case DI_FRAME_PING:
        stream_send_note(sp, DI_FRAME_PONG, frame->tag);
        break;
    case DI_FRAME_ACK:
        /* Relaxed: the number alone. */
        atomic_store_explicit(&sp->stream->answered, STREAM_ANSWERED | frame->ack,
                              memory_order_relaxed);
        break;
    case DI_FRAME_PONG:
    case DI_FRAME_DATA:
        break;
    }
}

/* Moves what was received of a large message's frame to it. False: more has to come first. */
static bool fill_block(struct stream_in *in)
{
    size_t there = in->end - in->begin;
    size_t part = there < in->frame_left ? there : in->frame_left;

    if (part > 0)
        memcpy(in->block->bytes + in->filled, in->buffer->bytes + in->begin, part);
    in->filled += part;
    in->frame_left -= part;
    in->begin += part;
    if (in->frame_left > 0)
        return false;
    there = in->end - in->begin;
    part = there < in->pad_left ? there : in->pad_left;
    in->pad_left -= part;
    in->begin += part;
    if (in->pad_left > 0)
        return false;
    in->in_frame = false;
    in->whole = in->filled == in->first.whole;
    return true;
}

static void open_frame(struct stream_in *in)
{
    in->frame_left = in->frame.size;
    in->pad_left = di_wire_padded(in->frame.size) - in->frame.size;
    in->begin += DI_WIRE_HEADER;
    in->have_frame = false;
    in->in_frame = true;
}

static bool bad_part(struct stream_pipe *sp)
{
    const struct di_frame *f = &sp->in->frame;
    enum duct_err err = di_fail(DUCT_ECORRUPT, "message %u came with its part at %u out of turn",
                                f->seq, f->offset);

    (void)err;
    stream_corrupt(sp);
    return false;
}

/* The next part of a message whose block is there. False: it is none. */
static bool continue_block(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;

    if (in->frame.seq != in->first.seq || in->frame.offset != in->filled ||
        in->frame.whole != in->first.whole || in->frame.tag != in->first.tag)
        return bad_part(sp);
    open_frame(in);
    return true;
}

/* A DATA frame at begin that starts a message. False: more has to come first, or it is no such. */
static bool start_message(struct stream_pipe *sp, size_t there)
{
    struct stream_in *in = sp->in;
    const struct di_frame *f = &in->frame;
    bool all = f->size == f->whole;

    if (f->seq != in->seq || f->offset != 0)
        return bad_part(sp);
    if (all && there >= DI_WIRE_HEADER + di_wire_padded(f->size)) {
        in->whole = true;
        return true;
    }
    if (all && f->size < STREAM_BLOCK_LEAST)
        return false;
    in->block = di_buffer_alloc(f->whole);
    if (in->block == NULL) {
        enum duct_err err =
            di_fail(DUCT_ENOMEMORY, "no memory for a message of %u bytes", f->whole);
        stream_end(sp->stream, err);
        di_pipe_end(&sp->pipe, err);
        return false;
    }
    in->first = *f;
    in->filled = 0;
    in->bulk = STREAM_BULK_PATIENCE;
    open_frame(in);
    if (!all)
        stream_message_begun(sp);
    return true;
}

/* A frame begins at begin. False: more has to come first, or it was the last. */
static bool take_frame(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;
    size_t there = in->end - in->begin;

    if (!in->have_frame) {
        if (there < DI_WIRE_HEADER)
            return false;
        if (di_wire_get(&in->frame, in->buffer->bytes + in->begin, &sp->stream->rules) != DUCT_OK) {
            stream_corrupt(sp);
            return false;
        }
        in->have_frame = true;
        /* Relaxed: the number alone. */
        atomic_store_explicit(&sp->stream->acked, in->frame.ack, memory_order_relaxed);
    }
    if (in->frame.type == DI_FRAME_DATA)
        return in->block != NULL ? continue_block(sp) : start_message(sp, there);
    if (there < DI_WIRE_HEADER + di_wire_padded(in->frame.size))
        return false;
    const unsigned char *payload = in->buffer->bytes + in->begin + DI_WIRE_HEADER;
    in->begin += DI_WIRE_HEADER + di_wire_padded(in->frame.size);
    in->have_frame = false;
    take_note(sp, &in->frame, payload);
    return in->frame.type != DI_FRAME_CLOSE;
}

bool stream_parse(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;

    for (;;) {
        if (in->whole && !in->discarding)
            return true;
        if (in->whole)
            stream_in_discard(in);
        else if (sp->pipe.end == DUCT_ECORRUPT)
            return false;
        else if (in->block != NULL && in->in_frame) {
            if (!fill_block(in))
                return false;
            if (in->whole)
                stream_message_complete(sp);
        } else if (!take_frame(sp)) {
            return false;
        }
    }
}

/* The end of the stream, without a good-bye if there was none before. */
static void finish(struct stream_pipe *sp)
{
    enum duct_err why = stream_ended(sp->stream);

    /* Whom we have told that we close need not say anything more. */
    if (why == DUCT_OK && !sp->parted)
        stream_end(sp->stream, why = stream_lost(sp->stream, sp->in->error));
    di_pipe_end(&sp->pipe, sp->parted ? DUCT_ECLOSED : why);
}

/* One receive; false if it was the last that makes sense now. */
static bool pull_once(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;
    struct iovec pieces[2];

    if (in->finished || sp->pipe.end == DUCT_ECORRUPT)
        return false;
    if (stream_taking(sp) || stream_may_take(sp))
        return stream_take_once(sp);
    uint32_t count = stream_in_room(in, pieces);
    if (count == 0)
        return false;
    int64_t got = di_io_try_recv(sp->pipe.context->io, sp->stream->fd, pieces, count);
    if (!stream_in_got(in, got))
        return false;
    stream_in_arrived(in, (size_t)got, pieces, count);
    return true;
}

void stream_pull(struct stream_pipe *sp)
{
    if (stream_reading(sp))
        return;
    for (unsigned i = 0; i < PULLS_MAX && pull_once(sp) && !stream_parse(sp); i++)
        continue;
    stream_settle(sp);
}

void stream_pull_all(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;
    const uint64_t first = in->arrived;

    for (unsigned turn = 0; turn < PULL_TURNS_MAX; turn++) {
        uint64_t before = in->arrived;
        stream_pull(sp);
        if (in->dry || in->finished || in->arrived == before || in->arrived - first >= PULL_ALL_MAX)
            return;
    }
}

enum duct_err stream_in_closes(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;
    struct di_frame frame;
    struct di_close close;

    if (in->block != NULL || in->buffer == NULL)
        return DUCT_OK;
    for (size_t at = in->begin; in->end - at >= DI_WIRE_HEADER;) {
        if (di_wire_get(&frame, in->buffer->bytes + at, &sp->stream->rules) != DUCT_OK)
            return DUCT_OK;
        size_t size = DI_WIRE_HEADER + di_wire_padded(frame.size);
        if (size > in->end - at)
            return DUCT_OK; /* a good-bye without its reason is none yet */
        const unsigned char *payload = in->buffer->bytes + at + DI_WIRE_HEADER;
        if (frame.type == DI_FRAME_CLOSE)
            return di_close_get(&close, payload, frame.size) == DUCT_OK
                       ? told_by(sp->stream, &close)
                       : DUCT_OK;
        at += size;
    }
    return DUCT_OK;
}

void stream_settle(struct stream_pipe *sp)
{
    if (!stream_parse(sp) && sp->in->finished)
        finish(sp);
}

/* A message is there, now or after a look at a socket that surely has more. */
static bool next(struct stream_pipe *sp)
{
    if (stream_parse(sp))
        return true;
    if (sp->in->more || sp->pipe.end != DUCT_OK)
        stream_pull(sp);
    return sp->in->whole;
}

enum duct_err stream_pipe_recv(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct stream_pipe *sp = stream_of(pipe);
    enum duct_err err = next(sp) ? stream_in_hold(sp->in, msg) : DUCT_EAGAIN;

    stream_signal(sp);
    return err;
}

static enum duct_err read_one(struct stream_pipe *sp, void *data, size_t capacity, size_t *size,
                              uint64_t *tag)
{
    if (!next(sp))
        return DUCT_EAGAIN;
    const struct di_frame *head = stream_in_head(sp->in);
    *size = head->whole;
    if (head->whole > capacity)
        return di_fail(DUCT_ETOOBIG, "the message has %u bytes, the buffer room for %zu",
                       head->whole, capacity);
    if (head->whole > 0)
        memcpy(data, stream_in_data(sp->in), head->whole);
    if (tag != NULL)
        *tag = head->tag;
    stream_in_skip(sp->in);
    return DUCT_OK;
}

enum duct_err stream_pipe_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                               uint64_t *tag)
{
    struct stream_pipe *sp = stream_of(pipe);
    enum duct_err err = read_one(sp, data, capacity, size, tag);

    stream_signal(sp);
    return err;
}

enum duct_err stream_pipe_recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                     size_t *done)
{
    struct stream_pipe *sp = stream_of(pipe);
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    for (; i < count && err == DUCT_OK; i += err == DUCT_OK) {
        /* What is there already, and one look at the socket for the first. */
        bool there = i == 0 ? next(sp) : stream_parse(sp);
        err = there ? stream_in_hold(sp->in, &msgs[i]) : DUCT_EAGAIN;
    }
    *done = i;
    stream_signal(sp);
    return err;
}

enum duct_err stream_pipe_read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers,
                                     size_t count, size_t *done)
{
    struct stream_pipe *sp = stream_of(pipe);
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    for (; i < count && err == DUCT_OK; i += err == DUCT_OK) {
        if (i > 0 && !stream_parse(sp))
            err = DUCT_EAGAIN;
        else
            err = read_one(sp, buffers[i].data, buffers[i].capacity, &buffers[i].size,
                           &buffers[i].tag);
    }
    *done = i;
    stream_signal(sp);
    return err;
}
