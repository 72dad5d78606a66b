/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memcpy from one private buffer to another, over and over: what a copy costs while both are in
 * cache.
 */
#include "bench/cases.h"
#include "bench/payload.h"

struct copy_side {
    void *to;
    const void *from;
    size_t size;
};

static void copy_many(void *state, uint64_t count)
{
    const struct copy_side *side = state;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(side->to, side->from, side->size);
        payload_observe(side->to);
    }
}

static void first(struct bench_run *run)
{
    struct copy_side side = {bench_source(run, 1), bench_source(run, 2), run->size};
    bench_drive(run, copy_many, &side);
}

void base_memcpy_cases(struct cases *cases)
{
    cases_add_sizes(cases, &(struct bench_case){
                               .name = "base.memcpy",
                               .about = "memcpy between two private buffers in cache",
                               .kind = BENCH_COST,
                               .place = BENCH_SOLO,
                               .first = first,
                           });
}
