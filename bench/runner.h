/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Repeats a subject and its baseline in turn (A B A B ..), so that both meet the same weather, and
 * says how much of what was measured can be believed.
 *
 * The value of one run is the median of its batches, in ns per operation. A run is dropped when the
 * probes before and after it disagree, or when it failed; never for its value. Runs made at
 * different distances are kept apart: a median over the CPUs near and the CPUs far describes
 * neither. A distance is not a constant of ours but what agrees with the first run of its group.
 */
#ifndef BENCH_RUNNER_H
#define BENCH_RUNNER_H

#include "bench/bench.h"
#include "bench/stats.h"

enum { RUNNER_REPEATS_MAX = 512, RUNNER_GROUPS_MAX = 4 };

struct runner_options {
    unsigned repeats;   /* of each case, dropped ones included */
    uint64_t target_ns; /* how long a run should measure */
};

/*
 * What is known of one case at one distance. Cases without a pair of CPUs have one group, at
 * distance 0.
 */
struct runner_figures {
    unsigned kept;
    double value_ns[RUNNER_REPEATS_MAX]; /* per kept run; unsorted */
    double line_ns[RUNNER_REPEATS_MAX];  /* its probe */
    /*
     * Subject over baseline, for each two neighbouring runs that were both kept and whose probes
     * agree.
     */
    unsigned ratios;
    double ratio[RUNNER_REPEATS_MAX];
    /* Single operations where the case has them, otherwise batches; all kept runs together. */
    struct stats_hist tail;
    uint64_t preempted;
};

struct runner_result {
    const struct bench_case *what;
    struct bench_plan plan;
    unsigned moved;  /* dropped: the distance changed during the run, or was a fifth one */
    unsigned failed; /* dropped: died, late, or wrong payload */
    unsigned groups; /* in the order in which their distances were first met */
    struct runner_figures group[RUNNER_GROUPS_MAX];
};

/*
 * Measures `subject`, and `baseline` in turn with it unless that is NULL. Results are the caller's,
 * overwritten here. Blocks for repeats times target and some; false when the OS refused a resource
 * or the first run already failed.
 */
bool runner_measure(const struct bench_case *subject, const struct bench_case *baseline,
                    const struct runner_options *options, struct runner_result *subject_result,
                    struct runner_result *baseline_result);

#endif
