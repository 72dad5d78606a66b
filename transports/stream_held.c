/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_held.h"

#include <stdlib.h>

#include "lib/base/error.h"
#include "lib/base/thread.h"

/* A handle's private number: the entry's place, and above it the number it had then. */
#define PLACE_BITS 20u
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

/* References that are drawn at once: more than a program holds at a time, mostly. */
#define DRAW 1024u

/* Where the chunk begins, as a place. */
static uint32_t chunk_begin(uint32_t chunk)
{
    return STREAM_HELD_FIRST * ((1u << chunk) - 1);
}

_Static_assert(STREAM_HELD_FIRST *((UINT64_C(1) << STREAM_HELD_CHUNKS_MAX) - 1) > PLACE_MASK,
               "there are chunks for every place");

static void drop(struct stream_held *held, uint32_t count)
{
    /* [parts] Both ways: the last one knows that no other thread is in it any more. */
    if (atomic_fetch_sub_explicit(&held->refs, count, memory_order_acq_rel) != count)
        return;
    for (uint32_t i = 0; i < STREAM_HELD_CHUNKS_MAX; i++)
        free(held->chunks[i]);
    free(held);
}

/* ---- Releases ---- */

/* The entry that a message names, which may be anything: NULL if there is none. */
static inline struct stream_held_entry *named(const struct stream_held *held, uint64_t ref)
{
    uint32_t place = (uint32_t)(ref & PLACE_MASK);
    uint32_t chunk = 31 - (uint32_t)__builtin_clz(place / STREAM_HELD_FIRST + 1);
    struct stream_held_entry *entries = held->chunks[chunk];

    return entries == NULL || place >= held->max ? NULL : &entries[place - chunk_begin(chunk)];
}

static enum duct_err not_held(void)
{
    return di_fail(DUCT_EINVAL, "duct_msg_release: the message was released before");
}

static inline bool is_mine(const struct stream_held *held)
{
    /* Relaxed: it is this thread's mark or it is not; no other stores that one. */
    return atomic_load_explicit(&held->thread, memory_order_relaxed) == di_thread_self();
}

/* By the thread that receives, to which the entry and the references go back as they came. False: it is not held. */
static inline bool release_mine(struct stream_held *held, struct duct_msg *msg)
{
    struct stream_held_entry *entry = named(held, msg->ref);
    uint64_t number = msg->ref >> PLACE_BITS;

    /* Relaxed, both: a release by another thread was before this one, or the caller has the two race. */
    if (__builtin_expect(entry == NULL ||
                             atomic_load_explicit(&entry->number, memory_order_relaxed) != number,
                         0))
        return false;
    atomic_store_explicit(&entry->number, number + 1, memory_order_relaxed);
    if (entry->buffer == held->lent)
        held->lent_drawn++;
    else
        di_buffer_release(entry->buffer);
    entry->node.next = (struct di_node *)held->free;
    held->free = entry;
    held->drawn++;
    di_msg_empty(msg);
    return true;
}

static enum duct_err release_elsewhere(struct stream_held *held, struct duct_msg *msg)
{
    struct stream_held_entry *entry = named(held, msg->ref);
    uint64_t number = msg->ref >> PLACE_BITS;

    /* Relaxed: the one who changes the number is the one who releases. */
    if (entry == NULL ||
        !atomic_compare_exchange_strong_explicit(&entry->number, &number, number + 1,
                                                 memory_order_relaxed, memory_order_relaxed))
        return not_held();
    di_buffer_release(entry->buffer);
    /* The stack orders what was done to the entry. */
    di_stack_push(&held->home, &entry->node);
    di_msg_empty(msg);
    drop(held, 1);
    return DUCT_OK;
}

/* Any thread. */
static enum duct_err release(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct stream_held *held = (struct stream_held *)owner;

    if (!is_mine(held))
        return release_elsewhere(held, msg);
    return release_mine(held, msg) ? DUCT_OK : not_held();
}

