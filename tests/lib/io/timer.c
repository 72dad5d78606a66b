/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "lib/io/timer.h"

enum { COUNT = 500 };

/* The heap's own invariants, and that every operation knows its place. */
static void check(const struct di_timers *timers)
{
    for (uint32_t i = 1; i <= timers->count; i++) {
        cr_assert_eq(timers->heap[i]->heap_index, i);
        if (i > 1)
            cr_assert_leq(timers->heap[i / 2]->deadline, timers->heap[i]->deadline);
    }
}

Test(timer, an_empty_heap_has_no_first)
{
    struct di_timers timers = {0};
    cr_assert_null(di_timers_first(&timers));
    di_timers_fini(&timers);
}

/* Random additions and removals from anywhere; whatever remains comes out in order. */
Test(timer, order_survives_removals_from_anywhere)
{
    static struct di_io_op ops[COUNT];
    for (unsigned seed = 0; seed < 20; seed++) {
        struct di_timers timers = {0};
        srand(seed);
        for (int round = 0; round < 4 * COUNT; round++) {
            struct di_io_op *op = &ops[rand() % COUNT];
            if (op->heap_index != 0) {
                di_timers_remove(&timers, op);
                cr_assert_eq(op->heap_index, 0);
            } else {
                op->deadline = rand() % 100;
                cr_assert(di_timers_add(&timers, op));
            }
            if (round % 16 == 0)
                check(&timers);
        }
        int64_t last = -1;
        for (struct di_io_op *op; (op = di_timers_first(&timers)) != NULL;) {
            cr_assert_geq(op->deadline, last);
            last = op->deadline;
            di_timers_remove(&timers, op);
            check(&timers);
        }
        di_timers_fini(&timers);
    }
}
