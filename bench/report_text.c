/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "bench/cases.h"
#include "bench/report.h"

enum { CELL = 24 };

/* Three to four significant digits and the unit in which they read well. */
static const char *time_text(char cell[CELL], double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    while (ns >= 10000 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    snprintf(cell, CELL, "%.*f %s", ns < 10 ? 2 : ns < 100 ? 1 : 0, ns, units[unit]);
    return cell;
}

static const char *size_text(char cell[CELL], size_t size)
{
    if (size == 0)
        snprintf(cell, CELL, "-");
    else if (size % 1048576 == 0)
        snprintf(cell, CELL, "%zu MiB", size / 1048576);
    else if (size % 1024 == 0)
        snprintf(cell, CELL, "%zu KiB", size / 1024);
    else
        snprintf(cell, CELL, "%zu B", size);
    return cell;
}

/*
 * Messages count while they are small, bytes once they are large. A round trip has no rate worth
 * telling.
 */
static const char *rate_text(char cell[CELL], const struct bench_case *what, double ns)
{
    if (what->kind == BENCH_PINGPONG || ns <= 0)
        snprintf(cell, CELL, "%s", "");
    else if (what->size >= 1024)
        snprintf(cell, CELL, "%.1f GB/s", (double)what->size / ns);
    else
        snprintf(cell, CELL, "%.1f M/s", 1000 / ns);
    return cell;
}

void report_text_head(void)
{
    printf("%-20s %8s %-5s %9s %5s %7s %9s %9s %9s %11s %9s %9s %9s %9s  %s\n", "case", "size",
           "place", "kept/drop", "pre", "line", "min", "median", "max", "rate", "p50", "p99",
           "p99.9", "max", "ratio");
}

static void row(const struct runner_result *result, const struct runner_figures *figures)
{
    const struct bench_case *what = result->what;
    char cell[12][CELL];
    double value_ns[RUNNER_REPEATS_MAX];
    double line_ns[RUNNER_REPEATS_MAX];
    double ratio[RUNNER_REPEATS_MAX];

    /* Ranking sorts; the result is not ours to reorder. */
    for (unsigned i = 0; i < figures->kept; i++) {
        value_ns[i] = figures->value_ns[i];
        line_ns[i] = figures->line_ns[i];
    }
    for (unsigned i = 0; i < figures->ratios; i++)
        ratio[i] = figures->ratio[i];
    struct stats_spread spread = stats_spread_of(value_ns, figures->kept);
    double line_median_ns = stats_median(line_ns, figures->kept);

    snprintf(cell[0], CELL, "%u/%u", figures->kept, result->moved + result->failed);
    snprintf(cell[11], CELL, "%.0f", (double)figures->preempted / figures->kept);
    cell[1][0] = '\0';
    if (figures->ratios > 0)
        snprintf(cell[1], CELL, "%.3f", stats_median(ratio, figures->ratios));
    printf("%-20s %8s %-5s %9s %5s %7s %9s %9s %9s %11s %9s %9s %9s %9s  %s\n", what->name,
           size_text(cell[2], what->size), cases_place_name(what->place), cell[0], cell[11],
           line_median_ns > 0 ? time_text(cell[3], line_median_ns) : "",
           time_text(cell[4], spread.min), time_text(cell[5], spread.median),
           time_text(cell[6], spread.max), rate_text(cell[7], what, spread.median),
           time_text(cell[8], stats_hist_percentile(&figures->tail, 50)),
           time_text(cell[9], stats_hist_percentile(&figures->tail, 99)),
           time_text(cell[10], stats_hist_percentile(&figures->tail, 99.9)),
           time_text((char[CELL]){0}, figures->tail.max_ns), cell[1]);
}

void report_text_case(const struct runner_result *result)
{
    for (unsigned i = 0; i < result->groups; i++)
        row(result, &result->group[i]);
    if (result->groups == 0) {
        char cell[CELL];
        printf("%-20s %8s no run kept: %u moved, %u failed\n", result->what->name,
               size_text(cell, result->what->size), result->moved, result->failed);
    }
    fflush(stdout);
}
