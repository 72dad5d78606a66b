/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stream of payload copies through a ring of records of one size: a sender that copies in, a
 * receiver that reads in place. The fastest we found; every message is visible to the receiver at
 * once, none is held back for a batch.
 *
 * Two things make it fast, in this order:
 *   Distance. A receiver on the sender's heels takes each line from it half-written, and both crawl
 * (10 M/s at 64 bytes). So one that runs dry waits until half a ring has come, or its patience
 * ends. Five to twenty times. Size. Past the sender's L2 (2 MiB) lines fall into the shared L3 by
 * themselves, where the receiver gets them without asking the sender: 16 MiB carry 20 GB/s where 1
 * MiB carries 14; 32 MiB carry 10. At 8 bytes a message the instructions count, not the lines, and
 * 4 MiB is best.
 *
 * The large ring needs the caches to itself: beside other busy processes it falls back to 5 .. 16
 * GB/s and below the small one, which hardly minds. Hence both; judge by the better of the two.
 *
 * Rejected, GB/s at 64 KiB unless said otherwise, beside this ring's 22 in the same minutes: a
 * stamp in each record instead of one index (14.6 beside 14.8 in 1 MiB; 138 M/s beside 157 at 64
 * bytes, though 266 beside 225 at 40); non-temporal stores (9); AVX-512 stores (20); rep movsb (20;
 * 8 at 1 KiB); cldemote behind the copy (6.5); prefetching 1 KiB or 4 KiB ahead of the receiver (-5
 * %). Writing alone and reading alone run at 38 and 33: crossing is the cost.
 *
 * Edges: [put] the sender's count of records written, stored with release after each, loaded with
 * acquire before they are read. [space] the receiver's count of records read, stored with release
 * after the reads, loaded with acquire before a record is written again.
 */
#include <stdatomic.h>

#include <duct/message.h>

#include "bench/cases.h"
#include "bench/payload.h"

enum {
    RECORDS_MIN = 4,
    BEST_BYTES = 16 << 20,
    BEST_BYTES_TINY = 4 << 20, /* for payloads of 8 bytes */
    L2_BYTES = 1 << 20,        /* what a ring of reasonable size would have */
    PATIENCE_LOOKS = 64,
    PAUSES_A_LOOK = 8, /* looking at the index takes its line from the sender: seldom */
};

struct ring {
    _Alignas(MACHINE_LINE_APART) _Atomic uint64_t put;   /* sender */
    _Alignas(MACHINE_LINE_APART) _Atomic uint64_t taken; /* receiver */
    _Alignas(MACHINE_LINE_APART) unsigned char records[];
};

/* Either side's private handle. */
struct ring_side {
    struct ring *ring;
    const void *source;
    size_t size;
    size_t mask;    /* records less one */
    uint64_t next;  /* number of the record to write or to read */
    uint64_t limit; /* sender: may write below it; receiver: may read below it */
    uint64_t share; /* receiver: tells of [space] each time it has read so many */
    uint64_t sum;
};

static size_t records_of(const struct bench_case *what)
{
    size_t bytes = what->param != 0 ? what->param : what->size > 8 ? BEST_BYTES : BEST_BYTES_TINY;
    size_t records = RECORDS_MIN;
    while (2 * records * what->size <= bytes)
        records *= 2;
    return records;
}

static size_t ring_bytes(const struct bench_case *what)
{
    return sizeof(struct ring) + records_of(what) * what->size;
}

/* Waits for a record, and first for half a ring of them: see Distance. */
static uint64_t await_records(const struct ring_side *side)
{
    uint64_t wanted = side->next + (side->mask + 1) / 2;
    uint64_t put = atomic_load_explicit(&side->ring->put, memory_order_acquire); /* [put] */

    for (unsigned look = 0; put < wanted && (look < PATIENCE_LOOKS || put == side->next); look++) {
        for (unsigned i = 0; i < PAUSES_A_LOOK; i++)
            payload_relax();
        put = atomic_load_explicit(&side->ring->put, memory_order_acquire); /* [put] */
    }
    return put;
}

static inline __attribute__((always_inline)) void get_sized(struct ring_side *side, uint64_t count,
                                                            size_t size)
{
    struct ring_side s = *side; /* in registers: the stores below might alias it */
    for (uint64_t end = s.next + count; s.next < end;) {
        if (s.next == s.limit)
            s.limit = await_records(&s);
        s.sum += payload_consume(s.ring->records + (s.next & s.mask) * size, size);
        s.next++;
        if ((s.next & (s.share - 1)) == 0)
            atomic_store_explicit(&s.ring->taken, s.next, memory_order_release); /* [space] */
    }
    *side = s;
}

static inline __attribute__((always_inline)) void put_sized(struct ring_side *side, uint64_t count,
                                                            size_t size)
{
    struct ring_side s = *side;
    for (uint64_t end = s.next + count; s.next < end;) {
        while (s.next == s.limit) {
            uint64_t taken =
                atomic_load_explicit(&s.ring->taken, memory_order_acquire); /* [space] */
            s.limit = taken + s.mask + 1;
        }
        memcpy(s.ring->records + (s.next & s.mask) * size, s.source, size);
        s.next++;
        atomic_store_explicit(&s.ring->put, s.next, memory_order_release); /* [put] */
    }
    *side = s;
}

/*
 * The small sizes as constants, so that copy and sum are a few inlined instructions instead of
 * calls.
 */
static void get_many(void *state, uint64_t count)
{
    struct ring_side *side = state;
    switch (side->size) {
    case 8:
        get_sized(side, count, 8);
        break;
    case 40:
        get_sized(side, count, 40);
        break;
    case 64:
        get_sized(side, count, 64);
        break;
    default:
        get_sized(side, count, side->size);
    }
}

