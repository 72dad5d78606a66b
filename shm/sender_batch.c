/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/sender.h"

/*
 * Batches of the sending half; see receiver_batch.c. Edges of this file, explained in ring.h:
 *   [slot]   stamp stored with release after payload and header  |  stamp loaded with acquire
 */

/* Messages of a run take two slots at most. */
#define RUN_BYTES_MAX (DI_SLOT_BYTES + DI_MORE_BYTES)

#define CLAIM_AHEAD     16u
#define CLAIM_SLOTS_MIN 32768u

static inline size_t run_bytes(const struct di_sender *sender)
{
    return sender->immediate_max < RUN_BYTES_MAX ? sender->immediate_max : RUN_BYTES_MAX;
}

/*
 * Fetches the line of a slot some way on: one that the receiver is done with, as far as we know. Only in
 * a ring past the size of a second-level cache (2 MiB), where the receiver has lost its copy meanwhile and
 * the line comes for us alone: 8.3 to 5.2 nanoseconds a message of 8 bytes. In a smaller one it comes
 * shared, has to be asked for again to be written, and all the stores behind it wait: 5 to 80. Rejected:
 * 8 or 32 slots ahead (gain less); asking for the line for writing (6.2).
 */
static inline void claim_ahead(const struct di_ring_out *ring)
{
    if (ring->mask >= CLAIM_SLOTS_MIN - 1 && ring->limit - ring->tail > CLAIM_AHEAD)
        __builtin_prefetch(&ring->slots[(ring->tail + CLAIM_AHEAD) & ring->mask], 1, 3);
}

/* The same before messages in blocks: they push the slots of the last lap out of the receiver's caches, however
 * short the ring is. */
static inline void claim_block_slot(const struct di_ring_out *ring)
{
    if (ring->limit - ring->tail > CLAIM_AHEAD)
        __builtin_prefetch(&ring->slots[(ring->tail + CLAIM_AHEAD) & ring->mask], 1, 3);
}

/* Views at the front that are small, and for which there is room as far as we know. */
static size_t put_run(struct di_sender *sender, const struct duct_view *views, size_t count)
{
    struct di_ring_out ring = sender->ring; /* in registers: the copies below might alias it */
    const size_t bytes_max = run_bytes(sender);
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < count && views[i].size <= bytes_max && ring.limit - ring.tail >= 2; i++) {
        uint32_t size = (uint32_t)views[i].size;
        uint32_t here = size < DI_SLOT_BYTES ? size : DI_SLOT_BYTES;
        uint64_t stamp = ring.tail + 1;
        struct di_slot *slot = &ring.slots[ring.tail & ring.mask];

        ring.tail = stamp;
        if (size > here) {
            di_ring_put_next(&ring, stamp, (const unsigned char *)views[i].data + here,
                             size - here);
            ring.tail++;
        }
        di_copy_small(slot->bytes, views[i].data, here);
        bytes += size;
        di_ring_stamp(slot, stamp, size, views[i].tag);
        claim_ahead(&ring);
    }
    sender->ring = ring;
    sender->msgs += i;
    sender->bytes += bytes;
    return i;
}

enum duct_err di_sender_put_batch(struct di_sender *sender, const struct duct_view *views,
                                  size_t count, size_t *done)
{
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    while (i < count) {
        i += put_run(sender, views + i, count - i);
        if (i == count)
            break;
        /* One that the run stopped at: larger, or there was no room as far as we knew. */
        if ((err = di_sender_put(sender, views[i].data, views[i].size, views[i].tag)) != DUCT_OK)
            break;
        i++;
    }
    *done = i;
    return err;
}

/* Blocks of one class, for messages that do not. */
static size_t loan_blocks(struct di_sender *sender, size_t size, struct duct_msg *msgs,
                          size_t count)
{
    struct di_pool *pool = &sender->pool;
    uint32_t class_index = di_pool_class(pool, size, DI_LINE);
    size_t i;

    if (class_index == pool->geometry->header.class_count)
        return 0;
    for (i = 0; i < count && pool->top[class_index] != DI_BLOCK_NONE; i++) {
        uint32_t index = di_pool_take_from(pool, class_index);
        DI_CRASH_POINT("loan.block");
        /* The lines that will be written first, and the two that make the processor fetch the rest by itself. */
        __builtin_prefetch(pool->blocks[index].data, 1, 3);
        __builtin_prefetch(pool->blocks[index].data + DI_LINE, 1, 3);
        msgs[i] = (struct duct_msg){
            .data = pool->blocks[index].data,
            .size = size,
            .owner = &sender->owner,
            .ref = di_block_ref(index, pool->blocks[index].generation),
        };
    }
    return i;
}

