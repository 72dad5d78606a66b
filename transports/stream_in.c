/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_in.h"
#include "lib/base/crash.h"

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

/* ---- Buffers ---- */

struct stream_buffer *stream_buffer_alloc(size_t capacity)
{
    size_t size = sizeof(struct stream_buffer) + capacity;
    struct stream_buffer *buffer = aligned_alloc(64, (size + 63) & ~(size_t)63);

    if (buffer == NULL)
        return NULL;
    atomic_init(&buffer->refs, 1);
    buffer->capacity = capacity;
    return buffer;
}

void stream_buffer_release(struct stream_buffer *buffer)
{
    /* [parts] publishes: what was read of the message. */
    if (atomic_fetch_sub_explicit(&buffer->refs, 1, memory_order_release) != 1)
        return;
    /* [parts] observes: what all others read is read. */
    atomic_thread_fence(memory_order_acquire);
    free(buffer);
}

/* Whether nobody but the receiver has it, so that its bytes may be overwritten. */
static bool is_ours(const struct stream_buffer *buffer)
{
    /* [parts] observes: whoever released the last message in it is done reading. */
    return atomic_load_explicit(&buffer->refs, memory_order_acquire) == 1;
}

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
    stream_buffer_release(entry->buffer);
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
        stream_buffer_release(in->buffer);
    if (in->block != NULL)
        stream_buffer_release(in->block);
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

/* Moves what was not yet taken to the front of the buffer, or of a new one if the program still reads in this. */
static void make_room(struct stream_in *in)
{
    size_t there = in->end - in->begin;
    struct stream_buffer *buffer = in->buffer;

    if (in->begin == 0)
        return;
    if (is_ours(in->buffer)) {
        memmove(buffer->bytes, buffer->bytes + in->begin, there);
    } else {
        struct stream_buffer *fresh = stream_buffer_alloc(STREAM_BUFFER_SIZE);
        if (fresh == NULL)
            return;
        memcpy(fresh->bytes, buffer->bytes + in->begin, there);
        stream_buffer_release(buffer);
        in->buffer = fresh;
    }
    in->begin = 0;
    in->end = there;
}

uint32_t stream_in_room(struct stream_in *in, struct iovec pieces[2])
{
    uint32_t count = 0;

    if (in->block != NULL && in->frame_left > 0 && in->begin == in->end)
        pieces[count++] = (struct iovec){in->block->bytes + in->filled, in->frame_left};
    if (in->buffer == NULL && (in->buffer = stream_buffer_alloc(STREAM_BUFFER_SIZE)) == NULL)
        return count;
    if (in->begin == in->end && is_ours(in->buffer))
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
    if (in->block != NULL && pieces[0].iov_base == in->block->bytes + in->filled) {
        size_t part = bytes < pieces[0].iov_len ? bytes : pieces[0].iov_len;
        in->filled += part;
        in->frame_left -= part;
        bytes -= part;
    }
    in->end += bytes;
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
    stream_buffer_release(in->buffer);
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

/* The message is out of the way, whoever has it now. */
static void step_over(struct stream_in *in)
{
    in->seq++;
    in->whole = false;
    DI_CRASH_POINT("stream.taken");
    if (in->block != NULL) {
        stream_buffer_release(in->block);
        in->block = NULL;
        return;
    }
    in->begin += DI_WIRE_HEADER + di_wire_padded(in->frame.size);
    in->have_frame = false;
}

void stream_in_skip(struct stream_in *in)
{
    in->msgs++;
    in->bytes += stream_in_head(in)->whole;
    in->taken++;
    step_over(in);
}

void stream_in_discard(struct stream_in *in)
{
    step_over(in);
}

enum duct_err stream_in_hold(struct stream_in *in, struct duct_msg *msg)
{
    struct stream_held_entry *entry = take_entry(in->held);
    struct stream_buffer *buffer = in->block != NULL ? in->block : in->buffer;
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
    /* Relaxed, both: more references, by one who has one. */
    atomic_fetch_add_explicit(&buffer->refs, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&in->held->refs, 1, memory_order_relaxed);
    stream_in_skip(in);
    return DUCT_OK;
}
