/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/histogram.h"

#include <string.h>

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof(*histogram));
    histogram->min = UINT64_MAX;
}

/* Row of a time: its top six bits, below a row's number of powers of two. */
static unsigned row_of(uint64_t ns)
{
    if (ns < 2 * HISTOGRAM_SUB)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5u;
    return shift * HISTOGRAM_SUB + (unsigned)(ns >> shift);
}

/* The largest time of a row. */
static uint64_t top_of(unsigned row)
{
    if (row < 2 * HISTOGRAM_SUB)
        return row;
    unsigned shift = row / HISTOGRAM_SUB - 1;
    uint64_t first = (uint64_t)(row - shift * HISTOGRAM_SUB) << shift;
    return first + (UINT64_C(1) << shift) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
    histogram->rows[row_of(ns)]++;
    histogram->count++;
    histogram->sum += ns;
    if (ns < histogram->min)
        histogram->min = ns;
    if (ns > histogram->max)
        histogram->max = ns;
}

uint64_t histogram_at(const struct histogram *histogram, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)histogram->count);
    uint64_t seen = 0;

    if (histogram->count == 0)
        return 0;
    if ((double)wanted < share * (double)histogram->count || wanted == 0)
        wanted++;
    for (unsigned row = 0; row < HISTOGRAM_ROWS; row++) {
        seen += histogram->rows[row];
        if (seen >= wanted)
            return top_of(row) < histogram->max ? top_of(row) : histogram->max;
    }
    return histogram->max;
}
