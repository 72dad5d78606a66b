/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/timer.h"

#include <stdlib.h>

/* With the first place unused, the children of i are 2i and 2i + 1, its parent i / 2. */

static void place(struct di_timers *timers, uint32_t index, struct di_io_op *op)
{
    timers->heap[index] = op;
    op->heap_index = index;
}

static void sift_up(struct di_timers *timers, uint32_t index, struct di_io_op *op)
{
    while (index > 1 && timers->heap[index / 2]->deadline > op->deadline) {
        place(timers, index, timers->heap[index / 2]);
        index /= 2;
    }
    place(timers, index, op);
}

static void sift_down(struct di_timers *timers, uint32_t index, struct di_io_op *op)
{
    for (;;) {
        uint32_t child = 2 * index;
        if (child > timers->count)
            break;
        if (child < timers->count &&
            timers->heap[child + 1]->deadline < timers->heap[child]->deadline)
            child++;
        if (timers->heap[child]->deadline >= op->deadline)
            break;
        place(timers, index, timers->heap[child]);
        index = child;
    }
    place(timers, index, op);
}

void di_timers_fini(struct di_timers *timers)
{
    free(timers->heap);
    *timers = (struct di_timers){0};
}

bool di_timers_add(struct di_timers *timers, struct di_io_op *op)
{
    if (timers->count + 1 >= timers->capacity) {
        uint32_t capacity = timers->capacity == 0 ? 16 : 2 * timers->capacity;
        struct di_io_op **heap = capacity > timers->capacity
                                     ? realloc(timers->heap, capacity * sizeof(struct di_io_op *))
                                     : NULL;
        if (heap == NULL)
            return false;
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timers->count++;
    sift_up(timers, timers->count, op);
    return true;
}

void di_timers_remove(struct di_timers *timers, struct di_io_op *op)
{
    uint32_t index = op->heap_index;
    struct di_io_op *last = timers->heap[timers->count--];
    op->heap_index = 0;
    if (last == op)
        return;
    /* The last one may belong above the gap as well as below: it comes from another branch. */
    if (index > 1 && timers->heap[index / 2]->deadline > last->deadline)
        sift_up(timers, index, last);
    else
        sift_down(timers, index, last);
}
