/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "bench/report.h"

void report_text_head(void)
{
    printf("%-22s %8s %-5s %9s %5s %7s %9s %9s %9s %11s %9s %9s %9s %9s  %s\n", "case", "size",
           "place", "kept/drop", "pre", "line", "min", "median", "max", "rate", "p50", "p99",
           "p99.9", "max", "ratio");
}

static void row(const struct runner_result *result, const struct runner_figures *figures)
{
    const struct bench_case *what = result->what;
    const struct summary summary = results_summary(figures);
    char cell[12][REPORT_CELL];

    snprintf(cell[0], REPORT_CELL, "%u/%u", figures->kept, result->moved + result->failed);
    snprintf(cell[11], REPORT_CELL, "%.0f", (double)figures->preempted / figures->kept);
    cell[1][0] = '\0';
    if (figures->ratios > 0)
        snprintf(cell[1], REPORT_CELL, "%.3f", summary.ratio);
    printf(
        "%-22s %8s %-5s %9s %5s %7s %9s %9s %9s %11s %9s %9s %9s %9s  %s\n", what->name,
        report_size(cell[2], what->size), cases_place_name(what->place), cell[0], cell[11],
        summary.line_ns > 0 ? report_time(cell[3], summary.line_ns) : "",
        report_time(cell[4], summary.value_ns.min), report_time(cell[5], summary.value_ns.median),
        report_time(cell[6], summary.value_ns.max),
        report_rate(cell[7], what, summary.value_ns.median), report_time(cell[8], summary.p50_ns),
        report_time(cell[9], summary.p99_ns), report_time(cell[10], summary.p99_9_ns),
        report_time((char[REPORT_CELL]){0}, summary.max_ns), cell[1]);
}

void report_text_case(const struct runner_result *result)
{
    for (unsigned i = 0; i < result->groups; i++)
        row(result, &result->group[i]);
    if (result->groups == 0) {
        char cell[REPORT_CELL];
        printf("%-22s %8s no run kept: %u moved, %u failed\n", result->what->name,
               report_size(cell, result->what->size), result->moved, result->failed);
    }
    fflush(stdout);
}

static void side_row(const struct footprint *footprint, const char *name,
                     const struct footprint_side *side)
{
    double pipes = footprint->pipes;
    char p50[REPORT_CELL];
    char p99[REPORT_CELL];

    printf("%6u %-8s %9.1f %9.1f %9.1f %9.1f %6.2f %8.3f %%  %9s %9s\n", footprint->pipes, name,
           (double)side->rss_bytes / pipes / 1024, (double)side->pss_bytes / pipes / 1024,
           (double)side->private_bytes / pipes / 1024, (double)side->shared_bytes / pipes / 1024,
           (double)side->fds / pipes, 100 * side->idle_cpu,
           report_time(p50, footprint->wake_p50_ns), report_time(p99, footprint->wake_p99_ns));
}

void report_text_footprints(const struct results *results)
{
    if (results->footprints == 0)
        return;
    printf("\nidle default pipes; KiB and descriptors are means of one pipe\n");
    printf("%6s %-8s %9s %9s %9s %9s %6s %10s  %9s %9s\n", "pipes", "side", "RSS", "PSS", "private",
           "shared", "fds", "idle CPU", "wake p50", "p99");
    for (size_t i = 0; i < results->footprints; i++) {
        side_row(&results->footprint[i], "listener", &results->footprint[i].listener);
        side_row(&results->footprint[i], "dialler", &results->footprint[i].dialler);
    }
}

/* The geometries of one name, a row each time it changes with the size. */
static void geometry_rows(const struct results *results, const char *name)
{
    char last[3 * REPORT_CELL] = "";
    char geometry[3 * REPORT_CELL];
    char size[REPORT_CELL];

    for (size_t i = 0; i < results->count; i++) {
        const struct bench_case *what = results->list[i]->subject.what;
        if (strcmp(what->name, name) != 0)
            continue;
        report_geometry(geometry, &what->geometry);
        if (strcmp(geometry, last) != 0)
            printf("%-22s %8s  %s\n", name, report_size(size, what->size), geometry);
        memcpy(last, geometry, sizeof(last));
    }
}

void report_text_geometries(const struct results *results)
{
    bool any = false;

    for (size_t i = 0; i < results->count; i++) {
        const struct bench_case *what = results->list[i]->subject.what;
        bool seen = what->geometry.max_msg == 0;
        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(results->list[k]->subject.what->name, what->name) == 0;
        if (seen)
            continue;
        if (!any)
            printf("\ngeometry, from the size given up\n");
        any = true;
        geometry_rows(results, what->name);
    }
}

void report_text_bars(const struct bars *bars)
{
    size_t missed = 0;
    size_t met = 0;

    printf("\nbars\n");
    for (size_t i = 0; i < bars->count; i++) {
        const struct bar *bar = &bars->list[i];
        met += bar->verdict == BAR_MET;
        missed += bar->verdict == BAR_MISSED;
        if (bar->verdict != BAR_UNKNOWN)
            printf("%-8s %-44s %8.3f %-3s %s %6g  %s\n", bars_verdict_name(bar->verdict), bar->what,
                   bar->value, bar->unit, bar->at_least ? ">=" : "<=", bar->limit, bar->note);
    }
    printf("%zu met, %zu missed, %zu not measured\n", met, missed, bars->count - met - missed);
}
