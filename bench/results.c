/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct result *results_new(void)
{
    struct result *result = calloc(1, sizeof(*result));
    if (result == NULL) {
        fprintf(stderr, "duct-bench: out of memory\n");
        exit(EXIT_FAILURE);
    }
    return result;
}

void results_keep(struct results *results, struct result *result)
{
    results->list[results->count++] = result;
}

void results_free(struct results *results)
{
    for (size_t i = 0; i < results->count; i++)
        free(results->list[i]);
    results->count = 0;
}

const struct runner_result *results_find(const struct results *results, const char *name,
                                         size_t size, enum bench_place place)
{
    for (size_t i = 0; i < results->count; i++) {
        const struct runner_result *result = &results->list[i]->subject;
        if (result->what->size == size && result->what->place == place &&
            strcmp(result->what->name, name) == 0)
            return results_main(result) != NULL ? result : NULL;
    }
    return NULL;
}

const struct runner_figures *results_main(const struct runner_result *result)
{
    const struct runner_figures *most = NULL;
    for (unsigned i = 0; i < result->groups; i++) {
        if (most == NULL || result->group[i].kept > most->kept)
            most = &result->group[i];
    }
    return most;
}

/* Ranking sorts; the figures are not ours to reorder. */
static double median_of(const double *values, unsigned count)
{
    double sorted[RUNNER_REPEATS_MAX];
    for (unsigned i = 0; i < count; i++)
        sorted[i] = values[i];
    return stats_median(sorted, count);
}

struct summary results_summary(const struct runner_figures *figures)
{
    double value_ns[RUNNER_REPEATS_MAX];
    for (unsigned i = 0; i < figures->kept; i++)
        value_ns[i] = figures->value_ns[i];
    return (struct summary){
        .value_ns = stats_spread_of(value_ns, figures->kept),
        .line_ns = median_of(figures->line_ns, figures->kept),
        .ratio = median_of(figures->ratio, figures->ratios),
        .p50_ns = stats_hist_percentile(&figures->tail, 50),
        .p99_ns = stats_hist_percentile(&figures->tail, 99),
        .p99_9_ns = stats_hist_percentile(&figures->tail, 99.9),
        .max_ns = figures->tail.max_ns,
    };
}

double results_median_ns(const struct results *results, const char *name, size_t size,
                         enum bench_place place)
{
    const struct runner_result *result = results_find(results, name, size, place);
    return result != NULL ? results_summary(results_main(result)).value_ns.median : 0;
}

double results_ratio(const struct results *results, const char *name, size_t size,
                     enum bench_place place)
{
    const struct runner_result *result = results_find(results, name, size, place);
    return result != NULL ? results_summary(results_main(result)).ratio : 0;
}