/* Cells for messages that travel in the ring. */
static size_t loan_run(struct di_sender *sender, size_t size, struct duct_msg *msgs, size_t count)
{
    struct di_cell *cell = sender->cells.free;
    size_t i;

    if (size > sender->max_msg)
        return 0;
    if (size > sender->immediate_max)
        return loan_blocks(sender, size, msgs, count);
    for (i = 0; i < count && cell != NULL; i++) {
        cell->taken = true;
        cell->generation++;
        msgs[i] = (struct duct_msg){
            .data = cell->bytes,
            .size = size,
            .owner = &sender->owner,
            .ref = di_block_ref(cell->index | DI_REF_CELL, cell->generation),
        };
        cell = cell->next;
    }
    sender->cells.free = cell;
    sender->cells.taken += (uint32_t)i;
    return i;
}

enum duct_err di_sender_loan_batch(struct di_sender *sender, size_t size, struct duct_msg *msgs,
                                   size_t count, size_t *done)
{
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    while (i < count) {
        i += loan_run(sender, size, msgs + i, count - i);
        if (i == count || (err = di_sender_loan(sender, size, DI_LINE, &msgs[i])) != DUCT_OK)
            break;
        i++;
    }
    *done = i;
    return err;
}

/* Loans at the front that lie in blocks, and for which there is room as far as we know. */
static size_t publish_blocks(struct di_sender *sender, struct duct_msg *msgs, size_t count)
{
    struct di_ring_out ring = sender->ring;
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < count && ring.limit != ring.tail && msgs[i].owner == &sender->owner; i++) {
        struct di_block *block = di_pool_loaned(&sender->pool, msgs[i].ref);
        if (block == NULL || msgs[i].size > block->size || msgs[i].size > sender->max_msg)
            break;
        di_pool_mark_sent(&sender->pool, block);
        DI_CRASH_POINT("send.marked");
        di_ring_put_block(&ring, msgs[i].ref, (uint32_t)msgs[i].size, msgs[i].tag);
        claim_block_slot(&ring);
        bytes += msgs[i].size;
        di_msg_empty(&msgs[i]);
    }
    sender->ring = ring;
    sender->msgs += i;
    sender->bytes += bytes;
    return i;
}

/* Loans at the front that lie in cells, and for which there is room as far as we know. */
static size_t publish_run(struct di_sender *sender, struct duct_msg *msgs, size_t count)
{
    struct di_ring_out ring = sender->ring;
    struct di_cells *cells = &sender->cells;
    struct di_cell *free = cells->free;
    const size_t bytes_max = run_bytes(sender);
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < count && ring.limit - ring.tail >= 2; i++) {
        uint32_t index = di_ref_index(msgs[i].ref);
        if (msgs[i].owner != &sender->owner || !(index & DI_REF_CELL) || msgs[i].size > bytes_max)
            break;
        struct di_cell *cell =
            di_cells_find(cells, index & ~DI_REF_CELL, di_ref_generation(msgs[i].ref));
        if (cell == NULL)
            break;
        uint64_t stamp = ring.tail + 1;
        struct di_slot *slot = &ring.slots[ring.tail & ring.mask];
        uint32_t size = (uint32_t)msgs[i].size;

        ring.tail = stamp;
        if (size > DI_SLOT_BYTES) {
            struct di_slot_more *more = (struct di_slot_more *)&ring.slots[stamp & ring.mask];
            memcpy(more->bytes, cell->bytes + DI_SLOT_BYTES, DI_MORE_BYTES);
            /* Relaxed: never polled; published by the stamp of the first slot. */
            atomic_store_explicit(&more->stamp, stamp + 1, memory_order_relaxed);
            ring.tail++;
        }
        memcpy(slot->bytes, cell->bytes, DI_SLOT_BYTES);
        bytes += size;
        di_ring_stamp(slot, stamp, size, msgs[i].tag);
        claim_ahead(&ring);
        cell->taken = false;
        cell->next = free;
        free = cell;
        di_msg_empty(&msgs[i]);
    }
    cells->free = free;
    cells->taken -= (uint32_t)i;
    sender->ring = ring;
    sender->msgs += i;
    sender->bytes += bytes;
    return i;
}

enum duct_err di_sender_publish_batch(struct di_sender *sender, struct duct_msg *msgs, size_t count,
                                      size_t *done)
{
    enum duct_err err = DUCT_OK;
    size_t i = 0;

    while (i < count) {
        i += publish_run(sender, msgs + i, count - i);
        if (i < count)
            i += publish_blocks(sender, msgs + i, count - i);
        if (i == count || (err = di_sender_publish(sender, &msgs[i])) != DUCT_OK)
            break;
        i++;
    }
    *done = i;
    return err;
}
