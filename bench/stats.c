/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/stats.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

double stats_median(double *values, size_t count)
{
    if (count == 0)
        return 0;
    qsort(values, count, sizeof(*values), ascending);
    return (values[(count - 1) / 2] + values[count / 2]) / 2;
}

struct stats_spread stats_spread_of(double *values, size_t count)
{
    struct stats_spread spread = {0};
    if (count > 0) {
        spread.median = stats_median(values, count);
        spread.min = values[0];
        spread.max = values[count - 1];
    }
    return spread;
}

/*
 * Values below 128 have a bucket each; above, the leading bit picks the doubling and the next seven
 * the step.
 */
static size_t bucket_of(uint64_t ps)
{
    if (ps >> STATS_RANGE_BITS)
        return STATS_BUCKETS - 1;
    if (ps < (1u << STATS_STEP_BITS))
        return (size_t)ps;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ps) - STATS_STEP_BITS;
    size_t step = (size_t)(ps >> shift) - (1u << STATS_STEP_BITS);
    return ((size_t)(shift + 1) << STATS_STEP_BITS) + step;
}

/* The largest value the bucket holds, in ns. */
static double bucket_top_ns(size_t bucket)
{
    if (bucket < (1u << STATS_STEP_BITS))
        return (double)bucket / 1000;
    size_t shift = (bucket >> STATS_STEP_BITS) - 1;
    uint64_t step = bucket & ((1u << STATS_STEP_BITS) - 1);
    return (double)(((step + (1u << STATS_STEP_BITS) + 1) << shift) - 1) / 1000;
}

void stats_hist_add(struct stats_hist *hist, double ns)
{
    hist->buckets[bucket_of((uint64_t)(ns * 1000))]++;
    hist->count++;
    if (ns > hist->max_ns)
        hist->max_ns = ns;
}

double stats_hist_percentile(const struct stats_hist *hist, double percent)
{
    if (hist->count == 0)
        return 0;
    double wanted = (double)hist->count * percent / 100;
    uint64_t seen = 0;
    for (size_t i = 0; i < STATS_BUCKETS; i++) {
        seen += hist->buckets[i];
        if ((double)seen >= wanted && seen > 0) {
            double top_ns = bucket_top_ns(i);
            return top_ns < hist->max_ns ? top_ns : hist->max_ns;
        }
    }
    return hist->max_ns;
}
