/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/race/lane.h"

/* When the peer is told: lazily, but never late; and whom a ring wakes, and how often. */

static struct lane lane;

static uint64_t consumed(void)
{
    struct di_receiver_page *page = (void *)(lane.side[1].outbox + DI_OUTBOX_RECEIVER_AT);

    return atomic_load_explicit(&page->consumed, memory_order_relaxed);
}

static uint64_t returned(void)
{
    struct di_receiver_page *page = (void *)(lane.side[1].outbox + DI_OUTBOX_RECEIVER_AT);

    return atomic_load_explicit(&page->returned, memory_order_relaxed);
}

static void put(unsigned count, size_t size)
{
    static unsigned char bytes[4096];

    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(di_sender_put(&lane.side[0].sender, bytes, size, i), DUCT_OK);
}

static void receive(unsigned count)
{
    struct duct_msg msg;

    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(di_receiver_recv(&lane.side[1].receiver, &msg), DUCT_OK);
        cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    }
}

/* Every eighth of the ring, 64 at most, one at least. */
Test(publish, by_the_batch)
{
    static const struct {
        uint32_t slots, batch;
    } rings[] = {{2, 1}, {4, 1}, {8, 1}, {16, 2}, {64, 8}, {256, 32}, {512, 64}, {4096, 64}};

    for (unsigned i = 0; i < sizeof(rings) / sizeof(rings[0]); i++) {
        lane_open(&lane, rings[i].slots, 4096, 16384, 0, 16);
        uint64_t shown = 0;
        for (unsigned n = 1; n <= 3 * rings[i].batch; n++) {
            put(1, 8);
            receive(1);
            shown = n / rings[i].batch * rings[i].batch;
            cr_assert_eq(consumed(), shown, "slots %u, after %u", rings[i].slots, n);
        }
        lane_close(&lane);
    }
}

Test(publish, when_nothing_is_found)
{
    struct duct_msg msg;

    lane_open(&lane, 256, 4096, 65536, 0, 16);
    put(3, 400);
    receive(3);
    cr_assert(consumed() == 0 && returned() < 3);
    cr_assert_eq(di_receiver_recv(&lane.side[1].receiver, &msg), DUCT_EAGAIN);
    cr_assert(consumed() == 3 && returned() == 3);
    lane_close(&lane);
}

Test(publish, at_once_while_the_peer_waits)
{
    lane_open(&lane, 256, 4096, 65536, 0, 16);
    struct di_sleeper *sleeper = &lane.side[0].sender.sleeper;
    put(4, 8);
    uint32_t bell = di_sleeper_arm(sleeper, DI_WANT_SPACE, DI_DOORBELL_FUTEX, false);
    receive(1);
    cr_assert_eq(consumed(), 1);
    cr_assert_eq(di_sleeper_bell(sleeper), bell + 1, "and it is rung");
    receive(1);
    cr_assert_eq(consumed(), 2);
    cr_assert_eq(di_sleeper_bell(sleeper), bell + 1, "once per epoch");
    di_sleeper_disarm(sleeper);
    receive(1);
    cr_assert_eq(consumed(), 2);
    lane_close(&lane);
}

Test(publish, returns_at_once_while_the_peer_waits_for_blocks)
{
    struct duct_msg held[3];

    lane_open(&lane, 256, 4096, 65536, 0, 16);
    struct di_sleeper *sleeper = &lane.side[0].sender.sleeper;
    put(3, 400);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(di_receiver_recv(&lane.side[1].receiver, &held[i]), DUCT_OK);
    cr_assert_eq(duct_msg_release(&held[0]), DUCT_OK);
    cr_assert_eq(returned(), 0);
    di_sleeper_arm(sleeper, DI_WANT_BLOCKS, DI_DOORBELL_FUTEX, false);
    cr_assert_eq(duct_msg_release(&held[1]), DUCT_OK);
    cr_assert_eq(returned(), 2);
    cr_assert_eq(lane.side[1].receiver.ringer.rings, 1);
    cr_assert_eq(duct_msg_release(&held[2]), DUCT_OK);
    lane_close(&lane);
}

/* ---- The ringer ---- */

Test(ringer, rings_who_asked_once)
{
    lane_open(&lane, 256, 4096, 65536, 0, 16);
    struct di_sender *sender = &lane.side[0].sender;
    struct di_sleeper *sleeper = &lane.side[1].receiver.sleeper;
    put(1, 8);
    di_sender_flush(sender);
    cr_assert(sender->ringer.rings == 0 && lane_rings(&lane.side[1]) == 0, "nobody sleeps");
    for (uint64_t epoch = 1; epoch < 20; epoch++) {
        uint32_t bell = di_sleeper_arm(sleeper, DI_WANT_DATA, DI_DOORBELL_SOCKET, false);
        for (int i = 0; i < 3; i++) {
            put(1, 8);
            di_sender_flush(sender);
        }
        cr_assert_eq(sender->ringer.rings, epoch);
        cr_assert_eq(lane_rings(&lane.side[1]), 1);
        cr_assert_eq(di_sleeper_bell(sleeper), bell + 1);
    }
    /* Interest in something else is none. */
    di_sleeper_arm(sleeper, DI_WANT_SPACE, DI_DOORBELL_SOCKET, false);
    put(1, 8);
    di_sender_flush(sender);
    cr_assert_eq(lane_rings(&lane.side[1]), 0);
    di_sleeper_disarm(sleeper);
    put(1, 8);
    di_sender_flush(sender);
    cr_assert_eq(lane_rings(&lane.side[1]), 0);
    lane_close(&lane);
}

/* A word of any bits rings at most once, and by a doorbell that there is. */
Test(ringer, any_word)
{
    lane_open(&lane, 4096, 4096, 65536, 0, 16);
    struct di_sender *sender = &lane.side[0].sender;
    struct di_receiver_page *page = (void *)(lane.side[1].outbox + DI_OUTBOX_RECEIVER_AT);
    uint64_t seed = 5;
    for (int i = 0; i < 4000; i++) {
        uint64_t word = (uint64_t)lane_random(&seed) << 40 ^ (uint64_t)lane_random(&seed) << 16 ^
                        lane_random(&seed);
        uint64_t before = sender->ringer.rings;
        atomic_store_explicit(&page->park, word, memory_order_relaxed);
        put(1, 8);
        receive(1);
        di_sender_flush(sender);
        di_sender_flush(sender);
        cr_assert_leq(sender->ringer.rings, before + 1);
        cr_assert_leq(lane_rings(&lane.side[1]), 1);
    }
    lane_close(&lane);
}

/* Asymmetric: no fence and no ring until it is taken back; then both. */
Test(ringer, asymmetric)
{
    lane_open(&lane, 256, 4096, 65536, 0, 16);
    struct di_sender *sender = &lane.side[0].sender;
    struct di_sleeper *sleeper = &lane.side[1].receiver.sleeper;
    di_sleeper_stay_awake(sleeper);
    uint64_t fences = sender->ringer.fences;
    for (int i = 0; i < 50; i++) {
        put(1, 8);
        di_sender_flush(sender);
    }
    cr_assert(sender->ringer.fences == fences && sender->ringer.rings == 0);
    di_sleeper_arm(sleeper, DI_WANT_DATA, DI_DOORBELL_SOCKET, false);
    put(1, 8);
    di_sender_flush(sender);
    cr_assert(sender->ringer.fences == fences + 1 && sender->ringer.rings == 1);
    lane_close(&lane);
}
