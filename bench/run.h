/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of one case: fork, pin, probe, measure, probe, and an end within bounds whatever the
 * children do.
 */
#ifndef BENCH_RUN_H
#define BENCH_RUN_H

#include "bench/bench.h"

struct run_result {
    bool completed; /* both sides ended well, in time, and the payload was right */
    double line_before_ns, line_after_ns; /* probes; 0 where the case has no pair of CPUs */
    uint64_t preempted; /* involuntary context switches of both sides during the measurement */
    double elapsed_ns;  /* of `first`, warm-up included */
};

/*
 * The tape is the caller's, from run_tape_open(); a failed run leaves it undefined. False: the OS
 * refused a resource.
 */
bool run_once(const struct bench_case *what, const struct bench_plan *plan, struct bench_tape *tape,
              uint64_t deadline_ns, struct run_result *result);

/* A tape that forked children can write. NULL when out of memory. */
struct bench_tape *run_tape_open(void);
void run_tape_close(struct bench_tape *tape);

#endif
