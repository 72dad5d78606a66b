/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/receiver.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/list.h"
#include "lib/base/thread.h"

/*
 * Receiving and publishing. What other threads release is in receiver_release.c. Edges, explained
 * in receiver.h: [release]  a message's last read, its node pushed by another thread | the stack
 * taken by the owner
 */

/* What the head of the ring holds: every value loaded once, checked, and stable from here on. */
struct arrival {
    uint64_t tag;
    uint64_t ref;
    struct di_arrived *block; /* NULL: the payload is in the ring */
    uint32_t size;
    uint32_t slots;
};

enum duct_err di_receiver_init(struct di_receiver *receiver, const struct di_receiver_parts *parts)
{
    const struct di_outbox_header *peer_header = &parts->peer_geometry->header;
    const DI_PEER void *peer = di_peer_at(parts->peer_outbox, DI_OUTBOX_SENDER_AT);
    uint32_t eighth = peer_header->slots / 8;

    memset(receiver, 0, sizeof(*receiver));
    receiver->page = (void *)(parts->outbox + DI_OUTBOX_RECEIVER_AT);
    receiver->ring =
        (struct di_ring_in){.slots = di_peer_at(parts->peer_outbox, DI_OUTBOX_SLOTS_AT),
                            .mask = peer_header->slots - 1,
                            .head = peer_header->start,
                            .published = peer_header->start,
                            .seen = peer_header->start,
                            .consumed = &receiver->page->consumed};
    receiver->ringer = (struct di_ringer){.word = di_peer_field(peer, struct di_sender_page, park),
                                          .bell = &receiver->page->space_bell,
                                          .eventfd = -1,
                                          .socket = parts->socket};
    receiver->returns =
        (struct di_returns_out){.entries = (void *)(parts->outbox + parts->geometry->returns_at),
                                .mask = parts->geometry->header.returns - 1,
                                .returned = &receiver->page->returned};
    receiver->sleeper =
        (struct di_sleeper){.word = &receiver->page->park,
                            .bell = di_peer_field(peer, struct di_sender_page, data_bell)};
    receiver->immediate_max = parts->peer_geometry->immediate_max;
    receiver->max_msg = peer_header->max_msg;
    receiver->batch = eighth < 1 ? 1 : eighth > 64 ? 64 : eighth;
    receiver->peer_geometry = parts->peer_geometry;
    di_stack_init(&receiver->posted);
    di_receiver_release_init(receiver);
    if (!di_cells_init(&receiver->cells, parts->cells_max))
        return di_fail(DUCT_ENOMEMORY, "no memory for the small messages to be held");
    enum duct_err err = di_receiver_add_segment(receiver, parts->peer_pool);
    if (err != DUCT_OK)
        di_cells_fini(&receiver->cells);
    return err;
}

void di_receiver_fini(struct di_receiver *receiver)
{
    di_cells_fini(&receiver->cells);
    free(receiver->blocks);
    receiver->blocks = NULL;
}

enum duct_err di_receiver_add_segment(struct di_receiver *receiver, const DI_PEER void *base)
{
    const struct di_geometry *geometry = receiver->peer_geometry;
    /* Relaxed, here and below: only the owner's thread writes it. */
    uint32_t first = atomic_load_explicit(&receiver->block_count, memory_order_relaxed);
    uint32_t count = first + geometry->blocks;

    /* One allocation for the most there can be: nodes in it may sit in a stack, and must not move.
     * Only what is used is ever touched. */
    if (receiver->blocks == NULL)
        receiver->blocks = calloc(geometry->blocks_max, sizeof(*receiver->blocks));
    if (receiver->blocks == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to keep the books of the peer's %u blocks",
                       geometry->blocks_max);
    for (uint32_t i = 0; i < geometry->blocks; i++) {
        struct di_arrived *block = &receiver->blocks[first + i];
        block->data = di_peer_at(base, di_geometry_block(geometry, i, &block->size));
    }
    atomic_store_explicit(&receiver->block_count, count, memory_order_relaxed);
    receiver->segment_count++;
    receiver->returns_batch = count / 8 < 1 ? 1 : count / 8 > 64 ? 64 : count / 8;
    return DUCT_OK;
}

void di_receiver_publish(struct di_receiver *receiver)
{
    if (receiver->returns.put != receiver->returns.published)
        di_returns_publish(&receiver->returns);
    if (receiver->ring.head != receiver->ring.published)
        di_ring_publish(&receiver->ring);
    /* Relaxed, both: for a tool's eyes. */
    atomic_store_explicit(&receiver->page->msgs, receiver->msgs, memory_order_relaxed);
    atomic_store_explicit(&receiver->page->bytes, receiver->bytes, memory_order_relaxed);
    di_ringer_notify(&receiver->ringer, DI_WANT_SPACE | DI_WANT_BLOCKS);
    if (!receiver->sleeper.asymmetric && receiver->asymmetric_after != 0 &&
        receiver->msgs - receiver->awake_since >= receiver->asymmetric_after) {
        di_sleeper_stay_awake(&receiver->sleeper);
        receiver->awake(receiver);
    }
}

/* Nothing at the head, or nonsense. */
static enum duct_err nothing(struct di_receiver *receiver, enum di_ring_state state)
{
    if (state == DI_RING_CORRUPT)
        return di_fail(DUCT_ECORRUPT, "the peer stamped a slot out of turn; its pipe is closed");
    di_receiver_publish_due(receiver);
    return DUCT_EAGAIN;
}

/* Checks a descriptor that refers to a block: in range, not held already, large enough. */
static enum duct_err check_block(struct di_receiver *receiver, struct arrival *arrival)
{
    uint32_t index = di_ref_index(arrival->ref);

