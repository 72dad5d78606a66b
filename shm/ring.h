/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_RING_H
#define DI_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>

#include "lib/base/crash.h"
#include "shm/cells.h"
#include "shm/copy.h"
#include "shm/layout.h"
#include "shm/peer.h"

/*
 * The descriptor ring: one sender, one receiver, each slot published by a stamp of its own.
 *
 * The receiver polls the slot it expects next, so a small message costs the transfer of one line:
 * there is no shared head to read first. Positions are 64 bits and never wrap in practice (tests
 * start just below the wrap); the slot of position p is p mod slots. Before its turn a slot carries
 * the stamp of one lap earlier, so any third value is a lie or a bug, and the pipe is corrupt.
 *
 * Space comes back by one index, consumed, published by the receiver now and then. Each side keeps
 * its own position private and caches the other's; the cache is refreshed only when it says full.
 *
 * Edges of this file:
 *   [slot]   stamp stored with release after payload and header  |  stamp loaded with acquire
 *   [space]  consumed stored with release after the reads        |  consumed loaded with acquire
 */

/* Sending end. */
struct di_ring_out {
    struct di_slot *slots;
    uint64_t mask;
    uint64_t tail;  /* position of the next message */
    uint64_t limit; /* tail may go up to here without asking: consumed, as last seen, + slots */
    const DI_PEER uint64_t *consumed;
};

/* Receiving end. */
struct di_ring_in {
    const DI_PEER void *slots;
    uint64_t mask;
    uint64_t head;      /* position of the next message */
    uint64_t published; /* consumed, as last published */
    uint64_t seen;      /* slots below this are known to be written: see di_ring_fetch_ahead() */
    _Atomic uint64_t *consumed;
};

enum di_ring_state { DI_RING_EMPTY, DI_RING_READY, DI_RING_CORRUPT };

/* Marks every slot as not yet written, for positions from start on. Before the peer maps it. */
void di_ring_format(struct di_slot *slots, uint32_t count, uint64_t start);

/* The slow half of di_ring_room(): asks the peer's index. False in *plausible: it lies. */
bool di_ring_refresh(struct di_ring_out *ring, uint32_t count, bool *plausible);

/* Messages that were sent, and that the receiver has not said to have taken. */
uint64_t di_ring_untaken(struct di_ring_out *ring);

/* Whether count more slots are free, asking the peer only if the cached index says no. */
static inline bool di_ring_room(struct di_ring_out *ring, uint32_t count, bool *plausible)
{
    if (ring->limit - ring->tail >= count)
        return true;
    return di_ring_refresh(ring, count, plausible);
}

/* Fills and publishes the next slot with a reference to a block. There is room for it. */
static inline void di_ring_put_block(struct di_ring_out *ring, uint64_t ref, uint32_t size,
                                     uint64_t tag)
{
    struct di_slot *slot = &ring->slots[ring->tail & ring->mask];

    /* Relaxed, all three: published by the stamp. */
    atomic_store_explicit(&slot->head, di_head_make(size, DI_KIND_BLOCK), memory_order_relaxed);
    atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
    atomic_store_explicit(&slot->block, ref, memory_order_relaxed);
    ring->tail++;
    DI_CRASH_POINT("send.block_written");
    /* [slot] publishes: payload in the block, header, tag. */
    atomic_store_explicit(&slot->stamp, ring->tail, memory_order_release);
    DI_CRASH_POINT("send.block_stamped");
}

/* Fills the slot of a position, which is not the first of its message. */
static inline void di_ring_put_next(struct di_ring_out *ring, uint64_t position,
                                    const unsigned char *bytes, uint32_t size)
{
    struct di_slot_more *more = (struct di_slot_more *)&ring->slots[position & ring->mask];

    di_copy_small(more->bytes, bytes, size);
    /* Relaxed: never polled; published by the stamp of the first slot. */
    atomic_store_explicit(&more->stamp, position + 1, memory_order_relaxed);
}

/* The slots after the second; not inlined, as most messages have none. */
void di_ring_put_more(struct di_ring_out *ring, uint64_t position, const unsigned char *bytes,
                      uint32_t size);

