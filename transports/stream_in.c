/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_in.h"
#include "lib/base/crash.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"

/* A handle's private number: the entry's place, and above it the number it had then. */
#define PLACE_BITS 20u
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

/* Where the chunk begins, as a place. */
static uint32_t chunk_begin(uint32_t chunk)
{
    return STREAM_HELD_FIRST * ((1u << chunk) - 1);
}

_Static_assert(STREAM_HELD_FIRST *((UINT64_C(1) << STREAM_HELD_CHUNKS_MAX) - 1) > PLACE_MASK,
               "there are chunks for every place");

/* ---- Messages held ---- */

static void held_release(struct stream_held *held)
{
    /* [parts] publishes: the entry is home. */
    if (atomic_fetch_sub_explicit(&held->refs, 1, memory_order_release) != 1)
        return;
    /* [parts] observes: no other thread is in it any more. */
    atomic_thread_fence(memory_order_acquire);
    for (uint32_t i = 0; i < STREAM_HELD_CHUNKS_MAX; i++)
        free(held->chunks[i]);
    free(held);
}

/* place: from a message, which may be anything. */
static struct stream_held_entry *entry_at(struct stream_held *held, uint32_t place)
{
    uint32_t chunk = 31 - (uint32_t)__builtin_clz(place / STREAM_HELD_FIRST + 1);
    struct stream_held_entry *entries = held->chunks[chunk];

    return entries == NULL || place >= held->max ? NULL : &entries[place - chunk_begin(chunk)];
}

/* Any thread. */
static enum duct_err release(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct stream_held *held = (struct stream_held *)owner;
    struct stream_held_entry *entry = entry_at(held, (uint32_t)(msg->ref & PLACE_MASK));
    uint64_t number = msg->ref >> PLACE_BITS;

    /* [held] the one who changes the number is the one who releases. */
    if (entry == NULL ||
        !atomic_compare_exchange_strong_explicit(&entry->number, &number, number + 1,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return di_fail(DUCT_EINVAL, "duct_msg_release: the message was released before");
    di_buffer_release(entry->buffer);
    /* ck_stack orders what was done to the entry. */
    ck_stack_push_upmc(&held->home, &entry->node);
    di_msg_empty(msg);
    held_release(held);
    return DUCT_OK;
}

/* More entries, linked as free ones. False: no more are allowed, or there is no memory. */
static bool make_entries(struct stream_held *held)
{
    uint32_t which = held->chunk_count, begin = chunk_begin(which);
    uint32_t count = STREAM_HELD_FIRST << which;

    if (begin >= held->max)
        return false;
    count = count < held->max - begin ? count : held->max - begin;
    struct stream_held_entry *chunk = calloc(count, sizeof(*chunk));
    if (chunk == NULL)
        return false;
    held->chunks[which] = chunk;
    held->chunk_count++;
    for (uint32_t i = 0; i < count; i++) {
        chunk[i].place = begin + i;
        ck_stack_push_spnc(&held->home, &chunk[i].node);
    }
    return true;
}

static struct stream_held_entry *take_entry(struct stream_held *held)
{
    struct stream_held_entry *entry = held->free;

    if (entry == NULL) {
        /* What was released, by whichever thread. */
        ck_stack_entry_t *all = ck_stack_batch_pop_upmc(&held->home);
        if (all == NULL && make_entries(held))
            all = ck_stack_batch_pop_upmc(&held->home);
        if (all == NULL)
            return NULL;
        entry = (struct stream_held_entry *)all;
    }
    held->free = (struct stream_held_entry *)entry->node.next;
    return entry;
}

static struct stream_held *held_open(uint32_t max)
{
    struct stream_held *held = calloc(1, sizeof(*held));

    if (held == NULL)
        return NULL;
    held->owner.release = release;
    atomic_init(&held->refs, 1);
    ck_stack_init(&held->home);
    held->max = max;
    return held;
}

/* ---- The receiving half ---- */

enum duct_err stream_in_open(struct stream_in **out, uint32_t held_max)
{
    struct stream_in *in = calloc(1, sizeof(*in));

    if (in != NULL)
        in->held = held_open(held_max);
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
        di_buffer_release(in->buffer);
    if (in->block != NULL)
        di_buffer_release(in->block);
    held_release(in->held);
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
        di_buffer_release(in->buffer);
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
    if (!di_buffer_alone(in->buffer)) {
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
    if (in->begin == in->end && di_buffer_alone(in->buffer))
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
            di_buffer_release(in->buffer);
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
    di_buffer_release(in->buffer);
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
    struct stream_held_entry *entry = take_entry(in->held);
    struct di_buffer *buffer = in->block != NULL ? in->block : in->buffer;
    const struct di_frame *head = stream_in_head(in);

    if (entry == NULL) {
        in->held->full++;
        return di_fail(DUCT_ELIMIT,
                       "%u messages are held unreleased; release some, or allow more with the "
                       "option held",
                       in->held->max);
    }
    /* Relaxed: only this thread changes an entry that is at home. */
    uint64_t number = atomic_load_explicit(&entry->number, memory_order_relaxed) + 1;
    *msg = (struct duct_msg){.data = (void *)(uintptr_t)stream_in_data(in),
                             .size = head->whole,
                             .tag = head->tag,
                             .owner = &in->held->owner,
                             .ref = number << PLACE_BITS | entry->place};
    entry->buffer = buffer;
    /* Relaxed: the program carries the message to whoever releases it. */
    atomic_store_explicit(&entry->number, number, memory_order_relaxed);
    bool given = is_last(in);
    if (!given)
        di_buffer_hold(buffer);
    /* Relaxed: one more reference, by one who has one. */
    atomic_fetch_add_explicit(&in->held->refs, 1, memory_order_relaxed);
    take(in, given);
    return DUCT_OK;
}
