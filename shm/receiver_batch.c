/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/thread.h"
#include "shm/receiver.h"

/*
 * Batches of the receiving half: runs of messages that are alike, in loops whose state stays in
 * registers. A third of the price of one at a time. Whatever is out of the ordinary ends a run and is
 * left to the functions for one message, which know everything.
 *
 * Edges of this file, explained in ring.h:
 *   [slot]   stamp stored with release after payload and header  |  stamp loaded with acquire
 */

/* Messages of a run take two slots at most. */
#define RUN_BYTES_MAX (DI_SLOT_BYTES + DI_MORE_BYTES)

/* The immediate message at the head of the ring, if it is small enough for a run. */
static inline bool look(const struct di_ring_in *ring, uint32_t bytes_max, uint32_t *size)
{
    if (di_ring_look(ring) != DI_RING_READY)
        return false;
    uint64_t head =
        di_peer_load(di_peer_field(di_ring_slot(ring, ring->head), struct di_slot, head));
    *size = (uint32_t)head;
    return head == di_head_make(*size, DI_KIND_IMMEDIATE) && *size <= bytes_max;
}

/* What the ring hands over with each message, once for the run. */
static void taken(struct di_receiver *receiver, const struct di_ring_in *ring, size_t count,
                  uint64_t bytes)
{
    receiver->ring = *ring;
    receiver->msgs += count;
    receiver->bytes += bytes;
    if (count > 0)
        di_receiver_taken(receiver);
}

static inline uint32_t run_bytes(const struct di_receiver *receiver)
{
    return receiver->immediate_max < RUN_BYTES_MAX ? receiver->immediate_max : RUN_BYTES_MAX;
}

size_t di_receiver_read_run(struct di_receiver *receiver, struct duct_buffer *buffers, size_t count)
{
    struct di_ring_in ring = receiver->ring; /* in registers: the copies below might alias it */
    const uint32_t bytes_max = run_bytes(receiver);
    uint64_t bytes = 0;
    uint32_t size;
    size_t i;

    for (i = 0; i < count && look(&ring, bytes_max, &size) && size <= buffers[i].capacity; i++) {
        const DI_PEER void *slot = di_ring_slot(&ring, ring.head);
        uint32_t here = size < DI_SLOT_BYTES ? size : DI_SLOT_BYTES;

        buffers[i].size = size;
        buffers[i].tag = di_peer_load(di_peer_field(slot, struct di_slot, tag));
        di_copy_small(buffers[i].data, di_peer_address(di_peer_field(slot, struct di_slot, bytes)),
                      here);
        di_ring_fetch_ahead(&ring);
        if (size > here) {
            di_ring_get_next(&ring, ring.head + 1, (unsigned char *)buffers[i].data + here,
                             size - here);
            ring.head++;
        }
        bytes += size;
        ring.head++;
    }
    taken(receiver, &ring, i, bytes);
    return i;
}

/* Copies the small message at the head into a cell, of which the view is then; advances. */
static inline void into_cell(struct di_ring_in *ring, struct di_cell *cell, uint32_t size,
                             struct duct_msg *msg)
{
    const DI_PEER void *slot = di_ring_slot(ring, ring->head);

    msg->tag = di_peer_load(di_peer_field(slot, struct di_slot, tag));
    di_peer_copy(cell->bytes, di_peer_field(slot, struct di_slot, bytes), DI_SLOT_BYTES);
    di_ring_fetch_ahead(ring);
    if (size > DI_SLOT_BYTES) {
        const DI_PEER void *more = di_ring_slot(ring, ring->head + 1);
        di_peer_copy(cell->bytes + DI_SLOT_BYTES, di_peer_field(more, struct di_slot_more, bytes),
                     DI_MORE_BYTES);
        di_ring_fetch_ahead(ring);
        ring->head++;
    }
    ring->head++;
    cell->taken = true;
    cell->generation++;
    msg->data = cell->bytes;
    msg->ref = di_block_ref(cell->index | DI_REF_CELL, cell->generation);
}

/*
 * The view of a message that lies in a block, if all is well with it: of a segment that we know, not held already,
 * large enough; then advances.
 */
