/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/thread.h"
#include "shm/durable.h"

/*
 * The receiving half of a durable pipe: receive, release, and the record of both. Edges, explained in
 * durable.h:
 *   [mark]   a releaser's reads, mark stored with release | mark loaded with acquire, low-water moved
 *   [space]  consumed (low-water) stored with release     | loaded with acquire by the sender
 *   [slot]   stamp, as in ring.h
 *   [death]  a store that must be done before those after it | the next owner, by way of the kernel
 */

/* ---- The beginning ---- */

static void note_span(void *user, const struct di_durable_found *found)
{
    struct di_durable_in *in = user;

    in->spans[found->position & in->mask] = (uint8_t)found->slots;
}

/* Another thread has marked it, and is about to give its block back: until the owner has that, the peer must not send
 * it again. */
static bool still_held(const struct di_durable_in *in, uint64_t position)
{
    const struct di_arrived *block = in->block_of[position & in->mask];

    return block != NULL && block->held;
}

/* Moves low-water over what is marked, as far as `until`. True if it moved. */
static bool follow_marks(struct di_durable_in *in, uint64_t until)
{
    uint64_t low = in->low;

    /* [mark] observes: the releaser, on whatever thread, is done with the message. */
    while (low != until &&
           atomic_load_explicit(&in->marks[low & in->mask], memory_order_acquire) == low + 1 &&
           !still_held(in, low))
        low += in->spans[low & in->mask];
    if (low == in->low)
        return false;
    in->low = low;
    /* [space] publishes: all reads of the messages below it are over. */
    atomic_store_explicit(in->low_shown, low, memory_order_release);
    return true;
}

/* What was received and not released, from a copy of the other end's ring: its owner may live and write
 * meanwhile, but not there. */
static enum duct_err recover(struct di_durable_in *in, const struct di_durable_end *end)
{
    unsigned char *bytes = aligned_alloc(DI_PAGE, end->peer_outbox.size);
    struct di_durable_copy copy;
    struct di_durable_scan scan;
    /* Relaxed: only we write it. */
    uint64_t received = atomic_load_explicit(in->received, memory_order_relaxed);
    enum duct_err err;

    if (bytes == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to recover a durable pipe");
    di_peer_copy(bytes, end->peer_outbox.base, end->peer_outbox.size);
    err = di_durable_copy_check(&copy, bytes, end->peer_outbox.size, UINT64_MAX);
    if (err == DUCT_OK)
        err = di_durable_scan(&scan, &copy, in->low, received - in->low, note_span, in);
    free(bytes);
    if (err != DUCT_OK)
        return di_durable_end_refuse(end, err);
    in->seen_before = received;
    follow_marks(in, received);
    in->receiver.ring.head = in->receiver.ring.published = in->receiver.ring.seen = in->low;
    return DUCT_OK;
}

static enum duct_err release(struct di_msg_owner *owner, struct duct_msg *msg);

/* What the receiver publishes by itself goes nowhere: here other positions count. */
static void redirect(struct di_durable_in *in)
{
    struct di_receiver *receiver = &in->receiver;

    receiver->ring.consumed = &in->consumed_unused;
    receiver->returns.entries = in->returns_unused;
    receiver->returns.mask = sizeof(in->returns_unused) / sizeof(in->returns_unused[0]) - 1;
    receiver->returns.returned = &in->returned_unused;
    receiver->asymmetric_after = 0;
    receiver->owner.release = release;
    receiver->owner.release_run = NULL;
}

enum duct_err di_durable_in_init(struct di_durable_in *in, const struct di_durable_end *end)
{
    const struct di_receiver_parts parts = {.outbox = end->outbox.base,
                                            .geometry = &end->geometry,
                                            .peer_outbox = end->peer_outbox.base,
                                            .peer_geometry = &end->peer_geometry,
                                            .peer_pool = end->peer_pool.base,
                                            .cells_max = end->geometry.header.returns,
                                            .socket = -1};
    uint64_t cells = end->geometry.header.returns + DI_CELLS_PER_CHUNK;
    enum duct_err err;