/* The last step of every immediate message: header and tag, and the stamp of its first slot. */
static inline void di_ring_stamp(struct di_slot *slot, uint64_t stamp, uint32_t size, uint64_t tag)
{
    DI_CRASH_POINT("send.payload_written");
    /* Relaxed, both: published by the stamp. */
    atomic_store_explicit(&slot->head, di_head_make(size, DI_KIND_IMMEDIATE), memory_order_relaxed);
    atomic_store_explicit(&slot->tag, tag, memory_order_relaxed);
    DI_CRASH_POINT("send.slot_written");
    /* [slot] publishes: payload in this slot and those behind it, header, tag. */
    atomic_store_explicit(&slot->stamp, stamp, memory_order_release);
    DI_CRASH_POINT("send.stamped");
}

/* Copies a payload of at most DI_IMMEDIATE_MAX bytes into the next slots and publishes them. */
static inline void di_ring_put_immediate(struct di_ring_out *ring, const void *bytes, uint32_t size,
                                         uint64_t tag)
{
    struct di_slot *slot = &ring->slots[ring->tail & ring->mask];
    uint64_t stamp = ring->tail + 1;
    uint32_t here = size;

    if (size > DI_SLOT_BYTES) {
        const unsigned char *rest = (const unsigned char *)bytes + DI_SLOT_BYTES;
        uint32_t next = size - DI_SLOT_BYTES < DI_MORE_BYTES ? size - DI_SLOT_BYTES : DI_MORE_BYTES;
        here = DI_SLOT_BYTES;
        di_ring_put_next(ring, stamp, rest, next);
        if (size > DI_SLOT_BYTES + DI_MORE_BYTES)
            di_ring_put_more(ring, stamp + 1, rest + next, size - here - next);
    }
    di_copy_small(slot->bytes, bytes, here);
    ring->tail++;
    if (size > DI_SLOT_BYTES)
        ring->tail += di_slots_of(size) - 1;
    di_ring_stamp(slot, stamp, size, tag);
}

/*
 * As di_ring_put_immediate(), from a cell: whole slots are copied, whatever the size, which needs no
 * branches. What lies in the cell past the message is an earlier loan of this pipe, and no secret: as a
 * block of the pool is, it is memory that the peer may see.
 */
static inline void di_ring_put_cell(struct di_ring_out *ring, const struct di_cell *cell,
                                    uint32_t size, uint64_t tag)
{
    uint64_t stamp = ring->tail + 1;
    struct di_slot *slot = &ring->slots[ring->tail & ring->mask];

    ring->tail = stamp;
    if (size > DI_SLOT_BYTES) {
        struct di_slot_more *more = (struct di_slot_more *)&ring->slots[stamp & ring->mask];
        memcpy(more->bytes, cell->bytes + DI_SLOT_BYTES, DI_MORE_BYTES);
        /* Relaxed: never polled; published by the stamp of the first slot. */
        atomic_store_explicit(&more->stamp, stamp + 1, memory_order_relaxed);
        ring->tail = stamp + 1;
        if (size > DI_SLOT_BYTES + DI_MORE_BYTES) {
            const uint32_t done = DI_SLOT_BYTES + DI_MORE_BYTES;
            di_ring_put_more(ring, stamp + 1, cell->bytes + done, size - done);
            ring->tail += di_slots_of(size) - 2;
        }
    }
    memcpy(slot->bytes, cell->bytes, DI_SLOT_BYTES);
    di_ring_stamp(slot, stamp, size, tag);
}

/* The slot of a position; for the accessors of peer.h only. */
static inline const DI_PEER void *di_ring_slot(const struct di_ring_in *ring, uint64_t position)
{
    return di_peer_at(ring->slots, (position & ring->mask) * sizeof(struct di_slot));
}

/* Whether there is a message at the head. */
static inline enum di_ring_state di_ring_look(const struct di_ring_in *ring)
{
    /* [slot] observes: everything the sender wrote before the stamp. */
    uint64_t stamp =
        di_peer_load_acquire(di_peer_field(di_ring_slot(ring, ring->head), struct di_slot, stamp));

    if (stamp == ring->head + 1)
        return DI_RING_READY;
    return stamp == ring->head - ring->mask ? DI_RING_EMPTY : DI_RING_CORRUPT;
}

