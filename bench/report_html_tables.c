/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "bench/report_html.h"

static void tile(FILE *out, double known, const char *value, const char *what)
{
    if (known > 0)
        fprintf(out, "<div class=\"tile\"><b>%s</b><span>%s</span></div>\n", value, what);
}

static double fastest(double a_ns, double b_ns)
{
    return a_ns > 0 && (b_ns <= 0 || a_ns < b_ns) ? a_ns : b_ns;
}

void report_html_tiles(FILE *out, const struct results *results)
{
    char cell[REPORT_CELL];
    double ping_ns = results_median_ns(results, "duct.pingpong", 8, BENCH_PAIR);
    double park_ns = results_median_ns(results, "duct.park", 8, BENCH_PAIR);
    double small_ns = fastest(results_median_ns(results, "duct.stream.batch", 8, BENCH_PAIR),
                              results_median_ns(results, "duct.stream", 8, BENCH_PAIR));
    double large_ns = fastest(results_median_ns(results, "duct.loaned", 65536, BENCH_PAIR),
                              results_median_ns(results, "duct.loaned.batch", 65536, BENCH_PAIR));
    double bare_ns = results_median_ns(results, "duct.loan", 1048576, BENCH_PAIR);
    double dial_ns = results_median_ns(results, "duct.dial", 8, BENCH_PAIR);

    fprintf(out, "<div class=\"tiles\">\n");
    tile(out, ping_ns, report_time(cell, ping_ns), "round trip of 8 bytes, both spinning");
    tile(out, park_ns, report_time(cell, park_ns), "round trip of 8 bytes, both asleep");
    snprintf(cell, sizeof(cell), "%.0f M/s", small_ns > 0 ? 1000 / small_ns : 0);
    tile(out, small_ns, cell, "messages of 8 bytes, one way");
    snprintf(cell, sizeof(cell), "%.1f GB/s", large_ns > 0 ? 65536 / large_ns : 0);
    tile(out, large_ns, cell, "in messages of 64 KiB, written and read in full");
    tile(out, bare_ns, report_time(cell, bare_ns), "round trip of 1 MiB that nobody touches");
    tile(out, dial_ns, report_time(cell, dial_ns), "from dial to first message");
    fprintf(out, "</div>\n");
}

/* The track is twice the limit long, on a logarithmic scale where values differ that much. */
static void bar_row(FILE *out, const struct bar *bar)
{
    double share = bar->value / bar->limit; /* 1 at the mark */
    double width = fmin(1, fmax(0.01, 0.5 + 0.25 * log2(share)));
    bool met = bar->verdict == BAR_MET;

    fprintf(out,
            "<tr><td class=\"l\"><span class=\"chip %s\">%s</span></td><td class=\"l\">%s</td>"
            "<td>%.*f&thinsp;%s</td><td>%s&thinsp;%g&thinsp;%s</td>"
            "<td><div class=\"track%s\"><i style=\"width:%.1f%%\"></i><u style=\"left:50%%\"></u>"
            "</div></td><td class=\"note\">%s</td></tr>\n",
            met ? "met" : "missed", met ? "met" : "missed", bar->what,
            bar->value >= 100  ? 0
            : bar->value >= 10 ? 1
                               : 2,
            bar->value, strcmp(bar->unit, "x") == 0 ? "×" : bar->unit, bar->at_least ? "≥" : "≤",
            bar->limit, strcmp(bar->unit, "x") == 0 ? "×" : bar->unit, met ? "" : " bad",
            100 * width, bar->note);
}

void report_html_bars(FILE *out, const struct bars *bars)
{
    size_t met = 0;
    size_t known = 0;
    for (size_t i = 0; i < bars->count; i++) {
        met += bars->list[i].verdict == BAR_MET;
        known += bars->list[i].verdict != BAR_UNKNOWN;
    }
    if (known == 0)
        return;
    fprintf(
        out,
        "<h2>Bars</h2><p>%zu of %zu met. Ratios are medians over runs in which subject and "
        "baseline took turns; the mark is the limit, each quarter of the track a factor "
        "of two.</p><div class=\"card\"><table>\n"
        "<tr><th class=\"l\"></th><th class=\"l\">what</th><th>value</th><th>limit</th><th></th>"
        "<th class=\"l\">of what</th></tr>\n",
        met, known);
    for (size_t i = 0; i < bars->count; i++) {
        if (bars->list[i].verdict != BAR_UNKNOWN)
            bar_row(out, &bars->list[i]);
    }
    fprintf(out, "</table></div>\n");
}

