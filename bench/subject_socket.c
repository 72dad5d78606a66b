/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Duct over sockets, uds:// and tcp://, on the backend that it chooses by itself and, held against that, on
 * epoll. Round trips are duct_call() on both sides; streams are those of shared memory, and two more:
 *   carried  duct_write() from one private buffer, as the kernel's own streams are written; received in
 *            place. The number of the message stands in its first word.
 *   more     loaned one by one, all but every so manieth with MORE: duct decides what leaves together.
 */
#include "bench/subject.h"

enum { MORE_MESSAGES = 512 };

/* ---- Round trips ---- */

static void call_many(void *state, uint64_t count)
{
    struct subject *side = state;
    struct duct_msg out;
    struct duct_msg in;

    for (uint64_t i = 0; i < count && !side->failed; i++) {
        if (subject_build(side, &out) &&
            subject_ok(side, "call", duct_call(side->pipe, &out, &in, SUBJECT_WAIT_NS)))
            subject_take(side, &in);
    }
}

static void call_first(struct bench_run *run)
{
    struct subject side = subject_open(run, true);
    bench_drive(run, call_many, &side);
    subject_close(&side, run, true, true);
}

/* Answers, and waits for the next request in the same call. */
static void call_second(struct bench_run *run)
{
    struct subject side = subject_open(run, false);
    struct duct_msg msg;

    if (subject_ok(&side, "recv", duct_recv(side.pipe, &msg, SUBJECT_WAIT_NS)))
        subject_take(&side, &msg);
    call_many(&side, bench_total(&run->plan) - 1);
    if (!side.failed && subject_build(&side, &msg))
        subject_ok(&side, "send", duct_send(side.pipe, &msg, SUBJECT_WAIT_NS));
    subject_close(&side, run, false, true);
}

/* ---- Streams ---- */

/* Numbers 1 .. total in the first words, and the source's words behind them. */
static uint64_t carried_sum(const struct bench_run *run)
{
    uint64_t total = bench_total(&run->plan);
    const unsigned char *source = bench_source(run, 1);
    return total * (total + 1) / 2 + total * (payload_consume(source, run->size) - 1);
}

static void carried_many(void *state, uint64_t count)
{
    struct subject *side = state;
    struct duct_msg msg;

    for (uint64_t i = 0; i < count && !side->failed; i++) {
        if (subject_ok(side, "recv", duct_recv(side->pipe, &msg, SUBJECT_WAIT_NS)))
            subject_take(side, &msg);
    }
}

static void carried_first(struct bench_run *run)
{
    struct subject side = subject_open(run, true);
    bench_drive(run, carried_many, &side);
    bench_check(run, side.sum == carried_sum(run));
    subject_close(&side, run, true, false);
}

static void carried_second(struct bench_run *run)
{
    struct subject side = subject_open(run, false);
    unsigned char *source = bench_source(run, 1);

    for (uint64_t left = bench_total(&run->plan); left > 0 && !side.failed; left--) {
        payload_fill(source, 8, ++side.sent);
        subject_ok(&side, "write", duct_write(side.pipe, source, side.size, 0, SUBJECT_WAIT_NS));
    }
    subject_close(&side, run, false, false);
}

static void more_second(struct bench_run *run)
{
    struct subject side = subject_open(run, false);
    struct duct_msg msg;

    for (uint64_t left = bench_total(&run->plan); left > 0 && !side.failed; left--) {
        if (!subject_build(&side, &msg))
            break;
        if (left % MORE_MESSAGES != 1)
            msg.flags = DUCT_MSG_MORE;
        subject_ok(&side, "send", duct_send(side.pipe, &msg, SUBJECT_WAIT_NS));
    }
    subject_close(&side, run, false, false);
}

/* ---- Cases ---- */

static const struct subject_flow call = {call_first, call_second};
static const struct subject_flow carried = {carried_first, carried_second};
/* Received as any loaned stream is; there is nothing to touch before. */
static struct subject_flow more = {NULL, more_second};

