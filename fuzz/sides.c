/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/sides.h"

#include <stdlib.h>

#include "lib/base/thread.h"

static unsigned freed_count;

static unsigned char *memory(uint64_t size)
{
    unsigned char *made = aligned_alloc(DI_PAGE, size);

    FUZZ_CHECK(made != NULL);
    memset(made, 0, size);
    return made;
}

static void plan(struct side *side, struct input *in)
{
    static const uint32_t sizes[] = {1, 30, 41, 100, 209, 1000, 4097, 9000};
    static const uint64_t starts[] = {0, UINT64_MAX - 5, UINT32_MAX - 5ull, INT64_MAX - 5ull};
    uint8_t shape = input_byte(in);
    uint8_t pool = input_byte(in);
    uint32_t max_msg = sizes[shape >> 4 & 7];
    uint64_t bytes = (max_msg > DI_PAGE ? 3 : 1 + (pool >> 4 & 1)) * (uint64_t)DI_PAGE;

    memset(side, 0, sizeof(*side));
    /* Of 2 to 512 slots. */
    di_geometry_plan(&side->geometry, DI_SLOTS_MIN << (shape & 15) % 9, max_msg,
                     bytes * (1 + pool % 4), UINT64_MAX);
    side->geometry.header.pool_segments_max = 1 + (pool >> 2 & 3) % SIDE_SEGMENTS_MAX;
    side->geometry.header.start = starts[pool >> 6];
}

/* As link_make_segments() does it, and then through the check that a peer makes. */
static void make(struct side *side, const struct side *peer)
{
    struct di_outbox_header *header = &side->geometry.header;
    uint32_t blocks_max = peer->geometry.blocks * peer->geometry.header.pool_segments_max;

    di_geometry_set_returns(&side->geometry, blocks_max);
    struct di_outbox_header copy = *header;
    enum duct_err err =
        di_geometry_check(&side->geometry, &copy, copy.outbox_bytes, blocks_max, UINT64_MAX);
    FUZZ_CHECK(err == DUCT_OK);
    side->outbox = memory(header->outbox_bytes);
    for (uint32_t i = 0; i < header->pool_segments_max; i++)
        side->pools[i] = memory(header->pool_bytes);
    memcpy(side->outbox, header, sizeof(*header));
    di_ring_format((void *)(side->outbox + DI_OUTBOX_SLOTS_AT), header->slots, header->start);
    struct di_receiver_page *page = (void *)(side->outbox + DI_OUTBOX_RECEIVER_AT);
    atomic_init(&page->consumed, peer->geometry.header.start);
}

void sides_open(struct side *own, struct side *peer, struct input *in)
{
    plan(own, in);
    plan(peer, in);
    make(own, peer);
    make(peer, own);
}

static void drop(struct side *side)
{
    free(side->outbox);
    for (uint32_t i = 0; i < SIDE_SEGMENTS_MAX; i++)
        free(side->pools[i]);
}

void sides_close(struct side *own, struct side *peer)
{
    drop(own);
    drop(peer);
}

bool side_holds(const struct side *side, const void *data, size_t size)
{
    const unsigned char *at = data;

    for (uint32_t i = 0; i < side->geometry.header.pool_segments_max; i++) {
        const unsigned char *end = side->pools[i] + side->geometry.header.pool_bytes;
        if (at >= side->pools[i] && at <= end && size <= (size_t)(end - at))
            return true;
    }
    return false;
}

void side_sender(struct di_sender *sender, const struct side *from, const struct side *to,
                 uint32_t cells_max)
{
    const struct di_sender_parts parts = {.outbox = from->outbox,
                                          .geometry = &from->geometry,
                                          .peer_outbox = side_peer(to->outbox),
                                          .peer_geometry = &to->geometry,
                                          .pool = from->pools[0],
                                          .cells_max = cells_max,
                                          .socket = -1};
    enum duct_err err = di_sender_init(sender, &parts);

    FUZZ_CHECK(err == DUCT_OK);
}

static void ignore(struct di_receiver *receiver)
{
    (void)receiver;
}

static void count_freed(struct di_receiver *receiver)
{
    (void)receiver;
    freed_count++;
}

void side_receiver(struct di_receiver *receiver, const struct side *from, const struct side *to,
                   uint32_t cells_max)
{
    const struct di_receiver_parts parts = {.outbox = to->outbox,
                                            .geometry = &to->geometry,
                                            .peer_outbox = side_peer(from->outbox),
                                            .peer_geometry = &from->geometry,
                                            .peer_pool = side_peer(from->pools[0]),
                                            .cells_max = cells_max,
                                            .socket = -1};
    enum duct_err err = di_receiver_init(receiver, &parts);

    FUZZ_CHECK(err == DUCT_OK);
    /* Relaxed, here and below: there is one thread. */
    atomic_store_explicit(&receiver->thread, di_thread_self(), memory_order_relaxed);
    freed_count = 0;
    receiver->post = ignore;
    receiver->freed = count_freed;
    receiver->awake = ignore;
}

enum duct_err side_release(struct duct_msg *msg)
{
    struct di_msg_owner *owner = msg->owner;

    return owner->release(owner, msg);
}

enum duct_err side_release_elsewhere(struct duct_msg *msg)
{
    struct di_receiver *receiver = msg->owner;

    atomic_store_explicit(&receiver->thread, 0, memory_order_relaxed);
    enum duct_err err = side_release(msg);
    atomic_store_explicit(&receiver->thread, di_thread_self(), memory_order_relaxed);
    return err;
}

unsigned side_freed(void)
{
    return freed_count;
}

void side_audit(const struct di_pool *pool)
{
    uint32_t count[3] = {0, 0, 0};
    uint32_t listed = 0;

    for (uint32_t i = 0; i < pool->block_count; i++) {
        FUZZ_CHECK(pool->blocks[i].state <= DI_BLOCK_SENT);
        count[pool->blocks[i].state]++;
    }
    FUZZ_CHECK(count[DI_BLOCK_LOANED] == pool->loaned && count[DI_BLOCK_SENT] == pool->sent);
    for (uint32_t c = 0; c < DI_CLASSES_MAX; c++) {
        uint32_t last = pool->last[c];
        for (uint32_t i = pool->top[c]; i != DI_BLOCK_NONE; i = pool->blocks[i].next) {
            FUZZ_CHECK(i < pool->block_count && pool->blocks[i].state == DI_BLOCK_FREE);
            FUZZ_CHECK(pool->blocks[i].class_index == c);
            FUZZ_CHECK(++listed <= pool->block_count);
            last = i;
        }
        FUZZ_CHECK(pool->top[c] == DI_BLOCK_NONE || last == pool->last[c]);
    }
    /* As many in the lists as are free, none of them twice: a circle would have been too long. */
    FUZZ_CHECK(listed == count[DI_BLOCK_FREE]);
}
