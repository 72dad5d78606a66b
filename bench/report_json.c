/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/cases.h"
#include "bench/report.h"

static json_t *reals(const double *values, unsigned count)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(array, json_real(values[i]));
    return array;
}

static json_t *figures_json(const struct runner_figures *figures)
{
    return json_pack(
        "{s:I, s:o, s:o, s:o, s:{s:I, s:f, s:f, s:f, s:f}}", "preempted",
        (json_int_t)figures->preempted, "value_ns", reals(figures->value_ns, figures->kept),
        "line_ns", reals(figures->line_ns, figures->kept), "ratio",
        reals(figures->ratio, figures->ratios), "tail", "samples", (json_int_t)figures->tail.count,
        "p50_ns", stats_hist_percentile(&figures->tail, 50), "p99_ns",
        stats_hist_percentile(&figures->tail, 99), "p99_9_ns",
        stats_hist_percentile(&figures->tail, 99.9), "max_ns", figures->tail.max_ns);
}

static json_t *groups_json(const struct runner_result *result)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < result->groups; i++)
        json_array_append_new(array, figures_json(&result->group[i]));
    return array;
}

json_t *report_json_case(const struct runner_result *result)
{
    const struct bench_case *what = result->what;
    const struct bench_plan *plan = &result->plan;
    return json_pack("{s:s, s:s, s:s, s:s?, s:I, s:I, s:I, s:I, s:I, s:i, s:i, s:o}", "name",
                     what->name, "kind", cases_kind_name(what->kind), "place",
                     cases_place_name(what->place), "baseline", what->baseline, "size",
                     (json_int_t)what->size, "warmup", (json_int_t)plan->warmup, "batches",
                     (json_int_t)plan->batches, "batch", (json_int_t)plan->batch, "singles",
                     (json_int_t)plan->singles, "dropped_moved", (int)result->moved,
                     "dropped_failed", (int)result->failed, "groups", groups_json(result));
}
