/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/cells.h"

#include <stdlib.h>
#include <string.h>

bool di_cells_init(struct di_cells *cells, uint32_t max)
{
    memset(cells, 0, sizeof(*cells));
    cells->chunks_max = (max + DI_CELLS_PER_CHUNK - 1) / DI_CELLS_PER_CHUNK;
    cells->chunks = calloc(cells->chunks_max, sizeof(struct di_cell *));
    return cells->chunks != NULL;
}

void di_cells_fini(struct di_cells *cells)
{
    /* Relaxed, here and below: only the owner's thread writes it. */
    uint32_t count = atomic_load_explicit(&cells->chunk_count, memory_order_relaxed);

    for (uint32_t i = 0; i < count; i++)
        free(cells->chunks[i]);
    free(cells->chunks);
    memset(cells, 0, sizeof(*cells));
}

struct di_cell *di_cells_grow(struct di_cells *cells)
{
    const size_t bytes = DI_CELLS_PER_CHUNK * sizeof(struct di_cell);
    uint32_t count = atomic_load_explicit(&cells->chunk_count, memory_order_relaxed);

    if (count == cells->chunks_max)
        return NULL;
    struct di_cell *chunk = aligned_alloc(DI_LINE, bytes);
    if (chunk == NULL)
        return NULL;
    memset(chunk, 0, bytes);
    for (uint32_t i = DI_CELLS_PER_CHUNK; i-- > 0;) {
        chunk[i].index = count * DI_CELLS_PER_CHUNK + i;
        chunk[i].next = cells->free;
        cells->free = &chunk[i];
    }
    cells->chunks[count] = chunk;
    atomic_store_explicit(&cells->chunk_count, count + 1, memory_order_relaxed);
    return cells->free;
}
