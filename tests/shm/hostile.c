/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/race/lane.h"

/* A sender that lies: every field of a descriptor, to a receiver of views and one of copies. */

static struct lane lane;

struct lie {
    const char *what;
    uint64_t stamp; /* added to the right one */
    uint64_t head;
    uint64_t block;
    enum duct_err expected;
};

#define HEAD(size, channel, kind) \
    ((uint64_t)(size) | (uint64_t)(channel) << 32 | (uint64_t)(kind) << 48)
#define BLOCK(index, generation) ((uint64_t)(index) | (uint64_t)(generation) << 32)

static const struct lie lies[] = {
    {"nothing", 0, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_OK},
    {"empty", 0, HEAD(0, 0, DI_KIND_IMMEDIATE), 0, DUCT_OK},
    {"longest", 0, HEAD(208, 0, DI_KIND_IMMEDIATE), 0, DUCT_OK},
    {"past the longest", 0, HEAD(209, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"2^31", 0, HEAD(1u << 31, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"2^32-1", 0, HEAD(UINT32_MAX, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"kind 0", 0, HEAD(8, 0, 0), 0, DUCT_ECORRUPT},
    {"kind 3", 0, HEAD(8, 0, 3), 0, DUCT_ECORRUPT},
    {"kind 65535", 0, HEAD(8, 0, 65535), 0, DUCT_ECORRUPT},
    {"a channel", 0, HEAD(8, 1, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"a channel of a block", 0, HEAD(8, 9, DI_KIND_BLOCK), 0, DUCT_ECORRUPT},
    {"a block", 0, HEAD(300, 0, DI_KIND_BLOCK), BLOCK(0, 1), DUCT_OK},
    {"an empty block", 0, HEAD(0, 0, DI_KIND_BLOCK), BLOCK(0, 1), DUCT_OK},
    {"a full block", 0, HEAD(4096, 0, DI_KIND_BLOCK), BLOCK(0, 1), DUCT_OK},
    {"past the block", 0, HEAD(4097, 0, DI_KIND_BLOCK), BLOCK(0, 1), DUCT_ECORRUPT},
    {"past a small block", 0, HEAD(2000, 0, DI_KIND_BLOCK), BLOCK(9, 1), DUCT_ECORRUPT},
    {"a block past all", 0, HEAD(8, 0, DI_KIND_BLOCK), BLOCK(10, 1), DUCT_ECORRUPT},
    {"block 2^31", 0, HEAD(8, 0, DI_KIND_BLOCK), BLOCK(1u << 31, 1), DUCT_ECORRUPT},
    {"block 2^32-1", 0, HEAD(8, 0, DI_KIND_BLOCK), BLOCK(UINT32_MAX, 1), DUCT_ECORRUPT},
    {"a stamp ahead", 1, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"a stamp behind", -1ull, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"a stamp a lap behind", -8ull, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_EAGAIN},
    {"a stamp a lap ahead", 8, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"a stamp two laps behind", -16ull, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
    {"a stamp of 2^32", 1ull << 32, HEAD(8, 0, DI_KIND_IMMEDIATE), 0, DUCT_ECORRUPT},
};
enum { LIES = sizeof(lies) / sizeof(lies[0]) };

static void forge(const struct lie *lie)
{
    struct di_slot *slots = (void *)(lane.side[0].outbox + DI_OUTBOX_SLOTS_AT);
    struct di_ring_out *ring = &lane.side[0].sender.ring;
    struct di_slot *slot = &slots[ring->tail & ring->mask];

    atomic_store_explicit(&slot->head, lie->head, memory_order_relaxed);
    atomic_store_explicit(&slot->block, lie->block, memory_order_relaxed);
    atomic_store_explicit(&slot->stamp, ring->tail + 1 + lie->stamp, memory_order_release);
}

static void open_for_lies(uint64_t start)
{
    lane_open(&lane, 8, 4096, 16384, start, 16);
    cr_assert_eq(lane.side[0].geometry.blocks, 10, "the table above counts on it");
    cr_assert_eq(lane.side[0].geometry.immediate_max, 208);
}

Test(hostile, descriptors)
{
    static unsigned char bytes[8192];
    struct duct_buffer buffers[2] = {{bytes, sizeof(bytes), 0, 0}, {bytes, sizeof(bytes), 0, 0}};
    struct duct_msg msg = {0};
    size_t size;

    for (unsigned i = 0; i < LIES; i++) {
        for (unsigned way = 0; way < 4; way++) {
            open_for_lies(i % 2 ? 0 : UINT64_MAX - 1);
            struct di_receiver *receiver = &lane.side[1].receiver;
            forge(&lies[i]);
            enum duct_err err;
            if (way == 0)
                err = di_receiver_recv(receiver, &msg);
            else if (way == 1)
                err = di_receiver_read(receiver, bytes, sizeof(bytes), &size, NULL);
            else if (way == 2)
                err = di_receiver_read_run(receiver, buffers, 2) > 0
                          ? DUCT_OK
                          : di_receiver_read(receiver, bytes, sizeof(bytes), &size, NULL);
            else
                err = di_receiver_recv_run(receiver, &msg, 1) > 0
                          ? DUCT_OK
                          : di_receiver_recv(receiver, &msg);
            cr_expect_eq(err, lies[i].expected, "%s: %s by way %u (%s)", lies[i].what,
                         duct_err_name(err), way, duct_err_detail());
            if (way % 3 == 0 && err == DUCT_OK)
                cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
            lane_close(&lane);
        }
    }
}

/* H22: a block that is held, again: at once, and by each way to receive. */
Test(hostile, block_held_already)
{
    unsigned char bytes[4096];
    struct duct_msg msg;
    size_t size;
    const struct lie once = {"", 0, HEAD(300, 0, DI_KIND_BLOCK), BLOCK(3, 1), DUCT_OK};

    open_for_lies(0);
    struct di_receiver *receiver = &lane.side[1].receiver;
    forge(&once);
    cr_assert_eq(di_receiver_recv(receiver, &msg), DUCT_OK);
    lane.side[0].sender.ring.tail++;
    forge(&once);
    cr_assert_eq(di_receiver_read(receiver, bytes, sizeof(bytes), &size, NULL), DUCT_ECORRUPT);
    struct duct_msg again;
    cr_assert_eq(di_receiver_recv(receiver, &again), DUCT_ECORRUPT);
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    lane_close(&lane);
}

/* The same inside one run: it ends before the second, which is then refused. */
Test(hostile, block_twice_in_a_run)
{
    struct duct_msg msgs[4];
    const struct lie once = {"", 0, HEAD(300, 0, DI_KIND_BLOCK), BLOCK(3, 1), DUCT_OK};
    const struct lie other = {"", 0, HEAD(300, 0, DI_KIND_BLOCK), BLOCK(2, 1), DUCT_OK};

    open_for_lies(0);
    struct di_receiver *receiver = &lane.side[1].receiver;
    forge(&once);
    lane.side[0].sender.ring.tail++;
    forge(&other);
    lane.side[0].sender.ring.tail++;
    forge(&once);
    cr_assert_eq(di_receiver_recv_run(receiver, msgs, 4), 2);
    cr_assert_eq(di_receiver_recv_run(receiver, msgs + 2, 2), 0);
    cr_assert_eq(di_receiver_recv(receiver, msgs + 2), DUCT_ECORRUPT);
    cr_assert_eq(di_receiver_release_run(receiver, msgs, 2), 2);
    cr_assert_eq(duct_msg_release(&msgs[0]), DUCT_EINVAL, "it was released with the run");
    lane_close(&lane);
}

/* The same block over and over, each time after it was given back: legal for all we can know, and the
 * return ring does not overflow: it has published what it holds. */
Test(hostile, block_repeated)
{
    unsigned char bytes[4096];
    size_t size;
    const struct lie once = {"", 0, HEAD(300, 0, DI_KIND_BLOCK), BLOCK(3, 1), DUCT_OK};

    open_for_lies(0);
    uint64_t guard = 0x5a5a5a5a5a5a5a5aull;
    unsigned char *end = lane.side[1].outbox + lane.side[1].geometry.returns_at +
                         lane.side[1].geometry.header.returns * 8;
    bool room = end < lane.side[1].outbox + lane.side[1].geometry.header.outbox_bytes;
    if (room)
        memcpy(end, &guard, 8);
    for (int i = 0; i < 1000; i++) {
        forge(&once);
        cr_assert_eq(di_receiver_read(&lane.side[1].receiver, bytes, sizeof(bytes), &size, NULL),
                     DUCT_OK);
        lane.side[0].sender.ring.tail++;
    }
    cr_assert(!room || memcmp(end, &guard, 8) == 0);
    lane_close(&lane);
}

/* Random bytes over the whole ring: every receive ends, none reads elsewhere (the sanitizer's to say). */
Test(hostile, random_rings)
{
    unsigned char bytes[4096];
    uint64_t seed = 99;
    size_t size;

    for (int round = 0; round < 3000; round++) {
        open_for_lies(0);
        struct di_receiver *receiver = &lane.side[1].receiver;
        for (int i = 0; i < 8; i++) {
            struct lie lie = lies[lane_random(&seed) % LIES];
            lie.head ^= lane_random(&seed) % 4 == 0 ? 1ull << lane_random(&seed) % 64 : 0;
            lie.block ^= lane_random(&seed) % 4 == 0 ? 1ull << lane_random(&seed) % 64 : 0;
            forge(&lie);
            lane.side[0].sender.ring.tail++;
        }
        struct duct_msg msgs[32];
        int count = 0;
        for (int i = 0; i < 32; i++) {
            enum duct_err err = i % 2
                                    ? di_receiver_recv(receiver, &msgs[count])
                                    : di_receiver_read(receiver, bytes, sizeof(bytes), &size, NULL);
            if (err != DUCT_OK)
                break;
            count += i % 2;
        }
        while (count > 0)
            cr_assert_eq(duct_msg_release(&msgs[--count]), DUCT_OK);
        lane_close(&lane);
    }
}
