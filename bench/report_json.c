/* SPDX-License-Identifier: Apache-2.0 */
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

static json_t *geometry_json(const struct bench_geometry *geometry)
{
    if (geometry->max_msg == 0)
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:s}", "slots", (json_int_t)geometry->slots, "max_msg",
                     (json_int_t)geometry->max_msg, "pool", (json_int_t)geometry->pool, "wait",
                     geometry->wait);
}

static json_t *case_json(const struct runner_result *result)
{
    const struct bench_case *what = result->what;
    const struct bench_plan *plan = &result->plan;
    return json_pack(
        "{s:s, s:s, s:s, s:s?, s:I, s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:o}", "name", what->name,
        "kind", cases_kind_name(what->kind), "place", cases_place_name(what->place), "baseline",
        what->baseline, "size", (json_int_t)what->size, "geometry", geometry_json(&what->geometry),
        "warmup", (json_int_t)plan->warmup, "batches", (json_int_t)plan->batches, "batch",
        (json_int_t)plan->batch, "singles", (json_int_t)plan->singles, "dropped_moved",
        (int)result->moved, "dropped_failed", (int)result->failed, "groups", groups_json(result));
}

static json_t *cases_json(const struct results *results)
{
    json_t *array = json_array();
    for (size_t i = 0; i < results->count; i++) {
        const struct result *result = results->list[i];
        json_t *told = case_json(&result->subject);
        if (result->baseline.what != NULL)
            json_object_set_new(told, "against", case_json(&result->baseline));
        json_array_append_new(array, told);
    }
    return array;
}

static json_t *side_json(const struct footprint_side *side)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f}", "rss_bytes", (json_int_t)side->rss_bytes,
                     "pss_bytes", (json_int_t)side->pss_bytes, "private_bytes",
                     (json_int_t)side->private_bytes, "shared_bytes",
                     (json_int_t)side->shared_bytes, "fds", (json_int_t)side->fds, "idle_cpu",
                     side->idle_cpu);
}

static json_t *footprints_json(const struct results *results)
{
    json_t *array = json_array();
    for (size_t i = 0; i < results->footprints; i++) {
        const struct footprint *footprint = &results->footprint[i];
        json_array_append_new(
            array, json_pack("{s:i, s:o, s:o, s:f, s:f}", "pipes", (int)footprint->pipes,
                             "listener", side_json(&footprint->listener), "dialler",
                             side_json(&footprint->dialler), "wake_p50_ns", footprint->wake_p50_ns,
                             "wake_p99_ns", footprint->wake_p99_ns));
    }
    return array;
}

static json_t *bars_json(const struct bars *bars)
{
    json_t *array = json_array();
    for (size_t i = 0; i < bars->count; i++) {
        const struct bar *bar = &bars->list[i];
        json_array_append_new(array,
                              json_pack("{s:s, s:s, s:s, s:f, s:f, s:b, s:s}", "what", bar->what,
                                        "note", bar->note, "unit", bar->unit, "value", bar->value,
                                        "limit", bar->limit, "at_least", (int)bar->at_least,
                                        "verdict", bars_verdict_name(bar->verdict)));
    }
    return array;
}

json_t *report_json(const struct results *results, const struct bars *bars)
{
    return json_pack("{s:o, s:o, s:o}", "cases", cases_json(results), "footprints",
                     footprints_json(results), "bars", bars_json(bars));
}
