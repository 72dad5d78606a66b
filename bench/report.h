/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of the results: a table as they come, a JSON file with every kept run, a page. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <jansson.h>

#include "bench/bars.h"
#include "bench/results.h"

enum { REPORT_CELL = 32 };

/* Three to four significant digits and the unit in which they read well. Return the cell. */
const char *report_time(char cell[REPORT_CELL], double ns);
const char *report_size(char cell[REPORT_CELL], size_t size);
/* Empty for a round trip, which has no rate worth telling. */
const char *report_rate(char cell[REPORT_CELL], const struct bench_case *what, double ns);
/* "slots 256, max_msg 64 KiB, pool 192 KiB, wait spin"; empty for a baseline. */
const char *report_geometry(char cell[3 * REPORT_CELL], const struct bench_geometry *geometry);

void report_text_head(void);
/*
 * `line` is the price of a line by the probes, `pre` how often a run was preempted, both sides.
 * One row per distance at which runs were kept, told apart by the price of a line; one row saying
 * so when there were none.
 */
void report_text_case(const struct runner_result *result);
void report_text_footprints(const struct results *results);
/* With which geometry each subject was measured, each said once. */
void report_text_geometries(const struct results *results);
void report_text_bars(const struct bars *bars);

/* All of it; NULL when out of memory. */
json_t *report_json(const struct results *results, const struct bars *bars);

#endif
