/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything one invocation measured, kept until the reports are written, and the few numbers a
 * report wants of each.
 */
#ifndef BENCH_RESULTS_H
#define BENCH_RESULTS_H

#include "bench/cases.h"
#include "bench/footprint.h"
#include "bench/runner.h"

struct result {
    struct runner_result subject;
    struct runner_result baseline; /* `what` is NULL when there was none */
};

struct results {
    size_t count;
    struct result *list[CASES_MAX];
    size_t footprints;
    struct footprint footprint[FOOTPRINT_SIZES];
    bool peers; /* they were asked for */
};

/* A zeroed result to be filled, then kept by results_keep() or freed. Ends the process without
 * memory. */
struct result *results_new(void);
void results_keep(struct results *results, struct result *result);
void results_free(struct results *results);

/* NULL when it was not measured, or no run was kept. */
const struct runner_result *results_find(const struct results *results, const char *name,
                                         size_t size, enum bench_place place);

/*
 * The figures of the distance at which most runs were kept: where a single number has to stand for
 * a case. NULL when none was kept.
 */
const struct runner_figures *results_main(const struct runner_result *result);

struct summary {
    struct stats_spread value_ns; /* over the runs */
    double line_ns;               /* median of the probes */
    double ratio;                 /* median; 0 without a baseline */
    double p50_ns, p99_ns, p99_9_ns, max_ns;
};

/* `figures` has at least one run. */
struct summary results_summary(const struct runner_figures *figures);

/* Median of the case; 0 when there is none. */
double results_median_ns(const struct results *results, const char *name, size_t size,
                         enum bench_place place);
/* Median ratio to its baseline, in time; 0 when there is none. */
double results_ratio(const struct results *results, const char *name, size_t size,
                     enum bench_place place);

#endif