/* One case, with its baseline, and its twin on epoll. */
struct names {
    const char *name, *epoll, *baseline;
};

enum { UDS, TCP, SCHEMES };
static const char *const schemes[SCHEMES] = {"uds", "tcp"};

#define NAMES(kind, raw)                                                    \
    {                                                                       \
        {"duct.uds." kind, "duct.uds." kind ".epoll", "base.unix." raw},    \
            {"duct.tcp." kind, "duct.tcp." kind ".epoll", "base.tcp." raw}, \
    }

struct kind {
    struct names names[SCHEMES];
    const char *about;
    enum bench_kind kind;
    enum bench_place place;
    const char *wait;
    const struct subject_flow *flow;
    size_t sizes[3]; /* 0: no more */
};

static const struct kind kinds[] = {
    {NAMES("call", "pingpong"),
     "duct_call on both sides, asleep between messages",
     BENCH_PINGPONG,
     BENCH_PAIR,
     "park",
     &call,
     {64, 1024}},
    {NAMES("call", "pingpong"),
     "duct_call on both sides, asleep between messages",
     BENCH_PINGPONG,
     BENCH_SAME,
     "park",
     &call,
     {64, 1024}},
    {NAMES("spin", "spin"),
     "duct_call on both sides, spinning",
     BENCH_PINGPONG,
     BENCH_PAIR,
     "spin",
     &call,
     {64, 1024}},
    {NAMES("busy", "spin"),
     "duct_call on both sides, each loop busy before it sleeps",
     BENCH_PINGPONG,
     BENCH_PAIR,
     "busy",
     &call,
     {64, 1024}},
    {NAMES("stream", "bulk"),
     "duct_write and duct_read, one message a call",
     BENCH_STREAM,
     BENCH_PAIR,
     "park",
     &subject_copied,
     {64}},
    {NAMES("batch", "bulk"),
     "duct_write_batch and duct_read_batch of 32",
     BENCH_STREAM,
     BENCH_PAIR,
     "park",
     &subject_copied_batch,
     {64}},
    {NAMES("more", "bulk"),
     "loaned and sent one a call, most with MORE",
     BENCH_STREAM,
     BENCH_PAIR,
     "park",
     &more,
     {64, 1024}},
    {NAMES("carried", "bulk"),
     "duct_write from one buffer, received in place",
     BENCH_STREAM,
     BENCH_PAIR,
     "park",
     &carried,
     {1024, 65536, 1048576}},
    {NAMES("loaned", "bulk"),
     "loan, fill, send; recv, read, release",
     BENCH_STREAM,
     BENCH_PAIR,
     "park",
     &subject_loaned,
     {1024, 65536, 1048576}},
};

static void add(struct cases *cases, const struct kind *kind, size_t scheme, size_t size)
{
    struct bench_case what = {
        .name = kind->names[scheme].name,
        .about = kind->about,
        .kind = kind->kind,
        .place = kind->place,
        .size = size,
        .baseline = kind->names[scheme].baseline,
        .geometry = {.max_msg = size > 65536 ? size : 65536, .wait = kind->wait},
        .scheme = schemes[scheme],
        .no_spinners = kind->kind == BENCH_STREAM,
        .setup = subject_setup,
        .first = kind->flow->first,
        .second = kind->flow->second,
    };
    cases_add(cases, &what);
    what.name = kind->names[scheme].epoll;
    what.baseline = kind->names[scheme].name;
    what.backend = "epoll";
    cases_add(cases, &what);
}

void subject_socket_cases(struct cases *cases)
{
    more.first = subject_loaned.first;
    for (size_t scheme = 0; scheme < SCHEMES; scheme++) {
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
            for (size_t i = 0; i < sizeof(kinds[k].sizes) / sizeof(size_t); i++) {
                if (kinds[k].sizes[i] != 0)
                    add(cases, &kinds[k], scheme, kinds[k].sizes[i]);
            }
        }
    }
}