    memset(in, 0, sizeof(*in));
    if ((err = di_receiver_init(&in->receiver, &parts)) != DUCT_OK)
        return err;
    redirect(in);
    in->marks = di_durable_end_marks(end);
    in->mask = end->geometry.header.returns - 1;
    in->low_shown = &di_durable_end_page(end)->consumed;
    in->received = &di_durable_end_record(end)->received;
    /* Relaxed: only we write it. */
    in->low = atomic_load_explicit(in->low_shown, memory_order_relaxed);
    in->spans = calloc(in->mask + 1, 1);
    in->cell_at = calloc(cells, sizeof(uint64_t));
    in->block_at = calloc(end->peer_geometry.blocks_max, sizeof(uint64_t));
    in->block_of = calloc(in->mask + 1, sizeof(*in->block_of));
    if (in->spans == NULL || in->cell_at == NULL || in->block_at == NULL || in->block_of == NULL)
        err = di_fail(DUCT_ENOMEMORY, "no memory for what a durable pipe receives");
    else
        err = recover(in, end);
    if (err != DUCT_OK)
        di_durable_in_fini(in);
    return err;
}

void di_durable_in_fini(struct di_durable_in *in)
{
    di_receiver_fini(&in->receiver);
    free(in->spans);
    free(in->cell_at);
    free(in->block_at);
    free(in->block_of);
    in->spans = NULL;
    in->cell_at = in->block_at = NULL;
    in->block_of = NULL;
}

/* ---- Receiving ---- */

/* Past what was released before a death, though what came before it was not. */
static void skip_released(struct di_durable_in *in)
{
    struct di_ring_in *ring = &in->receiver.ring;

    while (in->seen_before - ring->head - 1 <= in->mask &&
           /* Relaxed: stored before this receiver was made. */
           atomic_load_explicit(&in->marks[ring->head & in->mask], memory_order_relaxed) ==
               ring->head + 1)
        ring->head += in->spans[ring->head & in->mask];
}

/* Low-water moved: the sender may be waiting for that. */
static void show_low(struct di_durable_in *in)
{
    if (follow_marks(in, in->receiver.ring.head))
        di_ringer_notify(&in->receiver.ringer, DI_WANT_SPACE | DI_WANT_BLOCKS);
}

void di_durable_collect(struct di_durable *durable)
{
    if (!durable->met)
        return;
    di_receiver_collect(&durable->in.receiver);
    show_low(&durable->in);
}

/* Before every receive: where the next message is, and whether a mark is free for it. */
static enum duct_err before(struct di_durable *durable)
{
    struct di_durable_in *in = &durable->in;

    if (!durable->met)
        return DUCT_EAGAIN;
    skip_released(in);
    if (in->receiver.ring.head + DI_MORE_MAX - in->low <= in->mask)
        return DUCT_OK;
    di_durable_collect(durable);
    if (in->receiver.ring.head + DI_MORE_MAX - in->low <= in->mask || !di_durable_ready(durable))
        return DUCT_OK;
    in->receiver.full_held++;
    return di_fail(DUCT_ELIMIT,
                   "the oldest message that is held holds up %llu places, and there are %llu; "
                   "release it, or raise the option held",
                   (unsigned long long)(in->receiver.ring.head - in->low),
                   (unsigned long long)in->mask + 1);
}

/* The message at a position was taken off the ring. True if it had been received before a death. */
static bool taken(struct di_durable_in *in, uint64_t position)
{
    uint64_t head = in->receiver.ring.head;
    bool again = in->seen_before - position - 1 <= in->mask;

    in->spans[position & in->mask] = (uint8_t)(head - position);
    if (again)
        return true;
    /* [death] publishes: before the application has it, and before any mark of it. */
    atomic_store_explicit(in->received, head, memory_order_release);
    DI_CRASH_POINT("durable.received");
    return false;
}

/* It never comes again from here on. */
static void mark(struct di_durable_in *in, uint64_t position)
{
    /* [mark] publishes: our reads of the message. */
    atomic_store_explicit(&in->marks[position & in->mask], position + 1, memory_order_release);
    DI_CRASH_POINT("durable.marked");
}

enum duct_err di_durable_recv(struct di_durable *durable, struct duct_msg *msg)
{
    struct di_durable_in *in = &durable->in;
    enum duct_err err = before(durable);

