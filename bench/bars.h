/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the figures are held against: each bar is one number of one run, beside the limit it must
 * keep. Ratios are to a baseline that was measured in turn with the subject.
 */
#ifndef BENCH_BARS_H
#define BENCH_BARS_H

#include "bench/results.h"

enum { BARS_MAX = 128, BAR_TEXT = 96 };

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

/* ---- For the files that know bars ---- */

/* One more; its texts are empty. Value 0: not measured. */
struct bar *bars_add(struct bars *bars, double value, bool at_least, double limit,
                     const char *unit);
void bar_text(char to[BAR_TEXT], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Rates are what times are not: 0 stays 0. */
double bar_rate_ratio(double time_ratio);

/* What is held against other libraries. Theirs that spin stand out of a row in which duct sleeps. */
struct peer_row {
    const char *text;
    const char
        *scheme;      /* of the peers: "uds", "tcp"; NULL: all on this machine, whatever they use */
    const char *kind; /* the end of their cases' names */
    const char *only; /* this library; NULL: all */
    const char *ours[5]; /* whichever of our calls is fastest */
    bool asleep;
};
void bars_add_peer(struct bars *bars, const struct results *results, const struct peer_row *row,
                   size_t size, double limit);

/* Pipes over sockets. */
void bars_add_sockets(struct bars *bars, const struct results *results);

#endif
