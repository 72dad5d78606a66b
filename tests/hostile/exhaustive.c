/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H4, exhaustively at a scaled-down width: every size, block, kind and channel that a small geometry can be asked
 * for, and some beyond, against a second statement of the rule. What is taken lies inside the pool.
 */
#include <string.h>

#include "tests/race/lane.h"

enum { SIZES = 700, MAX_MSG = 600 };

static struct lane lane;

static void forge(uint64_t head, uint64_t ref)
{
    struct di_slot *slots = (void *)(lane.side[0].outbox + DI_OUTBOX_SLOTS_AT);
    struct di_ring_out *ring = &lane.side[0].sender.ring;
    struct di_slot *slot = &slots[ring->tail & ring->mask];

    atomic_store_explicit(&slot->head, head, memory_order_relaxed);
    atomic_store_explicit(&slot->block, ref, memory_order_relaxed);
    atomic_store_explicit(&slot->stamp, ring->tail + 1, memory_order_release);
}

/* The rule, from the header and nothing else. */
static bool legal(uint32_t size, uint32_t index, uint32_t kind, uint32_t channel)
{
    const struct di_outbox_header *header = &lane.side[0].geometry.header;

    if (channel != 0 || (kind != DI_KIND_IMMEDIATE && kind != DI_KIND_BLOCK))
        return false;
    /* Half of the ring, of 8 slots: one of 40 bytes and three of 56; or a message, if that is less. */
    if (kind == DI_KIND_IMMEDIATE)
        return size <= 208;
    for (uint32_t c = 0; c < header->class_count; c++) {
        if (index < header->classes[c].count)
            return size <= header->classes[c].size && size <= MAX_MSG;
        index -= header->classes[c].count;
    }
    return false;
}

/* The slots that it takes, which the sender leaves behind. */
static void advance(uint32_t size, uint32_t kind)
{
    struct di_ring_out *ring = &lane.side[0].sender.ring;

    ring->tail += kind == DI_KIND_BLOCK || size <= 40 ? 1 : 1 + (size - 40 + 55) / 56;
}

static void one(uint32_t size, uint32_t index, uint32_t kind, uint32_t channel, bool view)
{
    static unsigned char bytes[4096];
    struct di_receiver *receiver = &lane.side[1].receiver;
    const struct di_geometry *geometry = &lane.side[0].geometry;
    struct duct_msg msg;
    size_t got = 0;

    forge((uint64_t)size | (uint64_t)channel << 32 | (uint64_t)kind << 48,
          (uint64_t)index | 1ull << 32);
    enum duct_err err = view ? di_receiver_recv(receiver, &msg)
                             : di_receiver_read(receiver, bytes, sizeof(bytes), &got, NULL);
    enum duct_err expected = legal(size, index, kind, channel) ? DUCT_OK : DUCT_ECORRUPT;
    if (err != expected)
        fprintf(stderr, "%u bytes, block %u, kind %u, channel %u: %s, expected %s\n", size, index,
                kind, channel, duct_err_name(err), duct_err_name(expected));
    MUST(err == expected);
    if (err != DUCT_OK)
        return;
    MUST((view ? msg.size : got) == size);
    if (view) {
        const unsigned char *data = msg.data;
        MUST(kind != DI_KIND_BLOCK ||
             (data >= lane.side[0].pool &&
              data + size <= lane.side[0].pool + geometry->header.pool_bytes));
        MUST(duct_msg_release(&msg) == DUCT_OK);
    }
    advance(size, kind);
}

int main(void)
{
    lane_open(&lane, 8, MAX_MSG, 8192, UINT64_MAX - 100, 16);
    const uint32_t blocks = lane.side[0].geometry.blocks;
    MUST(blocks >= 4 && blocks <= 64);
    for (uint32_t size = 0; size < SIZES; size++) {
        for (uint32_t index = 0; index < blocks + 3; index++) {
            for (uint32_t which = 0; which < 2 * 4 * 2; which++)
                one(size, index, which & 3, which >> 2 & 1, which >> 3);
        }
    }
    lane_close(&lane);
    return 0;
}
