/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_TIMER_H
#define DI_IO_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/io/io.h"

/*
 * The TIMER operations in flight, earliest first: a binary heap of pointers. Each operation knows
 * its place (heap_index, from 1; 0: not in the heap), so that it can leave from anywhere in O(log
 * n). A zeroed struct is an empty heap.
 */
struct di_timers {
    struct di_io_op **heap; /* [0] is not used */
    uint32_t count;
    uint32_t capacity;
};

void di_timers_fini(struct di_timers *timers);

/* False if there is no memory for it. */
bool di_timers_add(struct di_timers *timers, struct di_io_op *op);

/* The operation is in the heap. */
void di_timers_remove(struct di_timers *timers, struct di_io_op *op);

/* The earliest, or NULL. */
static inline struct di_io_op *di_timers_first(const struct di_timers *timers)
{
    return timers->count == 0 ? NULL : timers->heap[1];
}

#endif
