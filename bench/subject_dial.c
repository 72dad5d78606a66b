/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From dial to the first message: the listener is up; how long from the moment the other side calls
 * duct_dial() until its first small message has been read here. Everything at its default.
 *
 * The message carries the time at which it all began; both processes read one clock. The dialler
 * begins again when the pipe is closed on it, so no two are open at once.
 */
#include "bench/subject.h"

static double accept_one(struct subject *side)
{
    uint64_t began_ns = 0;
    size_t size = 0;

    if (side->failed ||
        !subject_ok(side, "accept", duct_accept(side->listener, &side->pipe, SUBJECT_WAIT_NS)))
        return 0;
    subject_ok(side, "read",
               duct_read(side->pipe, &began_ns, sizeof(began_ns), &size, NULL, SUBJECT_WAIT_NS));
    uint64_t now_ns = machine_now_ns();
    duct_pipe_close(side->pipe);
    side->pipe = NULL;
    return (double)(now_ns - began_ns);
}

static void first(struct bench_run *run)
{
    struct subject side = {.size = run->size};
    struct bench_tape *tape = run->tape;
    const struct bench_plan *plan = &run->plan;

    subject_ok(&side, "listen", duct_listen(&side.listener, subject_url(run), NULL));
    for (uint64_t i = 0; i < plan->warmup; i++)
        accept_one(&side);
    for (uint64_t i = 0; i < plan->batches; i++) {
        double sum_ns = 0;
        for (uint64_t k = 0; k < plan->batch; k++)
            sum_ns += accept_one(&side);
        tape->batch_ns[i] = sum_ns / (double)plan->batch;
    }
    for (uint64_t i = 0; i < plan->singles; i++)
        tape->single_ns[i] = accept_one(&side);
    tape->batches = plan->batches;
    tape->singles = plan->singles;
    subject_close(&side, run, true, false);
}

static void second(struct bench_run *run)
{
    struct subject side = {.size = run->size};

    for (uint64_t i = 0, total = bench_total(&run->plan); i < total && !side.failed; i++) {
        uint64_t began_ns = machine_now_ns();
        uint64_t nothing;
        size_t size;
        if (!subject_ok(&side, "dial", duct_dial(&side.pipe, subject_url(run), NULL)))
            break;
        subject_ok(&side, "write",
                   duct_write(side.pipe, &began_ns, sizeof(began_ns), 0, SUBJECT_WAIT_NS));
        enum duct_err err =
            duct_read(side.pipe, &nothing, sizeof(nothing), &size, NULL, SUBJECT_WAIT_NS);
        if (err != DUCT_ECLOSED)
            subject_fail(&side, "the end", err);
        duct_pipe_close(side.pipe);
        side.pipe = NULL;
    }
    subject_close(&side, run, false, false);
}

void subject_dial_cases(struct cases *cases)
{
    cases_add(cases, &(struct bench_case){
                         .name = "duct.dial",
                         .about = "from duct_dial() to the first message read by the other side",
                         .kind = BENCH_PINGPONG,
                         .place = BENCH_PAIR,
                         .size = 8,
                         .setup = subject_setup,
                         .first = first,
                         .second = second,
                     });
}