static void footprint_row(FILE *out, const struct footprint *footprint, const char *name,
                          const struct footprint_side *side)
{
    char p50[REPORT_CELL];
    char p99[REPORT_CELL];
    double pipes = 1024.0 * footprint->pipes;
    fprintf(out,
            "<tr><td>%u</td><td class=\"l\">%s</td><td>%.1f</td><td>%.1f</td><td>%.1f</td>"
            "<td>%.1f</td><td>%.2f</td><td>%.3f&thinsp;%%</td><td>%s</td><td>%s</td></tr>\n",
            footprint->pipes, name, (double)side->private_bytes / pipes,
            (double)side->shared_bytes / pipes, (double)side->rss_bytes / pipes,
            (double)side->pss_bytes / pipes, (double)side->fds / footprint->pipes,
            100 * side->idle_cpu, report_time(p50, footprint->wake_p50_ns),
            report_time(p99, footprint->wake_p99_ns));
}

void report_html_footprints(FILE *out, const struct results *results)
{
    if (results->footprints == 0)
        return;
    fprintf(out, "<h2>Idle pipes</h2><p>Default pipes between two processes, in KiB a pipe and "
                 "side: private memory, own shared memory (all of it allocated), what is in page "
                 "tables; then how long one message on one of them takes to wake its reader.</p>"
                 "<div class=\"card\"><table><tr><th>pipes</th><th class=\"l\">side</th>"
                 "<th>private</th><th>shared</th><th>RSS</th><th>PSS</th><th>fds</th>"
                 "<th>idle CPU</th><th>wake p50</th><th>p99</th></tr>\n");
    for (size_t i = 0; i < results->footprints; i++) {
        footprint_row(out, &results->footprint[i], "listener", &results->footprint[i].listener);
        footprint_row(out, &results->footprint[i], "dialler", &results->footprint[i].dialler);
    }
    fprintf(out, "</table></div>\n");
}

static void case_row(FILE *out, const struct runner_result *result,
                     const struct runner_figures *figures)
{
    const struct bench_case *what = result->what;
    const struct summary summary = results_summary(figures);
    char cell[8][REPORT_CELL];
    char geometry[3 * REPORT_CELL];
    bool mine = strncmp(what->name, "duct.", 5) == 0;

    cell[0][0] = '\0';
    if (summary.ratio > 0)
        snprintf(cell[0], REPORT_CELL, "%.2f×", summary.ratio);
    fprintf(out,
            "<tr%s><td class=\"l name\">%s</td><td>%s</td><td class=\"l\">%s</td><td>%u/%u</td>"
            "<td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td>"
            "<td class=\"note\">%s</td></tr>\n",
            mine                            ? " class=\"mine\""
            : what->peer != BENCH_PEER_NONE ? " class=\"theirs\""
                                            : "",
            what->name, report_size(cell[1], what->size), cases_place_name(what->place),
            figures->kept, result->moved + result->failed,
            summary.line_ns > 0 ? report_time(cell[2], summary.line_ns) : "",
            report_time(cell[3], summary.value_ns.median),
            report_rate(cell[4], what, summary.value_ns.median),
            report_time(cell[5], summary.p50_ns), report_time(cell[6], summary.p99_ns),
            report_time(cell[7], summary.p99_9_ns), cell[0],
            report_geometry(geometry, &what->geometry));
}

void report_html_table(FILE *out, const struct results *results)
{
    fprintf(out,
            "<h2>Everything</h2><p>Times a round trip or a message; <i>line</i> is what handing "
            "a cache line over and back cost at that moment; the ratio is in time, to the "
            "baseline.</p><details><summary>%zu cases</summary><div class=\"card\"><table>\n"
            "<tr><th class=\"l\">case</th><th>size</th><th class=\"l\">place</th>"
            "<th>kept/dropped</th><th>line</th><th>median</th><th>rate</th><th>p50</th>"
            "<th>p99</th><th>p99.9</th><th>ratio</th><th class=\"l\">geometry</th></tr>\n",
            results->count);
    for (size_t i = 0; i < results->count; i++) {
        const struct runner_result *result = &results->list[i]->subject;
        for (unsigned g = 0; g < result->groups; g++)
            case_row(out, result, &result->group[g]);
    }
    fprintf(out, "</table></div></details>\n");
}
