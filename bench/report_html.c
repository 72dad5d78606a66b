/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/report_html.h"

#include <string.h>

static void fact(FILE *out, const char *name, const char *value)
{
    fprintf(out, "<div><dt>%s</dt><dd>%s</dd></div>\n", name, value);
}

/* The price of a line over all kept runs: what the machine was like. */
static void line_fact(FILE *out, const struct results *results)
{
    double low_ns = 0;
    double high_ns = 0;
    char low[REPORT_CELL];
    char high[REPORT_CELL];
    char text[3 * REPORT_CELL];

    for (size_t i = 0; i < results->count; i++) {
        const struct runner_result *result = &results->list[i]->subject;
        for (unsigned g = 0; g < result->groups; g++) {
            double ns = results_summary(&result->group[g]).line_ns;
            low_ns = ns > 0 && (low_ns == 0 || ns < low_ns) ? ns : low_ns;
            high_ns = ns > high_ns ? ns : high_ns;
        }
    }
    if (low_ns <= 0)
        return;
    snprintf(text, sizeof(text), "%s to %s", report_time(low, low_ns), report_time(high, high_ns));
    fact(out, "a cache line there and back", text);
}

static void head(FILE *out, const struct results *results)
{
    struct facts facts;
    facts_learn(&facts);
    fprintf(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                 "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n"
                 "<title>duct: benchmark</title>\n");
    report_html_style(out);
    fprintf(out, "</head><body><main>\n<header><h1>duct, measured</h1>\n"
                 "<p>Messages between two processes through shared memory: what they cost, beside "
                 "the least they could cost, and beside other libraries.</p>\n<dl>\n");
    fact(out, "date", facts.date);
    fact(out, "commit", facts.commit);
    fact(out, "CPU", facts.cpu);
    fact(out, "CPUs", facts.cpus);
    fact(out, "memory", facts.memory);
    fact(out, "kernel", facts.kernel);
    fact(out, "compiler", facts.compiler);
    line_fact(out, results);
    fprintf(out, "</dl></header>\n");
}

/* Which pipes the plots speak of. */
static void geometries(FILE *out, const struct results *results)
{
    char geometry[3 * REPORT_CELL];
    char last[3 * REPORT_CELL] = "";
    char size[REPORT_CELL];
    bool any = false;

    for (size_t i = 0; i < results->count; i++) {
        const struct bench_case *what = results->list[i]->subject.what;
        bool shown = strcmp(what->name, "duct.pingpong") == 0 ||
                     strcmp(what->name, "duct.stream") == 0 ||
                     strcmp(what->name, "duct.loaned") == 0;
        report_geometry(geometry, &what->geometry);
        if (!shown || strcmp(geometry, last) == 0)
            continue;
        memcpy(last, geometry, sizeof(last));
        fprintf(out, "%s%s from %s: %s", any ? "; " : "<p>Geometry: ", what->name,
                report_size(size, what->size), geometry);
        any = true;
    }
    if (any)
        fprintf(out, ".</p>\n");
}

bool report_html_write(const char *path, const struct results *results, const struct bars *bars)
{
    FILE *out = fopen(path, "we");
    if (out == NULL)
        return false;
    head(out, results);
    report_html_tiles(out, results);
    report_html_plots(out, results);
    report_html_bars(out, bars);
    report_html_footprints(out, results);
    report_html_table(out, results);
    fprintf(out, "<footer>\n");
    geometries(out, results);
    fprintf(out,
            "<p>A run is kept when the price of a cache line was the same before and after it, "
            "and never dropped for its value. docs/BENCHMARKS.md says what each figure "
            "means.</p></footer>\n</main></body></html>\n");
    bool well = ferror(out) == 0;
    return fclose(out) == 0 && well;
}
