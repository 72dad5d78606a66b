/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/sender.h"

#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"

static enum duct_err discard(struct di_msg_owner *owner, struct duct_msg *msg);

enum duct_err di_sender_init(struct di_sender *sender, const struct di_sender_parts *parts)
{
    const struct di_outbox_header *header = &parts->geometry->header;
    const DI_PEER void *peer = di_peer_at(parts->peer_outbox, DI_OUTBOX_RECEIVER_AT);

    memset(sender, 0, sizeof(*sender));
    sender->owner.discard = discard;
    sender->page = (void *)(parts->outbox + DI_OUTBOX_SENDER_AT);
    sender->ring =
        (struct di_ring_out){.slots = (void *)(parts->outbox + DI_OUTBOX_SLOTS_AT),
                             .mask = header->slots - 1,
                             .tail = header->start,
                             .limit = header->start + header->slots,
                             .consumed = di_peer_field(peer, struct di_receiver_page, consumed)};
    sender->ringer = (struct di_ringer){.word = di_peer_field(peer, struct di_receiver_page, park),
                                        .bell = &sender->page->data_bell,
                                        .eventfd = -1,
                                        .socket = parts->socket};
    sender->returns = (struct di_returns_in){
        .entries = di_peer_at(parts->peer_outbox, parts->peer_geometry->returns_at),
        .mask = parts->peer_geometry->header.returns - 1,
        .returned = di_peer_field(peer, struct di_receiver_page, returned)};
    sender->sleeper =
        (struct di_sleeper){.word = &sender->page->park,
                            .bell = di_peer_field(peer, struct di_receiver_page, space_bell)};
    sender->immediate_max = parts->geometry->immediate_max;
    sender->max_msg = header->max_msg;
    di_pool_init(&sender->pool, parts->geometry);
    if (!di_cells_init(&sender->cells, parts->cells_max))
        return di_fail(DUCT_ENOMEMORY, "no memory for the staging of small messages");
    enum duct_err err = di_pool_add(&sender->pool, parts->pool);
    if (err != DUCT_OK)
        di_cells_fini(&sender->cells);
    return err;
}

void di_sender_fini(struct di_sender *sender)
{
    di_cells_fini(&sender->cells);
    di_pool_fini(&sender->pool);
}

static void remember_need(struct di_sender *sender, uint32_t slots, size_t size, size_t align)
{
    sender->need_slots = slots;
    sender->need_size = size;
    sender->need_align = align;
}

enum duct_err di_sender_full(struct di_sender *sender, uint32_t slots, bool plausible)
{
    if (!plausible)
        return di_fail(DUCT_ECORRUPT,
                       "the peer's consumer index is out of range; its pipe is closed");
    remember_need(sender, slots, 0, 0);
    sender->full_ring++;
    return DUCT_EAGAIN;
}

enum duct_err di_sender_collect(struct di_sender *sender)
{
    if (sender->reclaim != NULL)
        return sender->reclaim(sender);
    if (di_returns_collect(&sender->returns, &sender->pool) < 0)
        return di_fail(DUCT_ECORRUPT,
                       "the peer returned a block that it does not hold; its pipe is "
                       "closed");
    return DUCT_OK;
}

/* A block of the pool: from the stack, from what came back, or from a new segment. */
static enum duct_err take_block(struct di_sender *sender, size_t size, size_t align,
                                uint32_t *index)
{
    enum duct_err err;

    *index = di_pool_take(&sender->pool, size, align);
    if (*index != DI_BLOCK_NONE)
        return DUCT_OK;
    if ((err = di_sender_collect(sender)) != DUCT_OK)
        return err;
    *index = di_pool_take(&sender->pool, size, align);
    if (*index == DI_BLOCK_NONE && sender->grow != NULL &&
        sender->pool.segment_count < sender->pool.geometry->header.pool_segments_max &&
        sender->grow(sender) == DUCT_OK)
        *index = di_pool_take(&sender->pool, size, align);
    if (*index != DI_BLOCK_NONE)
        return DUCT_OK;
    remember_need(sender, 0, size, align);
    sender->full_pool++;
    return DUCT_EAGAIN;
}

static enum duct_err refuse_size(struct di_sender *sender, size_t size)
{
    sender->too_big++;
    return di_fail(
        DUCT_ETOOBIG,
        "a message of %zu bytes is over this pipe's limit of %u; raise the option max_msg "
        "on this side",
        size, sender->max_msg);
}

enum duct_err di_sender_loan(struct di_sender *sender, size_t size, size_t align,
                             struct duct_msg *msg)
{
    uint32_t index;

    if (size > sender->max_msg)
        return refuse_size(sender, size);
    if (size <= sender->immediate_max && align <= DI_LINE) {
        struct di_cell *cell = di_cells_take(&sender->cells);
        if (cell != NULL) {
            DI_CRASH_POINT("loan.cell");
            *msg =
                (struct duct_msg){.data = cell->bytes,
                                  .size = size,
                                  .owner = &sender->owner,
                                  .ref = di_block_ref(cell->index | DI_REF_CELL, cell->generation)};
            return DUCT_OK;
        }
        /* Only this thread can end that, by sending or discarding one. */
        remember_need(sender, 0, SIZE_MAX, DI_LINE);
        sender->full_pool++;
        return DUCT_EAGAIN;
    }
    enum duct_err err = take_block(sender, size, align, &index);
    if (err != DUCT_OK)
        return err;
    DI_CRASH_POINT("loan.block");
    *msg = (struct duct_msg){.data = sender->pool.blocks[index].data,
                             .size = size,
                             .owner = &sender->owner,
                             .ref = di_block_ref(index, sender->pool.blocks[index].generation)};
    return DUCT_OK;
}