static size_t release_run(struct di_msg_owner *owner, struct duct_msg *msgs, size_t count)
{
    struct stream_held *held = (struct stream_held *)owner;
    size_t i = 0;

    if (!is_mine(held))
        return 0;
    while (i < count && msgs[i].owner == owner && release_mine(held, &msgs[i]))
        i++;
    return i;
}

/* ---- The receiver ---- */

struct stream_held *stream_held_open(uint32_t max)
{
    struct stream_held *held = calloc(1, sizeof(*held));

    if (held == NULL)
        return NULL;
    held->owner.release = release;
    held->owner.release_run = release_run;
    atomic_init(&held->refs, 1);
    di_stack_init(&held->home);
    held->max = max;
    return held;
}

void stream_held_belongs(struct stream_held *held, uintptr_t thread)
{
    /* Relaxed: as said where it is declared. */
    atomic_store_explicit(&held->thread, thread, memory_order_relaxed);
}

void stream_held_close(struct stream_held *held)
{
    stream_held_belongs(held, 0);
    drop(held, 1 + held->drawn);
}

/* Drops what was drawn of the buffer and not spent; another reference stays. */
static inline void give_up(struct stream_held *held, const struct di_buffer *buffer)
{
    if (buffer != held->lent)
        return;
    if (held->lent_drawn > 0)
        di_buffer_undraw(held->lent, held->lent_drawn);
    held->lent_drawn = 0;
    held->lent = NULL;
}

void stream_held_leave(struct stream_held *held, struct di_buffer *buffer)
{
    give_up(held, buffer);
    di_buffer_release(buffer);
}

bool stream_held_alone(struct stream_held *held, const struct di_buffer *buffer)
{
    give_up(held, buffer);
    return di_buffer_alone(buffer);
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
    for (uint32_t i = count; i-- > 0;) {
        chunk[i].place = begin + i;
        chunk[i].node.next = (struct di_node *)held->free;
        held->free = &chunk[i];
    }
    return true;
}

/* An entry to be taken, and a reference to the table for it. False: there is none. */
static bool prepare(struct stream_held *held)
{
    if (held->free == NULL)
        held->free = (struct stream_held_entry *)di_stack_take(&held->home);
    if (held->free == NULL && !make_entries(held)) {
        held->full++;
        return false;
    }
    if (held->drawn == 0) {
        /* Relaxed: more references, by one who has one. */
        atomic_fetch_add_explicit(&held->refs, DRAW, memory_order_relaxed);
        held->drawn = DRAW;
    }
    return true;
}

/* The reference that a message has to its buffer. */
static inline void spend(struct stream_held *held, struct di_buffer *buffer, bool last)
{
    if (last) {
        /* The receiver's own, and it leaves the buffer. */
        give_up(held, buffer);
        return;
    }
    if (held->lent_drawn == 0) {
        di_buffer_draw(buffer, DRAW);
        held->lent_drawn = DRAW;
        held->lent = buffer;
    }
    held->lent_drawn--;
}

enum duct_err stream_held_give(struct stream_held *held, struct di_buffer *buffer, bool last,
                               const struct di_frame *frame, const unsigned char *data,
                               struct duct_msg *msg)
{
    if (__builtin_expect((held->free == NULL || held->drawn == 0) && !prepare(held), 0))
        return di_fail(DUCT_ELIMIT,
                       "%u messages are held unreleased; release some, or allow more with the "
                       "option held",
                       held->max);
    struct stream_held_entry *entry = held->free;
    held->free = (struct stream_held_entry *)entry->node.next;
    held->drawn--;
    spend(held, buffer, last);
    /* Relaxed: only this thread changes an entry that is at home. */
    uint64_t number = atomic_load_explicit(&entry->number, memory_order_relaxed) + 1;
    entry->buffer = buffer;
    /* Relaxed: the program carries the message to whoever releases it. */
    atomic_store_explicit(&entry->number, number, memory_order_relaxed);
    *msg = (struct duct_msg){.data = (void *)(uintptr_t)data,
                             .size = frame->whole,
                             .tag = frame->tag,
                             .owner = &held->owner,
                             .ref = number << PLACE_BITS | entry->place};
    return DUCT_OK;
}
