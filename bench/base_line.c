/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor under every ping-pong between two CPUs: one word each way, each on a line of its own.
 * The lines are used in turn, as in a ring and for the reason given at struct machine_probe.
 *
 * Edge: [word] stored with release by its writer, loaded with acquire by the other side.
 */
#include <stdatomic.h>

#include "bench/cases.h"

struct line_block {
    struct machine_line ping[MACHINE_PROBE_LINES]; /* first */
    struct machine_line pong[MACHINE_PROBE_LINES]; /* second */
};

struct line_side {
    struct line_block *block;
    uint64_t sent;
};

static size_t line_bytes(const struct bench_case *what)
{
    (void)what;
    return sizeof(struct line_block);
}

static void ping_many(void *state, uint64_t count)
{
    struct line_side *side = state;
    for (uint64_t end = side->sent + count; side->sent < end;) {
        unsigned at = ++side->sent % MACHINE_PROBE_LINES;
        atomic_store_explicit(&side->block->ping[at].word, side->sent,
                              memory_order_release); /* [word] */
        while (atomic_load_explicit(&side->block->pong[at].word, memory_order_acquire) !=
               side->sent) /* [word] */
            ;
    }
}

static void first(struct bench_run *run)
{
    struct line_side side = {.block = run->shared};
    bench_drive(run, ping_many, &side);
}

static void second(struct bench_run *run)
{
    struct line_block *block = run->shared;
    for (uint64_t n = 1, total = bench_total(&run->plan); n <= total; n++) {
        unsigned at = n % MACHINE_PROBE_LINES;
        while (atomic_load_explicit(&block->ping[at].word, memory_order_acquire) != n) /* [word] */
            ;
        atomic_store_explicit(&block->pong[at].word, n, memory_order_release); /* [word] */
    }
}

void base_line_cases(struct cases *cases)
{
    cases_add(cases, &(struct bench_case){
                         .name = "base.line",
                         .about = "one word each way, each on its own cache line",
                         .kind = BENCH_PINGPONG,
                         .place = BENCH_PAIR,
                         .shared_bytes = line_bytes,
                         .first = first,
                         .second = second,
                     });
}