static struct di_cell *cell_of(const struct di_sender *sender, uint64_t ref)
{
    if (!(di_ref_index(ref) & DI_REF_CELL))
        return NULL;
    return di_cells_find(&sender->cells, di_ref_index(ref) & ~DI_REF_CELL, di_ref_generation(ref));
}

static enum duct_err not_on_loan(void)
{
    return di_fail(DUCT_EINVAL,
                   "the message is not on loan from this pipe: it was sent, discarded or "
                   "released before, or belongs to another pipe");
}

static enum duct_err discard(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct di_sender *sender = (struct di_sender *)owner;
    struct di_cell *cell = cell_of(sender, msg->ref);

    if (cell != NULL)
        di_cells_give_back(&sender->cells, cell);
    else if (!di_pool_give_back(&sender->pool, msg->ref, DI_BLOCK_LOANED))
        return not_on_loan();
    DI_CRASH_POINT("loan.discarded");
    sender->discarded++;
    di_msg_empty(msg);
    return DUCT_OK;
}

static enum duct_err too_long(size_t size, size_t loaned)
{
    return di_fail(DUCT_EINVAL, "the message's size was raised to %zu, over the %zu bytes on loan",
                   size, loaned);
}

enum duct_err di_sender_publish(struct di_sender *sender, struct duct_msg *msg)
{
    bool plausible = true;
    struct di_cell *cell;

    if (__builtin_expect(msg->owner != &sender->owner, 0))
        return not_on_loan();
    if ((cell = cell_of(sender, msg->ref)) != NULL) {
        if (msg->size > sender->immediate_max)
            return too_long(msg->size, sender->immediate_max);
        if (!di_ring_room(&sender->ring, di_slots_of((uint32_t)msg->size), &plausible))
            return di_sender_full(sender, di_slots_of((uint32_t)msg->size), plausible);
        di_ring_put_cell(&sender->ring, cell, (uint32_t)msg->size, msg->tag);
        di_cells_give_back(&sender->cells, cell);
    } else {
        struct di_block *block = di_pool_loaned(&sender->pool, msg->ref);
        if (block == NULL)
            return not_on_loan();
        if (msg->size > block->size || msg->size > sender->max_msg)
            return too_long(msg->size, block->size);
        if (!di_ring_room(&sender->ring, 1, &plausible))
            return di_sender_full(sender, 1, plausible);
        di_pool_mark_sent(&sender->pool, block);
        DI_CRASH_POINT("send.marked");
        di_ring_put_block(&sender->ring, msg->ref, (uint32_t)msg->size, msg->tag);
    }
    sender->msgs++;
    sender->bytes += msg->size;
    di_msg_empty(msg);
    return DUCT_OK;
}

static void gather(unsigned char *to, const struct iovec *pieces, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_len > 0)
            memcpy(to, pieces[i].iov_base, pieces[i].iov_len);
        to += pieces[i].iov_len;
    }
}

enum duct_err di_sender_write_block(struct di_sender *sender, const struct iovec *pieces,
                                    size_t count, size_t size, uint64_t tag)
{
    bool plausible = true;
    uint32_t index;

    if (size > sender->max_msg)
        return refuse_size(sender, size);
    /* The slot first: a block taken in vain would have to go back. */
    if (!di_ring_room(&sender->ring, 1, &plausible))
        return di_sender_full(sender, 1, plausible);
    enum duct_err err = take_block(sender, size, DI_LINE, &index);
    if (err != DUCT_OK)
        return err;
    struct di_block *block = &sender->pool.blocks[index];
    gather(block->data, pieces, count);
    DI_CRASH_POINT("send.gathered");
    di_pool_mark_sent(&sender->pool, block);
    di_ring_put_block(&sender->ring, di_block_ref(index, block->generation), (uint32_t)size, tag);
    sender->msgs++;
    sender->bytes += size;
    return DUCT_OK;
}

enum duct_err di_sender_put_pieces(struct di_sender *sender, const struct iovec *pieces,
                                   size_t count, size_t size, uint64_t tag)
{
    unsigned char whole[DI_IMMEDIATE_MAX];

    if (size > sender->immediate_max)
        return di_sender_write_block(sender, pieces, count, size, tag);
    gather(whole, pieces, count);
    return di_sender_put(sender, whole, size, tag);
}

bool di_sender_ready(struct di_sender *sender, enum duct_err *err)
{
    bool plausible = true;
    /* Room for the longest immediate message, so that "ready" cannot be followed by AGAIN. */
    bool room = di_ring_room(&sender->ring, di_slots_of(sender->immediate_max), &plausible);

    if (!plausible)
        *err = di_sender_full(sender, 0, false);
    return room;
}

bool di_sender_has_need(struct di_sender *sender, enum duct_err *err)
{
    bool plausible = true;

    if (!di_ring_room(&sender->ring, sender->need_slots, &plausible)) {
        if (!plausible)
            *err = di_sender_full(sender, 0, false);
        return false;
    }
    if (sender->need_size == 0)
        return true;
    enum duct_err collected = di_sender_collect(sender);
    if (collected != DUCT_OK) {
        *err = collected;
        return false;
    }
    return di_pool_has(&sender->pool, sender->need_size, sender->need_align);
}

void di_sender_show_counters(struct di_sender *sender)
{
    /* Relaxed, both: for a tool's eyes. */
    atomic_store_explicit(&sender->page->msgs, sender->msgs, memory_order_relaxed);
    atomic_store_explicit(&sender->page->bytes, sender->bytes, memory_order_relaxed);
}
