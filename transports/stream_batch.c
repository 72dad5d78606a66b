/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "lib/base/crash.h"
#include "transports/stream.h"
#include "transports/stream_out.h"

/* What leaves together, and what leaves that is no message: batches, flush, notes, the good-bye. */

enum duct_err stream_pipe_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                     size_t *done)
{
    struct stream_pipe *sp = stream_of(pipe);
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    stream_lock(sp->stream);
    while (i < count && (err = stream_send_one(sp, &msgs[i], true)) == DUCT_OK)
        i++;
    enum duct_err pushed = sp->stream->held_back ? stream_push_locked(sp) : DUCT_OK;
    err = stream_left(sp, i > 0 ? DUCT_OK : pushed != DUCT_OK ? pushed : err);
    stream_unlock(sp->stream);
    *done = i;
    return err;
}

enum duct_err stream_pipe_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                      size_t count, size_t *done)
{
    struct stream_pipe *sp = stream_of(pipe);
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    stream_lock(sp->stream);
    for (; i < count; i++) {
        err = stream_write_one(sp, views[i].data, views[i].size, views[i].tag, true);
        if (err != DUCT_OK)
            break;
    }
    enum duct_err pushed = sp->stream->held_back ? stream_push_locked(sp) : DUCT_OK;
    err = stream_left(sp, i > 0 ? DUCT_OK : pushed != DUCT_OK ? pushed : err);
    stream_unlock(sp->stream);
    *done = i;
    return err;
}

void stream_pipe_flush(struct duct_pipe *pipe)
{
    stream_push(stream_of(pipe));
}

static void put_frame(struct stream_pipe *sp, struct di_frame *frame, const void *payload)
{
    struct stream *stream = sp->stream;
    unsigned char bytes[DI_WIRE_HEADER + DI_CLOSE_SIZE_MAX + DI_WIRE_ALIGN] = {0};
    const struct iovec piece = {bytes, DI_WIRE_HEADER + di_wire_padded(frame->size)};

    stream_call_look(sp);
    frame->session = stream->rules.session;
    frame->seq = stream->seq;
    frame->ack = sp->in != NULL ? sp->in->taken : 0;
    di_wire_put(bytes, frame);
    if (frame->size > 0)
        memcpy(bytes + DI_WIRE_HEADER, payload, frame->size);
    if (di_sendq_copy(&stream->queue, &piece, 1, 0)) {
        enum duct_err ignored = stream_push_locked(sp); /* the pipe has ended, and says so */
        (void)ignored;
    }
}

/* A peer may ask without end and fetch no answer: what finds no room in the queue is owed, one of each type. */
static void put_note(struct stream_pipe *sp, enum di_frame_type type, uint64_t tag)
{
    struct di_frame frame = {.type = (uint8_t)type, .tag = tag};
    struct stream *stream = sp->stream;

    if (di_sendq_room(&stream->queue, DI_WIRE_HEADER)) {
        put_frame(sp, &frame, NULL);
        return;
    }
    stream->owed |= 1u << type;
    if (type == DI_FRAME_PONG)
        stream->owed_pong = tag;
}

void stream_send_note(struct stream_pipe *sp, enum di_frame_type type, uint64_t tag)
{
    stream_lock(sp->stream);
    if (!sp->stream->hung_up)
        put_note(sp, type, tag);
    stream_unlock(sp->stream);
}

void stream_send_owed(struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;
    uint32_t owed = stream->owed;

    stream->owed = 0;
    for (unsigned type = DI_FRAME_DRAIN; type <= DI_FRAME_PONG && !stream->hung_up; type++) {
        if (owed & 1u << type)
            put_note(sp, (enum di_frame_type)type, type == DI_FRAME_PONG ? stream->owed_pong : 0);
    }
}

void stream_send_close(struct stream_pipe *sp, enum duct_err err, uint32_t code, const char *text)
{
    unsigned char payload[DI_CLOSE_SIZE_MAX];
    struct di_frame frame = {.size = (uint32_t)di_close_put(payload, code, err, text),
                             .type = DI_FRAME_CLOSE};
    struct stream *stream = sp->stream;

    stream_lock(stream);
    if (!stream->hung_up) {
        DI_CRASH_POINT("stream.goodbye_due");
        put_frame(sp, &frame, payload);
        DI_CRASH_POINT("stream.goodbye_said");
        stream->hung_up = true;
    }
    stream_unlock(stream);
}
