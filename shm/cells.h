/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_CELLS_H
#define DI_SHM_CELLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/stack.h"
#include "shm/layout.h"

/*
 * Private staging for small messages: where a loan that will travel in the ring is filled, and
 * where one that came out of the ring is read, so that a message held never holds up the ring.
 *
 * Cells come in chunks that are allocated when first needed and kept: no allocation per message.
 * Free cells form a stack, so that a ping-pong uses one cell, in the nearest cache. One thread.
 */
struct di_cell {
    _Alignas(DI_LINE) unsigned char bytes[DI_IMMEDIATE_MAX];
    uint32_t index;
    uint32_t generation;
    struct di_cell *next;
    struct di_node posted; /* for a release by another thread */
    bool taken;
    _Atomic bool claimed; /* another thread released it, and the owner does not know yet */
};

_Static_assert(sizeof(struct di_cell) == 256, "four lines");

#define DI_CELLS_PER_CHUNK 16u

/* In the index of a duct_msg.ref: it names a cell, and not a block of a pool. */
#define DI_REF_CELL 0x80000000u

struct di_cells {
    struct di_cell *free;
    struct di_cell **chunks;
    _Atomic uint32_t chunk_count; /* also read by threads that release; it only grows */
    uint32_t chunks_max;
    uint32_t taken;
};

/* At most max cells, rounded up to whole chunks. False if there is no memory. */
bool di_cells_init(struct di_cells *cells, uint32_t max);
void di_cells_fini(struct di_cells *cells);

/* The slow half of di_cells_take(): a new chunk, or NULL. */
struct di_cell *di_cells_grow(struct di_cells *cells);

static inline struct di_cell *di_cells_take(struct di_cells *cells)
{
    struct di_cell *cell = cells->free;

    if (cell == NULL && (cell = di_cells_grow(cells)) == NULL)
        return NULL;
    cells->free = cell->next;
    cell->taken = true;
    cell->generation++;
    cells->taken++;
    return cell;
}

/* The taken cell of that index and generation, or NULL. */
static inline struct di_cell *di_cells_find(const struct di_cells *cells, uint32_t index,
                                            uint32_t generation)
{
    /* Relaxed: a message that is held was handed over after its chunk was made. */
    if (index / DI_CELLS_PER_CHUNK >=
        atomic_load_explicit(&cells->chunk_count, memory_order_relaxed))
        return NULL;
    struct di_cell *cell = &cells->chunks[index / DI_CELLS_PER_CHUNK][index % DI_CELLS_PER_CHUNK];
    return cell->taken && cell->generation == generation ? cell : NULL;
}

static inline void di_cells_give_back(struct di_cells *cells, struct di_cell *cell)
{
    cell->taken = false;
    cell->next = cells->free;
    cells->free = cell;
    cells->taken--;
}

#endif
