/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ping-pong of payloads through one slot per direction: what is left of a ring when everything but
 * the message is taken away. Up to 56 bytes travel in the line that carries the stamp, larger
 * payloads in the lines behind it. Sender copies from a private buffer, receiver reads every byte
 * where it lies.
 *
 * Edge: [slot] the stamp is stored with release after the payload, and loaded with acquire before
 * it is read. The slot is free for the next payload once the answer to the last has arrived, so no
 * second edge is needed.
 */
#include <stdatomic.h>

#include "bench/cases.h"
#include "bench/payload.h"

enum { IN_LINE_MAX = 56, SLOTS_MAX = 64, SLOTS_BYTES = 65536 };

/* One direction; written by its sender only. */
struct slot {
    _Alignas(64) unsigned char in_line[IN_LINE_MAX];
    _Atomic uint64_t stamp;
    unsigned char behind[];
};

struct slot_side {
    unsigned char *out;
    unsigned char *in;
    const void *source;
    size_t size, stride;
    uint64_t mask; /* slots less one */
    uint64_t turn;
    uint64_t sum;
};

/*
 * Small payloads take many slots in turn, for the reason given at struct machine_probe; large ones
 * span many lines.
 */
static size_t slots_of(size_t size)
{
    return size <= SLOTS_BYTES / SLOTS_MAX ? SLOTS_MAX
           : size <= SLOTS_BYTES           ? SLOTS_BYTES / size
                                           : 1;
}

static size_t slot_stride(size_t size)
{
    size_t bytes = sizeof(struct slot) + (size <= IN_LINE_MAX ? 0 : size);
    return (bytes + MACHINE_LINE_APART - 1) / MACHINE_LINE_APART * MACHINE_LINE_APART;
}

/* A page between the two, so that no prefetcher reaches from one direction into the other. */
static size_t direction_bytes(size_t size)
{
    return (slots_of(size) * slot_stride(size) + 4095) / 4096 * 4096 + 4096;
}

static size_t slot_bytes(const struct bench_case *what)
{
    return 2 * direction_bytes(what->size);
}

static inline unsigned char *slot_payload(struct slot *slot, size_t size)
{
    return size <= IN_LINE_MAX ? slot->in_line : slot->behind;
}

static inline struct slot *slot_of(const struct slot_side *side, unsigned char *direction)
{
    return (struct slot *)(void *)(direction + (side->turn & side->mask) * side->stride);
}

static inline __attribute__((always_inline)) void put(struct slot_side *side, size_t size)
{
    struct slot *slot = slot_of(side, side->out);
    memcpy(slot_payload(slot, size), side->source, size);
    atomic_store_explicit(&slot->stamp, side->turn, memory_order_release); /* [slot] */
}

static inline __attribute__((always_inline)) void get(struct slot_side *side, size_t size)
{
    struct slot *slot = slot_of(side, side->in);
    while (atomic_load_explicit(&slot->stamp, memory_order_acquire) != side->turn) /* [slot] */
        ;
    side->sum += payload_consume(slot_payload(slot, size), size);
}

static inline __attribute__((always_inline)) void ping_sized(struct slot_side *side, uint64_t count,
                                                             size_t size)
{
    for (uint64_t i = 0; i < count; i++) {
        side->turn++;
        put(side, size);
        get(side, size);
    }
}

static inline __attribute__((always_inline)) void pong_sized(struct slot_side *side, uint64_t count,
                                                             size_t size)
{
    for (uint64_t i = 0; i < count; i++) {
        side->turn++;
        get(side, size);
        put(side, size);
    }
}

/*
 * The small sizes as constants, so that copy and sum are a few inlined instructions instead of
 * calls.
 */
static void ping_many(void *state, uint64_t count)
{
    struct slot_side *side = state;
    switch (side->size) {
    case 8:
        ping_sized(side, count, 8);
        break;
    case 40:
        ping_sized(side, count, 40);
        break;
    case 64:
        ping_sized(side, count, 64);
        break;
    default:
        ping_sized(side, count, side->size);
    }
}

static void pong_many(struct slot_side *side, uint64_t count)
{
    switch (side->size) {
    case 8:
        pong_sized(side, count, 8);
        break;
    case 40:
        pong_sized(side, count, 40);
        break;
    case 64:
        pong_sized(side, count, 64);
        break;
    default:
        pong_sized(side, count, side->size);
    }
}

static struct slot_side side_of(struct bench_run *run, bool is_first)
{
    unsigned char *there = run->shared;
    unsigned char *back = there + direction_bytes(run->size);
    return (struct slot_side){
        .out = is_first ? there : back,
        .in = is_first ? back : there,
        .source = bench_source(run, is_first ? 1 : 2),
        .size = run->size,
        .stride = slot_stride(run->size),
        .mask = slots_of(run->size) - 1,
    };
}

static void first(struct bench_run *run)
{
    struct slot_side side = side_of(run, true);
    bench_drive(run, ping_many, &side);
    bench_check(run, side.sum == bench_total(&run->plan) *
                                     payload_consume(bench_source(run, 2), run->size));
}

static void second(struct bench_run *run)
{
    struct slot_side side = side_of(run, false);
    pong_many(&side, bench_total(&run->plan));
    payload_observe(&side);
}

void base_slot_cases(struct cases *cases)
{
    cases_add_sizes(cases,
                    &(struct bench_case){
                        .name = "base.slot",
                        .about = "one stamped slot each way, payload copied in and read in place",
                        .kind = BENCH_PINGPONG,
                        .place = BENCH_PAIR,
                        .shared_bytes = slot_bytes,
                        .first = first,
                        .second = second,
                    });
}
