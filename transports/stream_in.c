/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_in.h"
#include "lib/base/crash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"

enum duct_err stream_in_open(struct stream_in **out, uint32_t held_max)
{
    struct stream_in *in = calloc(1, sizeof(*in));

    if (in != NULL)
        in->held = stream_held_open(held_max);
    if (in == NULL || in->held == NULL) {
        free(in);
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe's receiving half");
    }
    *out = in;
    return DUCT_OK;
}

void stream_in_close(struct stream_in *in)
{
    if (in->buffer != NULL)
        stream_held_leave(in->held, in->buffer);
    if (in->block != NULL)
        di_buffer_release(in->block);
    stream_held_close(in->held);
    free(in);
}

/* What is still missing of the frame at begin. */
static size_t missing(const struct stream_in *in)
{
    size_t frame = DI_WIRE_HEADER + (in->have_frame ? di_wire_padded(in->frame.size) : 0);
    size_t there = in->end - in->begin;

    return frame > there ? frame - there : 0;
}

/* Moves what was not yet taken to a new buffer. False: no memory, and nothing has changed. */
static bool move_to_fresh(struct stream_in *in, size_t capacity)
{
    size_t there = in->end - in->begin;
    struct di_buffer *fresh = di_buffer_alloc(capacity);

    if (fresh == NULL)
        return false;
    if (there > 0)
        memcpy(fresh->bytes, in->buffer->bytes + in->begin, there);
    if (in->buffer != NULL)
        stream_held_leave(in->held, in->buffer);
    in->buffer = fresh;
    in->begin = 0;
    in->end = there;
    return true;
}

/* Moves what was not yet taken to the front of the buffer, or of a new one if the program still reads in this. */
static void make_room(struct stream_in *in)
{
    size_t there = in->end - in->begin;

    if (in->begin == 0)
        return;
    if (!stream_held_alone(in->held, in->buffer)) {
        (void)move_to_fresh(in, STREAM_BUFFER_SIZE);
        return;
    }
    memmove(in->buffer->bytes, in->buffer->bytes + in->begin, there);
    in->begin = 0;
    in->end = there;
}

uint32_t stream_in_room(struct stream_in *in, struct iovec pieces[2])
{
    uint32_t count = 0;

    if (in->block != NULL && in->frame_left > 0 && in->begin == in->end)
        pieces[count++] = (struct iovec){in->block->bytes + in->filled, in->frame_left};
    if ((in->buffer == NULL || in->buffer->capacity < STREAM_BUFFER_SIZE) &&
        !move_to_fresh(in, STREAM_BUFFER_SIZE))
        return count;
    if (in->begin == in->end && stream_held_alone(in->held, in->buffer))
        in->begin = in->end = 0;
    size_t least = missing(in) > STREAM_ROOM_LEAST ? missing(in) : STREAM_ROOM_LEAST;
    if (in->buffer->capacity - in->end < least)
        make_room(in);
    if (in->end < in->buffer->capacity)
        pieces[count++] =
            (struct iovec){in->buffer->bytes + in->end, in->buffer->capacity - in->end};
    return count;
}

void stream_in_arrived(struct stream_in *in, size_t bytes, const struct iovec *pieces,
                       uint32_t count)
{
    size_t room = 0;

    in->arrived += bytes;
    for (uint32_t i = 0; i < count; i++)
        room += pieces[i].iov_len;
    in->more = bytes == room;
    if (in->bulk > 0 && bytes < DI_BUFFER_SIZE / 2)
        in->bulk--;
    if (in->block != NULL && pieces[0].iov_base == in->block->bytes + in->filled) {
        size_t part = bytes < pieces[0].iov_len ? bytes : pieces[0].iov_len;
        in->filled += part;
        in->frame_left -= part;
        bytes -= part;
    }
    in->end += bytes;
}

