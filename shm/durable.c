/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/durable.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"

/*
 * A durable pipe's lanes as a whole, and its sending half. The receiving half is in durable_in.c. Edges,
 * explained in durable.h:
 *   [space]  consumed (low-water) stored with release | loaded with acquire by the sender
 *   [slot]   stamp stored with release                | stamp loaded with acquire
 *   [bind]   record set, then peer_id stored          | peer_id loaded with acquire
 *   [refs]   a user's last touch, count lowered       | count seen to be zero, files let go
 *   [death]  a store that must be done before those after it | the next owner, by way of the kernel
 */

/* What stands for the other end's outbox while it has none: nobody waits for anything there. */
static _Alignas(DI_PAGE) const unsigned char nobody[DI_OUTBOX_SLOTS_AT];

static const DI_PEER void *peer_outbox(const struct di_durable *durable)
{
    return durable->end.met ? durable->end.peer_outbox.base
                            : (const DI_PEER void *)(uintptr_t)nobody;
}

/* ---- Sending ---- */

struct refs {
    uint64_t *refs;
    uint32_t count;
};

static void collect_ref(void *user, const struct di_durable_found *found)
{
    struct refs *all = user;

    if (found->block)
        all->refs[all->count++] = found->ref;
}

/* Slots that a message was begun in, and never published: a later message may end before them, and then
 * they must not look published. Only we write them, and nobody takes them for anything yet. */
static void clear_torn(struct di_durable *durable, const struct di_durable_scan *scan)
{
    struct di_slot *slots = durable->out.sender.ring.slots;
    uint64_t mask = durable->out.sender.ring.mask;

    for (uint64_t p = scan->tail + 1; scan->torn > 0 && p <= scan->tail + DI_MORE_MAX; p++) {
        if (p - scan->low > mask)
            break;
        /* Relaxed: it is not a message, and becomes none. */
        atomic_store_explicit(&slots[p & mask].stamp, p - mask, memory_order_relaxed);
    }
}

/* The books from what the ring holds. */
static enum duct_err recover_out(struct di_durable *durable)
{
    struct di_sender *sender = &durable->out.sender;
    struct di_durable_end *end = &durable->end;
    struct di_durable_other other = {.bound = 0};
    struct di_durable_scan scan;
    struct refs refs = {.refs = malloc(sizeof(uint64_t) * (end->geometry.blocks + 1))};
    uint64_t low;
    enum duct_err err;

    if (refs.refs == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to recover a durable pipe");
    if (end->met)
        other = di_durable_end_other(end);
    err = di_durable_pair_low(&low, &end->copy, end->met ? &other : NULL);
    if (err == DUCT_OK)
        err = di_durable_scan(&scan, &end->copy, low, DI_DURABLE_ALL, collect_ref, &refs);
    if (err == DUCT_OK) {
        sender->ring.tail = scan.tail;
        sender->ring.limit = low + sender->ring.mask + 1;
        durable->out.limit_from = low;
        di_pool_restore(&sender->pool, refs.refs, refs.count);
        clear_torn(durable, &scan);
        /* Relaxed: only we write it. Before anything below low is used again. */
        atomic_store_explicit(&di_durable_end_sent(end)->reclaimed, low, memory_order_relaxed);
    }
    free(refs.refs);
    return err == DUCT_OK ? err : di_durable_end_refuse(end, err);
}

/* One message of one's own ring is done with: its block is free again. */
static bool take_back(struct di_sender *sender, uint64_t *position)
{
    const struct di_slot *slot = &sender->ring.slots[*position & sender->ring.mask];
    /* Relaxed, both: only this thread writes them. */
    uint64_t head = atomic_load_explicit(&slot->head, memory_order_relaxed);

    if (head == di_head_make((uint32_t)head, DI_KIND_IMMEDIATE)) {
        *position += di_slots_of((uint32_t)head);
        return true;
    }
    *position += 1;
    return di_pool_give_back(
        &sender->pool, atomic_load_explicit(&slot->block, memory_order_relaxed), DI_BLOCK_SENT);
}

enum duct_err di_durable_reclaim(struct di_durable *durable, bool *more)
{
    struct di_durable_out *out = &durable->out;
    struct di_sender *sender = &out->sender;
    uint64_t from = out->limit_from;
    uint64_t position = from;
    uint64_t low;
    bool good = true;

