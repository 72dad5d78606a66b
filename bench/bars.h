/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the figures are held against: each bar is one number of one run, beside the limit it must
 * keep. Ratios are to a baseline that was measured in turn with the subject.
 */
#ifndef BENCH_BARS_H
#define BENCH_BARS_H

#include "bench/results.h"

enum { BARS_MAX = 64, BAR_TEXT = 72 };

enum bar_verdict { BAR_UNKNOWN, BAR_MISSED, BAR_MET };

struct bar {
    char what[BAR_TEXT];
    char note[BAR_TEXT];
    const char *unit; /* "x", "us", "KiB", .. */
    double value, limit;
    bool at_least; /* the limit is the least, not the most */
    enum bar_verdict verdict;
};

struct bars {
    size_t count;
    struct bar list[BARS_MAX];
};

/* A bar whose cases were not measured is unknown. */
void bars_fill(struct bars *bars, const struct results *results);

const char *bars_verdict_name(enum bar_verdict verdict);

#endif