    if (err != DUCT_OK)
        return err;
    uint64_t position = in->receiver.ring.head;
    err = di_receiver_recv(&in->receiver, msg);
    if (err == DUCT_ELIMIT) {
        /* Low-water passes a cell's message before its owner has the cell back. */
        di_durable_collect(durable);
        err = di_receiver_recv(&in->receiver, msg);
    }
    if (err != DUCT_OK)
        return err;
    uint32_t index = di_ref_index(msg->ref);
    bool in_cell = (index & DI_REF_CELL) != 0;
    in->block_of[position & in->mask] = in_cell ? NULL : &in->receiver.blocks[index];
    if (in_cell)
        in->cell_at[index & ~DI_REF_CELL] = position;
    else
        in->block_at[index] = position;
    if (taken(in, position))
        msg->flags |= DUCT_MSG_REDELIVERED;
    return DUCT_OK;
}

enum duct_err di_durable_read(struct di_durable *durable, void *data, size_t capacity, size_t *size,
                              uint64_t *tag)
{
    struct di_durable_in *in = &durable->in;
    enum duct_err err = before(durable);

    if (err != DUCT_OK)
        return err;
    uint64_t position = in->receiver.ring.head;
    if ((err = di_receiver_read(&in->receiver, data, capacity, size, tag)) != DUCT_OK)
        return err;
    in->block_of[position & in->mask] = NULL;
    taken(in, position);
    mark(in, position);
    show_low(in);
    return DUCT_OK;
}

bool di_durable_ready(struct di_durable *durable)
{
    if (!durable->met)
        return false;
    skip_released(&durable->in);
    return di_receiver_ready(&durable->in.receiver);
}

/* ---- Releasing ---- */

static enum duct_err release(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct di_durable_in *in = (struct di_durable_in *)owner;
    struct di_receiver *receiver = &in->receiver;
    struct di_cell *cell;
    struct di_arrived *block;
    /* Relaxed: it is ours or it is not; only its owner changes it. */
    bool mine = !atomic_load_explicit(&receiver->closed, memory_order_relaxed) &&
                atomic_load_explicit(&receiver->thread, memory_order_relaxed) == di_thread_self();

    di_receiver_find(receiver, msg->ref, &cell, &block);
    if (cell == NULL && block == NULL)
        return di_fail(DUCT_EINVAL,
                       "the message is not held from this pipe: it was released before, "
                       "or belongs to another pipe");
    _Atomic bool *claimed = cell != NULL ? &cell->claimed : &block->claimed;
    /* Relaxed: only who was first matters. */
    if (atomic_exchange_explicit(claimed, true, memory_order_relaxed))
        return di_fail(DUCT_EINVAL, "the message was released before");
    uint64_t position = cell != NULL ? in->cell_at[di_ref_index(msg->ref) & ~DI_REF_CELL]
                                     : in->block_at[di_ref_index(msg->ref)];
    mark(in, position);
    msg->owner = NULL;
    di_msg_empty(msg);
    if (!mine) {
        di_receiver_release_elsewhere(receiver, cell, block);
        return DUCT_OK;
    }
    /* Relaxed: nobody holds it until it comes again. */
    atomic_store_explicit(claimed, false, memory_order_relaxed);
    receiver->given_back++;
    if (cell != NULL)
        di_cells_give_back(&receiver->cells, cell);
    else
        block->held = false;
    show_low(in);
    return DUCT_OK;
}

/* ---- From outside ---- */

uint64_t di_durable_undelivered_in(struct di_durable *durable)
{
    const struct di_durable_in *in = &durable->in;
    struct di_ring_in ring;
    uint64_t messages = 0;

    if (!durable->met)
        return 0;
    for (uint64_t p = in->low; p != in->receiver.ring.head; p += in->spans[p & in->mask])
        /* Relaxed: a number, for people. */
        messages += atomic_load_explicit(&in->marks[p & in->mask], memory_order_relaxed) != p + 1;
    ring = in->receiver.ring;
    for (uint64_t i = 0; i <= ring.mask && di_ring_look(&ring) == DI_RING_READY; i++) {
        uint64_t head =
            di_peer_load(di_peer_field(di_ring_slot(&ring, ring.head), struct di_slot, head));
        bool here = head == di_head_make((uint32_t)head, DI_KIND_IMMEDIATE) &&
                    (uint32_t)head <= in->receiver.immediate_max;
        ring.head += here ? di_slots_of((uint32_t)head) : 1;
        messages++;
    }
    return messages;
}