    *more = false;
    if (!durable->end.met)
        return DUCT_OK;
    if (!out->bound) {
        uint64_t bound = di_durable_end_other(&durable->end).bound;
        if (bound == 0)
            return DUCT_OK;
        if (bound != durable->end.id)
            return di_fail(DUCT_ECORRUPT, "the other end belongs to another pipe of the same name");
        out->bound = true;
    }
    /* [space] observes: the receiver's reads of the messages before it are over. */
    low = di_peer_load_acquire(
        di_peer_field(di_peer_at(durable->end.peer_outbox.base, DI_OUTBOX_RECEIVER_AT),
                      struct di_receiver_page, consumed));
    if (low == from)
        return DUCT_OK;
    if (low - from > sender->ring.tail - from)
        return di_fail(DUCT_ECORRUPT,
                       "the other end's low-water mark is out of range; its pipe is closed");
    while (good && low - position <= low - from && position != low)
        good = take_back(sender, &position);
    if (!good || position != low)
        return di_fail(DUCT_ECORRUPT, "the other end released half a message; its pipe is closed");
    /* Relaxed: for the next owner. */
    atomic_store_explicit(&di_durable_end_sent(&durable->end)->reclaimed, low,
                          memory_order_relaxed);
    /* [death] publishes: before anything below it is used again. The stores into slots and blocks stay
     * behind the fence. */
    atomic_thread_fence(memory_order_release);
    DI_CRASH_POINT("durable.reclaimed");
    out->limit_from = low;
    sender->ring.limit = low + sender->ring.mask + 1;
    *more = true;
    return DUCT_OK;
}

static enum duct_err reclaim(struct di_sender *sender)
{
    struct di_durable *durable = (struct di_durable *)sender;
    bool more;

    return di_durable_reclaim(durable, &more);
}

/* The other end's outbox is known, or stands in: what waits there, and where its bells are. */
static void face_peer(struct di_durable *durable)
{
    struct di_sender *sender = &durable->out.sender;
    const DI_PEER void *page = di_peer_at(peer_outbox(durable), DI_OUTBOX_RECEIVER_AT);

    sender->ringer.word = di_peer_field(page, struct di_receiver_page, park);
    sender->sleeper.bell = di_peer_field(page, struct di_receiver_page, space_bell);
}

/* A new epoch must be none that the other end has rung before. Relaxed: only we write the word. */
static void resume_epoch(struct di_sleeper *sleeper)
{
    sleeper->epoch =
        atomic_load_explicit(sleeper->word, memory_order_relaxed) >> DI_PARK_EPOCH_SHIFT;
}

static enum duct_err open_out(struct di_durable *durable, uint32_t cells_max)
{
    struct di_durable_out *out = &durable->out;
    struct di_durable_end *end = &durable->end;
    const struct di_sender_parts parts = {.outbox = end->outbox.base,
                                          .geometry = &end->geometry,
                                          .peer_outbox = peer_outbox(durable),
                                          .peer_geometry = &end->geometry,
                                          .pool = end->pool.base,
                                          .cells_max = cells_max,
                                          .socket = -1};
    enum duct_err err = di_sender_init(&out->sender, &parts);

    if (err != DUCT_OK)
        return err;
    out->sender.ring.consumed = (const DI_PEER uint64_t *)(uintptr_t)&out->limit_from;
    out->sender.returns.returned = (const DI_PEER uint64_t *)(uintptr_t)&out->nothing_returned;
    out->sender.reclaim = reclaim;
    face_peer(durable);
    resume_epoch(&out->sender.sleeper);
    err = recover_out(durable);
    if (err != DUCT_OK)
        di_sender_fini(&out->sender);
    return err;
}

/* ---- The whole ---- */

static void let_go(struct di_durable *durable)
{
    /* [refs] Both ways: the last one sees what the others did. */
    if (atomic_fetch_sub_explicit(&durable->refs, 1, memory_order_acq_rel) != 1)
        return;
    di_durable_end_close(&durable->end);
    free(durable);
}

/* The last message held came back; any thread. */
static void freed(struct di_receiver *receiver)
{
    struct di_durable *durable =
        (struct di_durable *)((char *)receiver - offsetof(struct di_durable, in));

    di_durable_in_fini(&durable->in);
    let_go(durable);
}

static enum duct_err open_in(struct di_durable *durable)
{
    enum duct_err err = di_durable_in_init(&durable->in, &durable->end);