/* Copies from the slot of a position, which is not the first of its message. */
static inline void di_ring_get_next(const struct di_ring_in *ring, uint64_t position,
                                    unsigned char *bytes, uint32_t size)
{
    const DI_PEER void *more = di_ring_slot(ring, position);

    di_copy_small(bytes, di_peer_address(di_peer_field(more, struct di_slot_more, bytes)), size);
}

/* The slots after the second, from the peer's ring. */
void di_ring_get_more(const struct di_ring_in *ring, uint64_t position, unsigned char *bytes,
                      uint32_t size);

/* Copies the immediate payload at the head out of the ring; size has been checked. */
static inline void di_ring_get_immediate(const struct di_ring_in *ring, void *bytes, uint32_t size)
{
    uint32_t here = size;

    if (size > DI_SLOT_BYTES) {
        unsigned char *rest = (unsigned char *)bytes + DI_SLOT_BYTES;
        uint32_t next = size - DI_SLOT_BYTES < DI_MORE_BYTES ? size - DI_SLOT_BYTES : DI_MORE_BYTES;
        here = DI_SLOT_BYTES;
        di_ring_get_next(ring, ring->head + 1, rest, next);
        if (size > DI_SLOT_BYTES + DI_MORE_BYTES)
            di_ring_get_more(ring, ring->head + 2, rest + next, size - here - next);
    }
    di_copy_small(
        bytes,
        di_peer_address(di_peer_field(di_ring_slot(ring, ring->head), struct di_slot, bytes)),
        here);
}

/* As di_ring_get_immediate(), into a cell: whole slots, without branches. */
static inline void di_ring_get_cell(const struct di_ring_in *ring, struct di_cell *cell,
                                    uint32_t size)
{
    const DI_PEER void *slot = di_ring_slot(ring, ring->head);

    di_peer_copy(cell->bytes, di_peer_field(slot, struct di_slot, bytes), DI_SLOT_BYTES);
    if (size > DI_SLOT_BYTES) {
        const DI_PEER void *more = di_ring_slot(ring, ring->head + 1);
        di_peer_copy(cell->bytes + DI_SLOT_BYTES, di_peer_field(more, struct di_slot_more, bytes),
                     DI_MORE_BYTES);
        if (size > DI_SLOT_BYTES + DI_MORE_BYTES) {
            const uint32_t done = DI_SLOT_BYTES + DI_MORE_BYTES;
            di_ring_get_more(ring, ring->head + 2, cell->bytes + done, size - done);
        }
    }
}

/*
 * Fetches the line of a slot some way on, if that is known to be written: one that is not would be
 * taken from the sender's hands. A stream's receiver has then several transfers under way at once,
 * where the instructions of a call between two loads would leave the core room for few.
 */
#define DI_RING_FETCH_AHEAD 12u
static inline void di_ring_fetch_ahead(const struct di_ring_in *ring)
{
    uint64_t position = ring->head + DI_RING_FETCH_AHEAD;

    if ((int64_t)(ring->seen - position) > 0)
        __builtin_prefetch(di_peer_address(di_ring_slot(ring, position)), 0, 3);
}

/* Looks whether the slot `ahead` of the head is written, and remembers. */
static inline bool di_ring_look_ahead(struct di_ring_in *ring, uint32_t ahead)
{
    uint64_t position = ring->head + ahead - 1;
    /* Relaxed: only a hint. What the stamp of the next slot says is what counts. */
    uint64_t stamp =
        di_peer_load(di_peer_field(di_ring_slot(ring, position), struct di_slot, stamp));

    if (stamp != position + 1)
        return false;
    ring->seen = position + 1;
    return true;
}

/* Frees the slots up to the head for the sender. */
static inline void di_ring_publish(struct di_ring_in *ring)
{
    DI_CRASH_POINT("space.due");
    ring->published = ring->head;
    /* [space] publishes: our reads of the slots are over. */
    atomic_store_explicit(ring->consumed, ring->head, memory_order_release);
    DI_CRASH_POINT("space.published");
}

#endif
