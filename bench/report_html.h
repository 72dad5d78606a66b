/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The results as one page that needs nothing else: style, plots and numbers are in it, and it looks
 * for nothing on the network.
 */
#ifndef BENCH_REPORT_HTML_H
#define BENCH_REPORT_HTML_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/facts.h"
#include "bench/report.h"

/* False, with errno set, when the file cannot be written. */
bool report_html_write(const char *path, const struct results *results, const struct bars *bars);

/* The parts, in the order of the page. */
void report_html_style(FILE *out);
void report_html_tiles(FILE *out, const struct results *results);
void report_html_bars(FILE *out, const struct bars *bars);
void report_html_plots(FILE *out, const struct results *results);
void report_html_footprints(FILE *out, const struct results *results);
void report_html_table(FILE *out, const struct results *results);

#endif