bool stream_in_got(struct stream_in *in, int64_t got)
{
    in->dry = got == -EAGAIN;
    in->finished = in->finished || (got <= 0 && got != -EAGAIN);
    in->error = got < 0 && got != -EAGAIN ? (int)-got : in->error;
    in->more = in->more && got > 0;
    if (got > 0)
        DI_CRASH_POINT("stream.received");
    return got > 0;
}

bool stream_in_add(struct stream_in *in, struct di_buffer *buffer)
{
    size_t there = in->end - in->begin, size = buffer->size;

    in->arrived += size;
    if (size == buffer->capacity)
        in->bulk = STREAM_BULK_PATIENCE;
    if (there == 0) {
        if (in->buffer != NULL)
            stream_held_leave(in->held, in->buffer);
        in->buffer = buffer;
        in->begin = 0;
        in->end = size;
        return true;
    }
    size_t least = there + size > STREAM_JOINT_SIZE ? there + size : STREAM_JOINT_SIZE;
    bool fits = in->buffer->capacity - in->end >= size || move_to_fresh(in, least);
    if (fits) {
        memcpy(in->buffer->bytes + in->end, buffer->bytes, size);
        in->end += size;
    }
    di_buffer_release(buffer);
    return fits;
}

enum duct_err stream_in_feed(struct stream_in *in, const void *bytes, size_t size)
{
    struct iovec pieces[2];

    /* The handshake's buffer is smaller than ours, so that all of it fits. */
    if (size == 0)
        return DUCT_OK;
    if (stream_in_room(in, pieces) == 0)
        return di_fail(DUCT_ENOMEMORY, "no memory for what a peer sent");
    memcpy(pieces[0].iov_base, bytes, size);
    in->end += size;
    return DUCT_OK;
}

void stream_in_rest(struct stream_in *in)
{
    if (in->buffer == NULL || in->begin != in->end)
        return;
    stream_held_leave(in->held, in->buffer);
    in->buffer = NULL;
    in->begin = in->end = 0;
}

const unsigned char *stream_in_data(const struct stream_in *in)
{
    return in->block != NULL ? in->block->bytes : in->buffer->bytes + in->begin + DI_WIRE_HEADER;
}

const struct di_frame *stream_in_head(const struct stream_in *in)
{
    return in->block != NULL ? &in->first : &in->frame;
}

/* The message is out of the way; given: and our reference to the memory in which it is the last one with it. */
static void step_over(struct stream_in *in, bool given)
{
    in->seq++;
    in->whole = false;
    DI_CRASH_POINT("stream.taken");
    if (in->block != NULL) {
        if (!given)
            di_buffer_release(in->block);
        in->block = NULL;
        return;
    }
    in->begin += DI_WIRE_HEADER + di_wire_padded(in->frame.size);
    in->have_frame = false;
    if (given) {
        in->buffer = NULL;
        in->begin = in->end = 0;
    } else if (in->buffer->home != NULL) {
        stream_in_rest(in); /* the loop has other uses for it */
    }
}

static void take(struct stream_in *in, bool given)
{
    in->msgs++;
    in->bytes += stream_in_head(in)->whole;
    in->taken++;
    step_over(in, given);
}

void stream_in_skip(struct stream_in *in)
{
    take(in, false);
}

void stream_in_discard(struct stream_in *in)
{
    step_over(in, false);
}

/* Whether nothing comes behind the message in its memory, neither now nor later. */
static bool is_last(const struct stream_in *in)
{
    size_t end = in->begin + DI_WIRE_HEADER + di_wire_padded(in->frame.size);

    return in->block != NULL || (in->buffer->home != NULL && end == in->end);
}

enum duct_err stream_in_hold(struct stream_in *in, struct duct_msg *msg)
{
    struct di_buffer *buffer = in->block != NULL ? in->block : in->buffer;
    bool given = is_last(in);
    enum duct_err err =
        stream_held_give(in->held, buffer, given, stream_in_head(in), stream_in_data(in), msg);

    if (err == DUCT_OK)
        take(in, given);
    return err;
}
