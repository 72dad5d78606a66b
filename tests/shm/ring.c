/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/race/lane.h"

/* The ring alone: every position near a wrap, room to the slot, and what is behind a message. */

static const uint64_t starts[] = {
    0, 1, 6, UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - 7, INT64_MAX, (1ull << 32) - 3};
static const uint32_t sizes_of_ring[] = {2, 4, 8, 16, 64};

static void goes_round(uint32_t slots, uint64_t start)
{
    static struct lane lane;
    unsigned char out[DI_IMMEDIATE_MAX], in[DI_IMMEDIATE_MAX];

    lane_open(&lane, slots, 4096, 16384, start, 16);
    struct di_sender *sender = &lane.side[0].sender;
    struct di_receiver *receiver = &lane.side[1].receiver;
    uint64_t sent = 0, received = 0, used = 0;
    uint64_t seed = start + slots;
    size_t size;
    uint64_t tag;
    while (received < 40 * slots) {
        if (lane_random(&seed) % 2 == 0) {
            size = (sent * 37) % (sender->immediate_max + 1);
            lane_fill(out, size, sent);
            enum duct_err err = di_sender_put(sender, out, size, sent);
            bool fits = used + di_slots_of((uint32_t)size) <= slots;
            cr_assert_eq(err, fits ? DUCT_OK : DUCT_EAGAIN);
            if (fits) {
                used += di_slots_of((uint32_t)size);
                sent++;
            }
        } else {
            enum duct_err err = di_receiver_read(receiver, in, sizeof(in), &size, &tag);
            cr_assert_eq(err, received < sent ? DUCT_OK : DUCT_EAGAIN, "%s", duct_err_detail());
            if (err == DUCT_OK) {
                cr_assert(tag == received && lane_filled(in, size, received));
                used -= di_slots_of((uint32_t)size);
                received++;
                di_receiver_publish_due(receiver);
            }
        }
    }
    lane_close(&lane);
}

Test(ring, goes_round)
{
    for (unsigned i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (unsigned k = 0; k < sizeof(sizes_of_ring) / sizeof(sizes_of_ring[0]); k++)
            goes_round(sizes_of_ring[k], starts[i]);
    }
}

/* A payload may be any bytes, also what would be a stamp, now or a lap later. */
Test(ring, payload_is_no_stamp)
{
    static struct lane lane;
    uint64_t words[DI_IMMEDIATE_MAX / 8], in[DI_IMMEDIATE_MAX / 8];
    size_t size;

    lane_open(&lane, 8, 4096, 16384, 0, 16);
    for (uint64_t i = 0; i < 2000; i++) {
        for (unsigned k = 0; k < DI_IMMEDIATE_MAX / 8; k++)
            words[k] = i + k % 4 + (k % 3) * 8;
        size = (i % 4 + 1) * 48 > sizeof(words) ? sizeof(words) : (i % 4 + 1) * 48;
        cr_assert_eq(di_sender_put(&lane.side[0].sender, words, size, i), DUCT_OK);
        cr_assert_eq(di_receiver_read(&lane.side[1].receiver, in, sizeof(in), &size, NULL),
                     DUCT_OK);
        cr_assert_eq(memcmp(words, in, size), 0);
        cr_assert_eq(di_receiver_read(&lane.side[1].receiver, in, sizeof(in), &size, NULL),
                     DUCT_EAGAIN);
    }
    lane_close(&lane);
}

/* Each consumer index a peer may show: within the ring and never back, or the pipe is corrupt. */
Test(ring, lying_consumer)
{
    static const struct {
        int64_t offset; /* from the tail, which is 5 messages on */
        enum duct_err expected;
    } lies[] = {{0, DUCT_OK},
                {-1, DUCT_OK},
                {-5, DUCT_EAGAIN},
                {1, DUCT_ECORRUPT},
                {-6, DUCT_ECORRUPT},
                {8, DUCT_ECORRUPT},
                {-9, DUCT_ECORRUPT},
                {INT64_MAX, DUCT_ECORRUPT},
                {INT64_MIN, DUCT_ECORRUPT},
                {1ll << 31, DUCT_ECORRUPT},
                {1ll << 32, DUCT_ECORRUPT}};
    static struct lane lane;

    for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        for (unsigned k = 0; k < sizeof(starts) / sizeof(starts[0]); k++) {
            lane_open(&lane, 8, 4096, 16384, starts[k], 16);
            struct di_sender *sender = &lane.side[0].sender;
            struct di_receiver_page *page = (void *)(lane.side[1].outbox + DI_OUTBOX_RECEIVER_AT);
            for (int n = 0; n < 5; n++)
                cr_assert_eq(di_sender_put(sender, "x", 1, 0), DUCT_OK);
            atomic_store_explicit(&page->consumed, sender->ring.tail + (uint64_t)lies[i].offset,
                                  memory_order_relaxed);
            /* Four slots, where three are free unless the index says more. */
            unsigned char bytes[208] = {0};
            cr_expect_eq(di_sender_put(sender, bytes, sizeof(bytes), 0), lies[i].expected,
                         "offset %lld from %llu", (long long)lies[i].offset,
                         (unsigned long long)starts[k]);
            lane_close(&lane);
        }
    }
}
