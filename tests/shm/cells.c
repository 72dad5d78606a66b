/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "shm/cells.h"

Test(cells, bounded_and_distinct)
{
    static const uint32_t limits[] = {1, 15, 16, 17, 100, 4096};
    static struct di_cell *taken[4200];

    for (unsigned l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
        struct di_cells cells;
        struct di_cell *cell;
        uint32_t count = 0;
        uint32_t most =
            (limits[l] + DI_CELLS_PER_CHUNK - 1) / DI_CELLS_PER_CHUNK * DI_CELLS_PER_CHUNK;
        cr_assert(di_cells_init(&cells, limits[l]));
        while ((cell = di_cells_take(&cells)) != NULL) {
            cr_assert_eq((uintptr_t)cell % DI_LINE, 0);
            memset(cell->bytes, (int)count, sizeof(cell->bytes));
            taken[count++] = cell;
        }
        cr_assert_eq(count, most);
        cr_assert_eq(cells.taken, most);
        for (uint32_t i = 0; i < count; i++) {
            cr_assert_eq(taken[i]->bytes[0], (unsigned char)i);
            cr_assert_eq(taken[i]->bytes[DI_IMMEDIATE_MAX - 1], (unsigned char)i);
            cr_assert_eq(di_cells_find(&cells, taken[i]->index, taken[i]->generation), taken[i]);
        }
        /* The last one given back is the first to be taken. */
        di_cells_give_back(&cells, taken[count / 2]);
        cr_assert_eq(di_cells_take(&cells), taken[count / 2]);
        di_cells_fini(&cells);
    }
}

Test(cells, handles_age)
{
    struct di_cells cells;

    cr_assert(di_cells_init(&cells, 32));
    cr_assert_null(di_cells_find(&cells, 0, 0), "before the first chunk");
    struct di_cell *cell = di_cells_take(&cells);
    uint32_t generation = cell->generation;
    cr_assert_null(di_cells_find(&cells, cell->index, generation + 1));
    cr_assert_null(di_cells_find(&cells, 16, 1));
    cr_assert_null(di_cells_find(&cells, UINT32_MAX, 1));
    di_cells_give_back(&cells, cell);
    cr_assert_null(di_cells_find(&cells, cell->index, generation));
    cr_assert_eq(di_cells_take(&cells), cell);
    cr_assert_null(di_cells_find(&cells, cell->index, generation), "an old handle");
    cr_assert_eq(di_cells_find(&cells, cell->index, cell->generation), cell);
    di_cells_fini(&cells);
}