    if (index >= receiver->peer_geometry->blocks_max)
        return di_fail(DUCT_ECORRUPT,
                       "the peer sent block %u of a pool that has at most %u; its pipe is "
                       "closed",
                       index, receiver->peer_geometry->blocks_max);
    uint32_t known = atomic_load_explicit(&receiver->block_count, memory_order_relaxed);
    if (index >= known) {
        receiver->unknown_segment = true;
        return DUCT_EAGAIN;
    }
    arrival->block = &receiver->blocks[di_peer_index(index, known)];
    if (arrival->block->held)
        return di_fail(DUCT_ECORRUPT,
                       "the peer sent block %u again before it was released; its pipe is "
                       "closed",
                       index);
    if (arrival->size > arrival->block->size || arrival->size > receiver->max_msg)
        return di_fail(DUCT_ECORRUPT, "the peer sent %u bytes in a block of %u; its pipe is closed",
                       arrival->size, arrival->block->size);
    return DUCT_OK;
}

static inline enum duct_err peek(struct di_receiver *receiver, struct arrival *arrival)
{
    const DI_PEER void *slot = di_ring_slot(&receiver->ring, receiver->ring.head);
    enum di_ring_state state = di_ring_look(&receiver->ring);

    if (__builtin_expect(state != DI_RING_READY, 0))
        return nothing(receiver, state);
    uint64_t head = di_peer_load(di_peer_field(slot, struct di_slot, head));
    arrival->tag = di_peer_load(di_peer_field(slot, struct di_slot, tag));
    arrival->size = (uint32_t)head;
    /* Channel 0 is the only one yet, so everything above the size is the kind. */
    uint32_t kind = (uint32_t)(head >> 32);
    if (__builtin_expect(kind == (uint32_t)DI_KIND_IMMEDIATE << 16, 1)) {
        if (arrival->size > receiver->immediate_max)
            return di_fail(DUCT_ECORRUPT,
                           "the peer sent %u bytes in slots that hold %u; its pipe is "
                           "closed",
                           arrival->size, receiver->immediate_max);
        arrival->block = NULL;
        arrival->slots = di_slots_of(arrival->size);
        return DUCT_OK;
    }
    if (kind != (uint32_t)DI_KIND_BLOCK << 16)
        return di_fail(DUCT_ECORRUPT,
                       "the peer sent a descriptor of unknown kind %#x; its pipe is closed", kind);
    arrival->slots = 1;
    arrival->ref = di_peer_load(di_peer_field(slot, struct di_slot, block));
    return check_block(receiver, arrival);
}

/* The message at the head is taken. */
static inline void advance(struct di_receiver *receiver, const struct arrival *arrival)
{
    di_ring_fetch_ahead(&receiver->ring);
    receiver->ring.head += arrival->slots;
    receiver->msgs++;
    receiver->bytes += arrival->size;
    di_receiver_taken(receiver);
}

/*
 * A cell for one more view. Those that other threads released are asked for when there is no other:
 * a ring that never runs dry would else never have them taken in, and every receive would fail.
 */
static struct di_cell *take_cell(struct di_receiver *receiver)
{
    struct di_cell *cell = di_cells_take(&receiver->cells);

    if (__builtin_expect(cell == NULL, 0)) {
        di_receiver_collect(receiver);
        cell = di_cells_take(&receiver->cells);
    }
    return cell;
}

enum duct_err di_receiver_recv(struct di_receiver *receiver, struct duct_msg *msg)
{
    struct arrival arrival;
    enum duct_err err = peek(receiver, &arrival);

    if (__builtin_expect(err != DUCT_OK, 0))
        return err;
    if (arrival.block == NULL) {
        struct di_cell *cell = take_cell(receiver);
        if (cell == NULL) {
            receiver->full_held++;
            return di_fail(DUCT_ELIMIT,
                           "%u small messages are held already; release some, or raise the "
                           "option held",
                           receiver->cells.taken);
        }
        di_ring_get_cell(&receiver->ring, cell, arrival.size);
        msg->data = cell->bytes;
        msg->ref = di_block_ref(cell->index | DI_REF_CELL, cell->generation);
    } else {
        arrival.block->held = true;
        arrival.block->generation = di_ref_generation(arrival.ref);
        msg->data = (void *)(uintptr_t)di_peer_address(arrival.block->data);
        msg->ref = arrival.ref;
    }
    msg->size = arrival.size;
    msg->tag = arrival.tag;
    msg->flags = 0;
    msg->channel = 0;
    msg->owner = &receiver->owner;
    DI_CRASH_POINT("recv.found");
    receiver->handed_out++;
    advance(receiver, &arrival);
    return DUCT_OK;
}

enum duct_err di_receiver_read(struct di_receiver *receiver, void *data, size_t capacity,
                               size_t *size, uint64_t *tag)
{
    struct arrival arrival;
    enum duct_err err = peek(receiver, &arrival);

    if (__builtin_expect(err != DUCT_OK, 0))
        return err;
    *size = arrival.size;
    if (__builtin_expect(arrival.size > capacity, 0))
        return di_fail(DUCT_ETOOBIG,
                       "the message has %u bytes, the buffer only %zu; it can still be "
                       "received with a larger one",
                       arrival.size, capacity);
    if (arrival.block == NULL) {
        di_ring_get_immediate(&receiver->ring, data, arrival.size);
    } else {
        di_peer_copy(data, arrival.block->data, arrival.size);
        di_returns_put(&receiver->returns, arrival.ref);
    }
    DI_CRASH_POINT("recv.copied");
    if (tag != NULL)
        *tag = arrival.tag;
    advance(receiver, &arrival);
    return DUCT_OK;
}