    if (err != DUCT_OK)
        return err;
    durable->in.receiver.freed = freed;
    durable->in.receiver.ringer.socket = durable->out.sender.ringer.socket;
    resume_epoch(&durable->in.receiver.sleeper);
    durable->met = true;
    /* Relaxed: a release needs a message, and there is none yet. */
    atomic_fetch_add_explicit(&durable->refs, 1, memory_order_relaxed);
    return DUCT_OK;
}

enum duct_err di_durable_open(struct di_durable **out, const struct di_durable_asks *asks)
{
    size_t size = (sizeof(struct di_durable) + DI_LINE_PAIR - 1) / DI_LINE_PAIR * DI_LINE_PAIR;
    struct di_durable *durable = aligned_alloc(DI_LINE_PAIR, size);
    enum duct_err err;

    if (durable == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a durable pipe");
    memset(durable, 0, size);
    atomic_init(&durable->refs, 1);
    if ((err = di_durable_end_open(&durable->end, asks)) != DUCT_OK) {
        free(durable);
        return err;
    }
    err = open_out(durable, asks->held);
    if (err == DUCT_OK) {
        err = durable->end.met ? open_in(durable) : DUCT_OK;
        if (err != DUCT_OK)
            di_sender_fini(&durable->out.sender);
    }
    if (err != DUCT_OK) {
        di_durable_end_close(&durable->end);
        free(durable);
        return err;
    }
    di_durable_copy_free(&durable->end.copy);
    di_durable_end_begin(&durable->end, di_durable_undelivered_in(durable) == 0);
    *out = durable;
    return DUCT_OK;
}

enum duct_err di_durable_meet(struct di_durable *durable)
{
    enum duct_err err;

    if (durable->met)
        return DUCT_OK;
    if ((err = di_durable_end_meet(&durable->end)) != DUCT_OK || !durable->end.met)
        return err;
    face_peer(durable);
    return open_in(durable);
}

void di_durable_finish(struct di_durable *durable, uint32_t code)
{
    di_durable_end_finish(&durable->end, code, di_durable_undelivered_in(durable) == 0);
}

void di_durable_close(struct di_durable *durable)
{
    if (durable->met)
        di_receiver_close(&durable->in.receiver);
    di_sender_fini(&durable->out.sender);
    let_go(durable);
}

void di_durable_set_socket(struct di_durable *durable, int socket)
{
    struct di_ringer *ringers[2] = {&durable->out.sender.ringer, &durable->in.receiver.ringer};

    for (unsigned i = 0; i < 2; i++) {
        ringers[i]->socket = socket;
        /* What was rung into nowhere, or for a process that is gone, is rung again. */
        ringers[i]->rung = UINT64_MAX;
    }
}

uint64_t di_durable_undelivered_out(struct di_durable *durable)
{
    const struct di_sender *sender = &durable->out.sender;
    uint64_t messages = 0;
    bool more;
    /* A lie of the other end's is told by whoever needs the room. */
    enum duct_err ignored = di_durable_reclaim(durable, &more);
    (void)ignored;

    for (uint64_t p = durable->out.limit_from; p != sender->ring.tail; messages++) {
        const struct di_slot *slot = &sender->ring.slots[p & sender->ring.mask];
        /* Relaxed: only this thread writes it. */
        uint64_t head = atomic_load_explicit(&slot->head, memory_order_relaxed);
        bool here = head == di_head_make((uint32_t)head, DI_KIND_IMMEDIATE);
        p += here ? di_slots_of((uint32_t)head) : 1;
    }
    return messages;
}
