/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream through a ring of 64-byte slots, each with 8 bytes of payload and a 64-bit stamp: a
 * descriptor ring with everything but the descriptor taken away. Nothing but lines moves, so it
 * runs at what the machine moves lines at.
 *
 * M/s with so many slots: 256 125, 1024 135, 4096 170 to 200, 16384 240, 65536 285, 131072 390,
 * 262144 330 to 390. Past the sender's L2 (2 MiB, 32768 slots) lines fall into the shared L3 by
 * themselves, which is cheaper than having them fetched. We keep the best, and 4096 as a ring of a
 * size one would really make.
 *
 * Rejected, at 1024 slots beside 135: prefetching for writing 8, 16, 32 slots ahead (46: takes
 * lines the receiver is about to read); cldemote behind the sender (44); pausing while the next
 * slot is empty (4 pauses 125, 32 98); a sender that waits for 64 or 512 free slots (126); looking
 * at every eighth stamp only and then reading eight slots unrolled (133), with prefetch (130): the
 * loop is not what it waits for.
 *
 * Edges: [slot] the stamp, stored with release after the payload, loaded with acquire before it is
 * read. [space] the receiver's count of slots read, stored with release after the reads, loaded
 * with acquire before a slot is reused.
 */
#include <stdatomic.h>

#include "bench/cases.h"

enum { SLOTS_BEST = 131072, SLOTS_USUAL = 4096, SHARE = 64 };

struct stamp_slot {
    _Alignas(MACHINE_LINE_BYTES) uint64_t payload;
    _Atomic uint64_t stamp; /* number of the message, from 1: never that of the round before */
};

struct stamp_ring {
    _Alignas(MACHINE_LINE_APART) _Atomic uint64_t taken; /* receiver */
    _Alignas(MACHINE_LINE_APART) struct stamp_slot slots[];
};

struct stamp_side {
    struct stamp_ring *ring;
    uint64_t mask; /* slots less one */
    uint64_t next;
    uint64_t sum;
};

static size_t stamp_bytes(const struct bench_case *what)
{
    return sizeof(struct stamp_ring) + what->param * sizeof(struct stamp_slot);
}

static void get_many(void *state, uint64_t count)
{
    struct stamp_side *side = state;
    struct stamp_side s = *side; /* in registers: the stores below might alias it */

    for (uint64_t end = s.next + count; s.next < end;) {
        struct stamp_slot *slot = &s.ring->slots[s.next & s.mask];
        s.next++;
        while (atomic_load_explicit(&slot->stamp, memory_order_acquire) != s.next) /* [slot] */
            ;
        s.sum += slot->payload;
        if (s.next % SHARE == 0)
            atomic_store_explicit(&s.ring->taken, s.next, memory_order_release); /* [space] */
    }
    *side = s;
}

static void put_all(struct stamp_ring *ring, uint64_t slots, uint64_t total)
{
    uint64_t limit = slots; /* may write below it */
    for (uint64_t n = 0; n < total; n++) {
        while (n == limit)
            limit = slots + atomic_load_explicit(&ring->taken, memory_order_acquire); /* [space] */
        struct stamp_slot *slot = &ring->slots[n & (slots - 1)];
        slot->payload = n;
        atomic_store_explicit(&slot->stamp, n + 1, memory_order_release); /* [slot] */
    }
}

static void first(struct bench_run *run)
{
    struct stamp_side side = {.ring = run->shared, .mask = run->what->param - 1};
    bench_drive(run, get_many, &side);
    uint64_t total = bench_total(&run->plan);
    bench_check(run, side.sum == total * (total - 1) / 2);
}

static void second(struct bench_run *run)
{
    put_all(run->shared, run->what->param, bench_total(&run->plan));
}

void base_stamp_cases(struct cases *cases)
{
    struct bench_case what = {
        .name = "base.stamp",
        .about = "ring of 64-byte slots, 8 bytes and a stamp each, of the size that is fastest",
        .kind = BENCH_STREAM,
        .place = BENCH_PAIR,
        .size = 8,
        .param = SLOTS_BEST,
        .shared_bytes = stamp_bytes,
        .first = first,
        .second = second,
    };
    cases_add(cases, &what);
    what.name = "base.stamp.4k";
    what.about = "the same with 4096 slots";
    what.param = SLOTS_USUAL;
    cases_add(cases, &what);
}
