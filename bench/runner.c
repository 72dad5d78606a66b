/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/runner.h"

#include <string.h>

#include "bench/run.h"

/*
 * A run is over in tens of milliseconds; what takes this much longer hangs. Longer than any wait of a
 * subject or peer, so that one that ends in a timeout can say which.
 */
#define RUN_GRACE_NS 8000000000ull

enum {
    TRIAL_NS = 2000000,
    /*
     * Batches short enough that most of them are not interrupted, long enough that the clock's 20
     * ns vanish.
     */
    BATCH_PINGPONG_MAX = 64,
    BATCH_PINGPONG_NS = 20000,
    BATCH_STREAM_NS = 500000,
    BATCH_COST_NS = 250000,
};

static uint64_t clamp(double value, uint64_t low, uint64_t high)
{
    if (value < (double)low)
        return low;
    return value > (double)high ? high : (uint64_t)value;
}

/*
 * A stream moves in bursts as long as its ring; a batch has to span four of them to show the rate,
 * but no more, as the longer it is the likelier someone else takes the CPU meanwhile. 20 bytes a ns
 * is what the fastest ring carries.
 */
static double stream_batch_ns(const struct bench_case *what)
{
    size_t bytes = what->shared_bytes != NULL ? what->shared_bytes(what)
                   : what->geometry.slots != 0
                       ? what->geometry.slots * MACHINE_LINE_BYTES + what->geometry.pool
                       : 0;
    double four_rings_ns = 4 * (double)bytes / 20;
    return four_rings_ns > BATCH_STREAM_NS ? four_rings_ns : BATCH_STREAM_NS;
}

static struct bench_plan plan_for(const struct bench_case *what, double op_ns, uint64_t target_ns)
{
    struct bench_plan plan = {0};
    double ops = (double)target_ns / op_ns;

    if (what->kind == BENCH_PINGPONG) {
        /* Half of the time to each sort of sample. */
        plan.batch = clamp(BATCH_PINGPONG_NS / op_ns, 1, BATCH_PINGPONG_MAX);
        plan.batches = clamp(ops / 2 / (double)plan.batch, 8, BENCH_BATCHES_MAX);
        plan.singles = clamp(ops / 2, 8, BENCH_SINGLES_MAX);
    } else {
        double batch_ns = what->kind == BENCH_STREAM ? stream_batch_ns(what) : BATCH_COST_NS;
        plan.batch = clamp(batch_ns / op_ns, 4, UINT32_MAX);
        plan.batches = clamp(ops / (double)plan.batch, 8, BENCH_BATCHES_MAX);
    }
    plan.warmup = clamp(ops / 8, 4, UINT32_MAX);
    return plan;
}

static uint64_t deadline_of(const struct runner_options *options)
{
    return machine_now_ns() + RUN_GRACE_NS + 20 * options->target_ns;
}

/*
 * Finds what an operation costs, roughly, with two runs: few operations, then enough for a few
 * milliseconds.
 */
static bool calibrate(struct runner_result *result, struct bench_tape *tape,
                      const struct runner_options *options)
{
    struct bench_plan plan = {.warmup = 16, .batches = 8, .batch = 8};
    struct run_result run;

    for (unsigned attempt = 0; attempt < 2; attempt++) {
        if (!run_once(result->what, &plan, tape, deadline_of(options), &run) || !run.completed)
            return false;
        double op_ns = stats_median(tape->batch_ns, tape->batches);
        plan = plan_for(result->what, op_ns > 0.1 ? op_ns : 0.1,
                        attempt == 0 ? TRIAL_NS : options->target_ns);
    }
    result->plan = plan;
    return true;
}

struct verdict {
    struct runner_figures *figures; /* where the run was kept; NULL when it was dropped */
    double value_ns, line_ns;
};

/*
 * The group of runs made at this distance, a new one if need be; NULL when there are too many
 * already.
 */
static struct runner_figures *group_at(struct runner_result *result, double line_ns)
{
    for (unsigned i = 0; i < result->groups; i++) {
        if (machine_probes_agree(result->group[i].line_ns[0], line_ns))
            return &result->group[i];
    }
    return result->groups < RUNNER_GROUPS_MAX ? &result->group[result->groups++] : NULL;
}

static struct verdict judge(struct runner_result *result, const struct run_result *run,
                            struct bench_tape *tape)
{
    struct verdict verdict = {.line_ns = (run->line_before_ns + run->line_after_ns) / 2};
    if (!run->completed) {
        result->failed++;
        return verdict;
    }
    if (machine_probes_agree(run->line_before_ns, run->line_after_ns))
        verdict.figures = group_at(result, verdict.line_ns);
    if (verdict.figures == NULL) {
        result->moved++;
        return verdict;
    }

    struct runner_figures *figures = verdict.figures;
    const double *sample_ns = tape->singles > 0 ? tape->single_ns : tape->batch_ns;
    uint64_t samples = tape->singles > 0 ? tape->singles : tape->batches;
    for (uint64_t i = 0; i < samples; i++)
        stats_hist_add(&figures->tail, sample_ns[i]);
    verdict.value_ns = stats_median(tape->batch_ns, tape->batches);
    figures->value_ns[figures->kept] = verdict.value_ns;
    figures->line_ns[figures->kept] = verdict.line_ns;
    figures->kept++;
    figures->preempted += run->preempted;
    return verdict;
}

static bool run_and_judge(struct runner_result *result, struct bench_tape *tape,
                          const struct runner_options *options, struct verdict *verdict)
{
    struct run_result run;
    if (!run_once(result->what, &result->plan, tape, deadline_of(options), &run))
        return false;
    *verdict = judge(result, &run, tape);
    return true;
}

static bool repeat(struct runner_result *subject, struct runner_result *baseline,
                   struct bench_tape *tape, const struct runner_options *options)
{
    for (unsigned i = 0; i < options->repeats && i < RUNNER_REPEATS_MAX; i++) {
        struct verdict a = {0};
        struct verdict b = {0};
        if (baseline != NULL && !run_and_judge(baseline, tape, options, &a))
            return false;
        if (!run_and_judge(subject, tape, options, &b))
            return false;
        if (a.figures != NULL && b.figures != NULL && machine_probes_agree(a.line_ns, b.line_ns) &&
            a.value_ns > 0)
            b.figures->ratio[b.figures->ratios++] = b.value_ns / a.value_ns;
    }
    return true;
}

bool runner_measure(const struct bench_case *subject, const struct bench_case *baseline,
                    const struct runner_options *options, struct runner_result *subject_result,
                    struct runner_result *baseline_result)
{
    struct bench_tape *tape = run_tape_open();
    if (tape == NULL)
        return false;

    memset(subject_result, 0, sizeof(*subject_result));
    subject_result->what = subject;
    bool well = calibrate(subject_result, tape, options);
    if (well && baseline != NULL) {
        memset(baseline_result, 0, sizeof(*baseline_result));
        baseline_result->what = baseline;
        well = calibrate(baseline_result, tape, options);
    }
    well = well && repeat(subject_result, baseline != NULL ? baseline_result : NULL, tape, options);
    run_tape_close(tape);
    return well;
}
