/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures from samples, in fixed memory.
 *
 * Few and precious values (one per repeat) are sorted and ranked exactly. Many and cheap ones (one
 * per round trip) go into a histogram whose buckets grow with the value: 128 to each doubling, so a
 * percentile is off by under 0.8 %. It counts picoseconds, because a streamed message may cost a
 * nanosecond and a half.
 */
#ifndef BENCH_STATS_H
#define BENCH_STATS_H

#include <stddef.h>
#include <stdint.h>

enum {
    STATS_STEP_BITS = 7, /* 128 buckets to a doubling */
    STATS_RANGE_BITS =
        44, /* 17 s in ps; what is longer counts as the top bucket, its maximum is still exact */
    STATS_BUCKETS = (STATS_RANGE_BITS - STATS_STEP_BITS + 1) << STATS_STEP_BITS,
};

struct stats_hist {
    uint64_t count;
    double max_ns;
    uint64_t buckets[STATS_BUCKETS];
};

struct stats_spread {
    double min, median, max;
};

/*
 * Sorts the values in place. The median of an even number is the mean of the middle two; of none,
 * 0.
 */
double stats_median(double *values, size_t count);

/* Sorts the values in place. */
struct stats_spread stats_spread_of(double *values, size_t count);

void stats_hist_add(struct stats_hist *hist, double ns);

/* The smallest value that at least `percent` of the samples do not exceed; 0 without samples. */
double stats_hist_percentile(const struct stats_hist *hist, double percent);

#endif
