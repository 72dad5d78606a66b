/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ping-pong through a duct pipe. Small payloads are written from a private buffer and read into
 * one; larger ones are built in the peer's view and read there. Spinning, asleep between messages,
 * and with a payload that nobody touches, which is what a message costs when its bytes cost
 * nothing.
 */
#include "bench/subject.h"

struct pingpong {
    struct subject subject;
    bool touch;
};

static inline __attribute__((always_inline)) void put_small(struct subject *side, size_t size)
{
    unsigned char out[SUBJECT_SMALL_MAX];
    payload_fill(out, size, ++side->sent);
    subject_ok(side, "write", duct_write(side->pipe, out, size, 0, SUBJECT_WAIT_NS));
}

static inline __attribute__((always_inline)) void get_small(struct subject *side, size_t size)
{
    unsigned char in[SUBJECT_SMALL_MAX];
    size_t got = 0;
    if (subject_ok(side, "read",
                   duct_read(side->pipe, in, sizeof(in), &got, NULL, SUBJECT_WAIT_NS)) &&
        got == size)
        side->sum += payload_consume(in, size);
}

static void put_loan(struct subject *side, bool touch)
{
    struct duct_msg msg;
    side->sent++;
    if (!subject_ok(
            side, "loan",
            duct_msg_loan_aligned(side->pipe, side->size, DUCT_ALIGN_LINE, SUBJECT_WAIT_NS, &msg)))
        return;
    if (touch)
        payload_fill_any(msg.data, side->size, side->sent);
    subject_ok(side, "send", duct_send(side->pipe, &msg, SUBJECT_WAIT_NS));
}

static void get_loan(struct subject *side, bool touch)
{
    struct duct_msg msg;
    if (!subject_ok(side, "recv", duct_recv(side->pipe, &msg, SUBJECT_WAIT_NS)))
        return;
    if (touch && msg.size == side->size)
        side->sum += payload_consume(msg.data, msg.size);
    subject_ok(side, "release", duct_msg_release(&msg));
}

static inline __attribute__((always_inline)) void ping_small(struct subject *side, uint64_t count,
                                                             size_t size)
{
    for (uint64_t i = 0; i < count && !side->failed; i++) {
        put_small(side, size);
        get_small(side, size);
    }
}

static inline __attribute__((always_inline)) void pong_small(struct subject *side, uint64_t count,
                                                             size_t size)
{
    for (uint64_t i = 0; i < count && !side->failed; i++) {
        get_small(side, size);
        put_small(side, size);
    }
}

/* The small sizes as constants, as the baseline has them. */
static void ping_many(void *state, uint64_t count)
{
    struct pingpong *pingpong = state;
    struct subject *side = &pingpong->subject;
    bool small = pingpong->touch && side->size <= SUBJECT_SMALL_MAX;

    if (small && side->size == 8)
        ping_small(side, count, 8);
    else if (small && side->size == 40)
        ping_small(side, count, 40);
    else if (small)
        ping_small(side, count, side->size);
    else
        for (uint64_t i = 0; i < count && !side->failed; i++) {
            put_loan(side, pingpong->touch);
            get_loan(side, pingpong->touch);
        }
}

static void pong_many(struct pingpong *pingpong, uint64_t count)
{
    struct subject *side = &pingpong->subject;
    bool small = pingpong->touch && side->size <= SUBJECT_SMALL_MAX;

    if (small && side->size == 8)
        pong_small(side, count, 8);
    else if (small && side->size == 40)
        pong_small(side, count, 40);
    else if (small)
        pong_small(side, count, side->size);
    else
        for (uint64_t i = 0; i < count && !side->failed; i++) {
            get_loan(side, pingpong->touch);
            put_loan(side, pingpong->touch);
        }
}

static void run_first(struct bench_run *run, bool touch)
{
    struct pingpong side = {subject_open(run, true), touch};
    ping_many(&side, subject_touch(run));
    bench_drive(run, ping_many, &side);
    subject_close(&side.subject, run, true, touch);
}

static void run_second(struct bench_run *run, bool touch)
{
    struct pingpong side = {subject_open(run, false), touch};
    pong_many(&side, subject_touch(run) + bench_total(&run->plan));
    subject_close(&side.subject, run, false, touch);
}

static void full_first(struct bench_run *run)
{
    run_first(run, true);
}

static void full_second(struct bench_run *run)
{
    run_second(run, true);
}

static void bare_first(struct bench_run *run)
{
    run_first(run, false);
}

static void bare_second(struct bench_run *run)
{
    run_second(run, false);
}

/* The defaults, which serve up to 64 KiB; beyond, a pool of three messages, as theirs is. */
static void add(struct cases *cases, const struct bench_case *what, const char *wait)
{
    size_t max_msg = what->size > 65536 ? what->size : 65536;
    struct bench_case with = *what;
    with.geometry = (struct bench_geometry){256, max_msg, 3 * max_msg, wait};
    cases_add(cases, &with);
}

void subject_pingpong_cases(struct cases *cases)
{
    struct bench_case what = {
        .kind = BENCH_PINGPONG,
        .place = BENCH_PAIR,
        .setup = subject_setup,
    };
    for (size_t i = 0; i < CASES_SIZES; i++) {
        what.size = cases_sizes[i];
        what.first = full_first;
        what.second = full_second;
        what.place = BENCH_PAIR;
        what.name = "duct.pingpong";
        what.about = "duct pipe, both sides spinning";
        what.baseline = "base.slot";
        add(cases, &what, "spin");
        what.name = "duct.park";
        what.about = "duct pipe, both sides asleep between messages";
        what.baseline = "base.futex";
        add(cases, &what, "park");
        what.place = BENCH_SAME;
        add(cases, &what, "park");
        if (what.size < 64)
            continue;
        what.first = bare_first;
        what.second = bare_second;
        what.place = BENCH_PAIR;
        what.name = "duct.loan";
        what.about = "loan, send, recv, release; nobody touches the payload; over that of 64 bytes";
        what.baseline = what.size > 64 ? "duct.loan" : NULL;
        add(cases, &what, "spin");
    }
}
