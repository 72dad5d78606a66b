/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/peer.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/channel.h"

/* One run at a time. */
static char address[PEER_ADDRESS_BYTES];
static char url[PEER_ADDRESS_BYTES + 8];

enum { OPS_MAX = 8 };
static const struct peer_ops *known[OPS_MAX];
static size_t known_count;

static const struct peer_ops *ops_of(const struct bench_run *run)
{
    return known[run->what->param];
}

static bool over_tcp(const struct bench_case *what)
{
    return what->scheme != NULL && strcmp(what->scheme, "tcp") == 0;
}

static bool setup(struct bench_run *run)
{
    static unsigned runs;
    const struct peer_ops *ops = ops_of(run);
    snprintf(address, sizeof(address), "/tmp/duct-bench-%d-%u", (int)getpid(), runs++);
    if (over_tcp(run->what))
        snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", channel_free_port());
    else
        snprintf(url, sizeof(url), "ipc://%s", address);
    return ops->setup == NULL || ops->setup(address);
}

static void teardown(struct bench_run *run)
{
    const struct peer_ops *ops = ops_of(run);
    if (ops->teardown != NULL)
        ops->teardown(address);
    unlink(address);
}

struct party {
    const struct peer_ops *ops;
    struct peer peer;
    bool failed;
};

static struct party party_open(const struct bench_run *run, bool is_first)
{
    struct party party = {
        .ops = ops_of(run),
        .peer = {.size = run->size, .is_first = is_first, .address = address, .url = url},
    };
    if (!party.ops->open(&party.peer)) {
        fprintf(stderr, "%s: cannot open %s\n", run->what->name, address);
        _exit(6);
    }
    return party;
}

static void ping_many(void *state, uint64_t count)
{
    struct party *party = state;
    for (uint64_t i = 0; i < count && !party->failed; i++)
        party->failed = !party->ops->put(&party->peer) || !party->ops->get(&party->peer);
}

static void get_many(void *state, uint64_t count)
{
    struct party *party = state;
    for (uint64_t i = 0; i < count && !party->failed; i++)
        party->failed = !party->ops->get(&party->peer);
}

/* Sum of the words of messages 1 .. total. */
static uint64_t sum_of(size_t size, uint64_t total)
{
    uint64_t words = size / 8;
    return words * (total * (total + 1) / 2) + total * (words * (words - 1) / 2);
}

static void party_close(struct party *party)
{
    if (party->ops->close != NULL)
        party->ops->close(&party->peer);
}

/*
 * So that the pages of large messages are in both processes' tables before what is measured. Small
 * ones share a page, and its price.
 */
static uint64_t touch_of(const struct bench_run *run)
{
    return run->size >= PEER_TOUCH_SIZE ? PEER_TOUCH_BYTES / run->size : 0;
}

static void run_first(struct bench_run *run, void (*many)(void *state, uint64_t count))
{
    struct party party = party_open(run, true);
    many(&party, touch_of(run));
    bench_drive(run, many, &party);
    uint64_t total = touch_of(run) + bench_total(&run->plan);
    bench_check(run, !party.failed && party.peer.sum == sum_of(run->size, total) &&
                         party.ops->put(&party.peer));
    party_close(&party);
}

static void pingpong_first(struct bench_run *run)
{
    run_first(run, ping_many);
}

static void stream_first(struct bench_run *run)
{
    run_first(run, get_many);
}

static void run_second(struct bench_run *run, bool answers)
{
    struct party party = party_open(run, false);
    uint64_t total = touch_of(run) + bench_total(&run->plan);
    for (uint64_t i = 0; i < total && !party.failed; i++)
        party.failed = (answers && !party.ops->get(&party.peer)) || !party.ops->put(&party.peer);
    if (party.failed || !party.ops->get(&party.peer))
        _exit(7);
    party_close(&party);
}

static void pingpong_second(struct bench_run *run)
{
    run_second(run, true);
}

static void stream_second(struct bench_run *run)
{
    run_second(run, false);
}

static void add_both(struct cases *cases, const struct bench_case *pingpong, const char *stream)
{
    struct bench_case what = *pingpong;
    cases_add(cases, &what);
    what.name = stream;
    what.kind = BENCH_STREAM;
    what.no_spinners = what.scheme != NULL;
    what.first = stream_first;
    what.second = stream_second;
    cases_add(cases, &what);
}

void peer_add(struct cases *cases, const struct peer_ops *ops)
{
    struct bench_case what = {
        .name = ops->pingpong,
        .about = ops->about,
        .kind = BENCH_PINGPONG,
        .place = BENCH_PAIR,
        .param = known_count,
        .scheme = ops->tcp_pingpong != NULL ? "uds" : NULL,
        .peer = ops->spins ? BENCH_PEER_SPINS : BENCH_PEER_SLEEPS,
        .setup = setup,
        .first = pingpong_first,
        .second = pingpong_second,
        .teardown = teardown,
    };
    known[known_count++] = ops;
    for (size_t i = 0; i < CASES_SIZES; i++) {
        what.size = cases_sizes[i];
        add_both(cases, &what, ops->stream);
    }
    what.name = ops->tcp_pingpong;
    what.scheme = "tcp";
    for (size_t i = 0; i < CASES_SIZES && ops->tcp_pingpong != NULL; i++) {
        what.size = cases_sizes[i];
        if (what.size >= 64 && what.size != 256)
            add_both(cases, &what, ops->tcp_stream);
    }
}

void peer_roam(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static void missing(const char *library, const char *package)
{
    fprintf(stderr, "duct-bench: built without %s; install %s and configure again\n", library,
            package);
}

void peer_cases(struct cases *cases)
{
#ifdef PEER_ZMQ
    peer_zmq_cases(cases);
#else
    missing("ZeroMQ", "libzmq3-dev");
#endif
#ifdef PEER_NNG
    peer_nng_cases(cases);
#else
    missing("nng", "libnng-dev");
#endif
#ifdef PEER_NANOMSG
    peer_nanomsg_cases(cases);
#else
    missing("nanomsg", "libnanomsg-dev");
#endif
#ifdef PEER_QB
    peer_qb_cases(cases);
#else
    missing("libqb", "libqb-dev");
#endif
#ifdef PEER_ICEORYX
    peer_iceoryx_cases(cases);
#else
    missing("iceoryx", "libiceoryx-binding-c-dev and iceoryx");
#endif
    (void)missing;
}
