/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_TOOLS_HISTOGRAM_H
#define DUCT_TOOLS_HISTOGRAM_H

#include <stdint.h>

/*
 * Counts of times, exact below 64 ns and within 1/32 above: as many rows per power of two, whatever
 * the range. 16 KiB, no allocation, and any percentile at any moment.
 */
#define HISTOGRAM_SUB  32u
#define HISTOGRAM_ROWS ((64u - 5u) * HISTOGRAM_SUB + HISTOGRAM_SUB)

struct histogram {
    uint64_t rows[HISTOGRAM_ROWS];
    uint64_t count;
    uint64_t sum;
    uint64_t min, max; /* exact */
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t ns);

/* The least time that `share` (0.5, 0.999) of all are not above; 0 if there are none. */
uint64_t histogram_at(const struct histogram *histogram, double share);

#endif
