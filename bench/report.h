/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of the results: a table as they come, and a JSON file with every kept run. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <jansson.h>

#include "bench/runner.h"

void report_text_head(void);
/*
 * `line` is the price of a line by the probes, `pre` how often a run was preempted, both sides.
 * One row per distance at which runs were kept, told apart by the price of a line; one row saying
 * so when there were none.
 */
void report_text_case(const struct runner_result *result);

/* The case, its plan, what was dropped, and each distance's figures. NULL when out of memory. */
json_t *report_json_case(const struct runner_result *result);

#endif