static inline bool in_block(struct di_receiver *receiver, struct di_ring_in *ring, uint32_t known,
                            uint32_t size, struct duct_msg *msg)
{
    const DI_PEER void *slot = di_ring_slot(ring, ring->head);
    uint64_t ref = di_peer_load(di_peer_field(slot, struct di_slot, block));

    if (di_ref_index(ref) >= known)
        return false;
    struct di_arrived *block = &receiver->blocks[di_peer_index(di_ref_index(ref), known)];
    if (block->held || size > block->size || size > receiver->max_msg)
        return false;
    block->held = true;
    block->generation = di_ref_generation(ref);
    msg->data = (void *)(uintptr_t)di_peer_address(block->data);
    msg->ref = ref;
    msg->tag = di_peer_load(di_peer_field(slot, struct di_slot, tag));
    DI_CRASH_POINT("recv.found");
    /* Two neighbours are what makes the processor fetch the rest by itself, while the next slots are looked at. */
    __builtin_prefetch(msg->data, 0, 3);
    __builtin_prefetch((const char *)msg->data + DI_LINE, 0, 3);
    di_ring_fetch_ahead(ring);
    ring->head++;
    return true;
}

size_t di_receiver_recv_run(struct di_receiver *receiver, struct duct_msg *msgs, size_t count)
{
    struct di_ring_in ring = receiver->ring;
    struct di_cell *cell = receiver->cells.free;
    const uint32_t bytes_max = run_bytes(receiver);
    /* Relaxed: only the owner's thread writes it. */
    const uint32_t known = atomic_load_explicit(&receiver->block_count, memory_order_relaxed);
    uint64_t bytes = 0;
    uint32_t cells = 0;
    size_t i;

    for (i = 0; i < count && di_ring_look(&ring) == DI_RING_READY; i++) {
        uint64_t head =
            di_peer_load(di_peer_field(di_ring_slot(&ring, ring.head), struct di_slot, head));
        uint32_t size = (uint32_t)head;

        if (head == di_head_make(size, DI_KIND_IMMEDIATE) && size <= bytes_max && cell != NULL) {
            into_cell(&ring, cell, size, &msgs[i]);
            cell = cell->next;
            cells++;
        } else if (head != di_head_make(size, DI_KIND_BLOCK) ||
                   !in_block(receiver, &ring, known, size, &msgs[i])) {
            break;
        }
        msgs[i].size = size;
        msgs[i].flags = 0;
        msgs[i].channel = 0;
        msgs[i].owner = &receiver->owner;
        bytes += size;
    }
    receiver->cells.free = cell;
    receiver->cells.taken += cells;
    receiver->handed_out += i;
    taken(receiver, &ring, i, bytes);
    return i;
}

/* Views at the front that lie in blocks. */
static size_t release_blocks(struct di_receiver *receiver, struct duct_msg *msgs, size_t count)
{
    size_t i;

    for (i = 0; i < count && msgs[i].owner == &receiver->owner; i++) {
        struct di_cell *cell;
        struct di_arrived *block;
        di_receiver_find(receiver, msgs[i].ref, &cell, &block);
        /* Relaxed: another thread released it before, or the caller has the two race. */
        if (block == NULL || atomic_load_explicit(&block->claimed, memory_order_relaxed))
            break;
        block->held = false;
        di_returns_put(&receiver->returns, msgs[i].ref);
        di_msg_empty(&msgs[i]);
    }
    receiver->given_back += i;
    if (i > 0)
        di_receiver_returned(receiver);
    return i;
}

size_t di_receiver_release_run(struct di_receiver *receiver, struct duct_msg *msgs, size_t count)
{
    struct di_cells *cells = &receiver->cells;
    struct di_cell *free = cells->free;
    size_t i;

    /* Relaxed, both: it is ours or it is not; only its owner changes it. */
    if (atomic_load_explicit(&receiver->closed, memory_order_relaxed) ||
        atomic_load_explicit(&receiver->thread, memory_order_relaxed) != di_thread_self())
        return 0;
    if (count > 0 && !(di_ref_index(msgs[0].ref) & DI_REF_CELL))
        return release_blocks(receiver, msgs, count);
    for (i = 0; i < count && msgs[i].owner == &receiver->owner; i++) {
        uint32_t index = di_ref_index(msgs[i].ref);
        if (!(index & DI_REF_CELL))
            break;
        struct di_cell *cell =
            di_cells_find(cells, index & ~DI_REF_CELL, di_ref_generation(msgs[i].ref));
        /* Relaxed: another thread released it before, or the caller has the two race. */
        if (cell == NULL || atomic_load_explicit(&cell->claimed, memory_order_relaxed))
            break;
        cell->taken = false;
        cell->next = free;
        free = cell;
        di_msg_empty(&msgs[i]);
    }
    cells->free = free;
    cells->taken -= (uint32_t)i;
    receiver->given_back += i;
    return i;
}