static void put_many(struct ring_side *side, uint64_t count)
{
    switch (side->size) {
    case 8:
        put_sized(side, count, 8);
        break;
    case 40:
        put_sized(side, count, 40);
        break;
    case 64:
        put_sized(side, count, 64);
        break;
    default:
        put_sized(side, count, side->size);
    }
}

static struct ring_side side_of(struct bench_run *run, bool is_sender)
{
    size_t records = records_of(run->what);
    return (struct ring_side){
        .ring = run->shared,
        .source = bench_source(run, 1),
        .size = run->size,
        .mask = records - 1,
        .limit = is_sender ? records : 0,
        .share = records / 4,
    };
}

/*
 * The same ring behind calls of the shape that loans have: a struct duct_msg for each message, filled in by one
 * call and taken back by another, 32 a call, the payload built and read where it lies. Nothing is checked, kept
 * or copied: what is left is what that shape costs whoever offers it, and no stream of loans can be faster. The
 * calls are not inlined, as a library's are not.
 */
enum { LOANS = 32 };
#define BOUNDARY __attribute__((noinline))

/* One that went is empty, so that it cannot be used twice. */
static inline void spend(struct duct_msg *msg)
{
    msg->data = NULL;
    msg->size = 0;
    msg->flags = 0;
    msg->owner = NULL;
}

static inline void describe(struct ring_side *side, struct duct_msg *msgs, size_t count)
{
    for (size_t i = 0; i < count; i++, side->next++)
        msgs[i] = (struct duct_msg){
            .data = side->ring->records + (side->next & side->mask) * side->size,
            .size = side->size,
            .owner = side,
            .ref = side->next,
        };
}

static BOUNDARY size_t call_loan(struct ring_side *side, struct duct_msg *msgs, size_t count)
{
    while (side->limit - side->next < count) {
        uint64_t taken =
            atomic_load_explicit(&side->ring->taken, memory_order_acquire); /* [space] */
        side->limit = taken + side->mask + 1;
        if (side->limit != side->next && side->limit - side->next < count)
            count = side->limit - side->next;
    }
    describe(side, msgs, count);
    return count;
}

static BOUNDARY void call_send(struct ring_side *side, struct duct_msg *msgs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        spend(&msgs[i]);
    atomic_store_explicit(&side->ring->put, side->next, memory_order_release); /* [put] */
}

static BOUNDARY size_t call_recv(struct ring_side *side, struct duct_msg *msgs, size_t count)
{
    if (side->next == side->limit)
        side->limit = await_records(side);
    if (side->limit - side->next < count)
        count = side->limit - side->next;
    describe(side, msgs, count);
    return count;
}

static BOUNDARY void call_release(struct ring_side *side, struct duct_msg *msgs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (((msgs[i].ref + 1) & (side->share - 1)) == 0)
            atomic_store_explicit(&side->ring->taken, msgs[i].ref + 1,
                                  memory_order_release); /* [space] */
        spend(&msgs[i]);
    }
}

static void get_loans(void *state, uint64_t count)
{
    struct ring_side *side = state;
    struct duct_msg msgs[LOANS];

    for (uint64_t left = count, got; left > 0; left -= got) {
        got = call_recv(side, msgs, left < LOANS ? (size_t)left : LOANS);
        for (size_t i = 0; i < got; i++)
            side->sum += payload_consume(msgs[i].data, msgs[i].size);
        call_release(side, msgs, got);
    }
}

static void put_loans(struct ring_side *side, uint64_t count)
{
    struct duct_msg msgs[LOANS];
    uint64_t sent = 0;

    for (uint64_t left = count, had; left > 0; left -= had) {
        had = call_loan(side, msgs, left < LOANS ? (size_t)left : LOANS);
        for (size_t i = 0; i < had; i++)
            payload_fill_any(msgs[i].data, side->size, ++sent);
        call_send(side, msgs, had);
    }
}

static void first(struct bench_run *run)
{
    struct ring_side side = side_of(run, false);
    bench_drive(run, get_many, &side);
    bench_check(run, side.sum == bench_total(&run->plan) * payload_consume(side.source, run->size));
}

static void second(struct bench_run *run)
{
    struct ring_side side = side_of(run, true);
    put_many(&side, bench_total(&run->plan));
}

static void first_loans(struct bench_run *run)
{
    struct ring_side side = side_of(run, false);
    bench_drive(run, get_loans, &side);
    bench_check(run, side.sum == payload_sum(run->size, bench_total(&run->plan)));
}

static void second_loans(struct bench_run *run)
{
    struct ring_side side = side_of(run, true);
    put_loans(&side, bench_total(&run->plan));
}

void base_ring_cases(struct cases *cases)
{
    struct bench_case what = {
        .name = "base.ring",
        .about = "ring of payload copies read in place, of the size that is fastest",
        .kind = BENCH_STREAM,
        .place = BENCH_PAIR,
        .shared_bytes = ring_bytes,
        .first = first,
        .second = second,
    };
    cases_add_sizes(cases, &what);
    what.name = "base.ring.l2";
    what.about = "the same in 1 MiB (4 messages of 1 MiB)";
    what.param = L2_BYTES;
    cases_add_sizes(cases, &what);
    what.name = "base.ring.loan";
    what.about =
        "base.ring behind calls of the shape that loans have, 32 a call, that check nothing";
    what.param = 0;
    what.baseline = "base.ring";
    what.first = first_loans;
    what.second = second_loans;
    cases_add_sizes(cases, &what);
}
