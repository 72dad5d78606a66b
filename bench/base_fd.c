/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own byte streams: one write a message, read into a private buffer until it is whole, then
 * consumed. A stream is the same without the answer. Blocking, and for sockets also spinning: without
 * ever asking the kernel to wait.
 *
 * To add another: an opener in channel.h and an entry in `channels`.
 */
#include <errno.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/channel.h"
#include "bench/payload.h"

struct fd_side {
    struct channel_end end;
    size_t size;
    const unsigned char *source;
    unsigned char *target;
    uint64_t sum;
    bool failed;
};

static bool unix_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_unix);
}

static bool pipe_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_pipe);
}

static bool tcp_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_tcp);
}

static bool unix_spinning_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_unix_spinning);
}

static bool tcp_spinning_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_tcp_spinning);
}

static struct fd_side side_of(struct bench_run *run, bool is_first)
{
    return (struct fd_side){
        .end = channel_take(run, is_first),
        .size = run->size,
        .source = bench_source(run, 1),
        .target = bench_source(run, 0),
    };
}

/* Bytes moved by a call that returned n: none where it would have had to wait. */
static size_t moved(struct fd_side *side, ssize_t n)
{
    side->failed = n == 0 || (n < 0 && errno != EAGAIN);
    return n > 0 ? (size_t)n : 0;
}

static void put(struct fd_side *side)
{
    for (size_t done = 0; done < side->size && !side->failed;) {
        done += moved(side, write(side->end.out, side->source + done, side->size - done));
    }
}

static void get(struct fd_side *side)
{
    for (size_t done = 0; done < side->size && !side->failed;) {
        done += moved(side, read(side->end.in, side->target + done, side->size - done));
    }
    side->sum += payload_consume(side->target, side->size);
}

static void ping_many(void *state, uint64_t count)
{
    struct fd_side *side = state;
    for (uint64_t i = 0; i < count; i++) {
        put(side);
        get(side);
    }
}

static void get_many(void *state, uint64_t count)
{
    struct fd_side *side = state;
    for (uint64_t i = 0; i < count; i++)
        get(side);
}

static void check_sum(struct bench_run *run, const struct fd_side *side)
{
    bench_check(run, !side->failed && side->sum == bench_total(&run->plan) *
                                                       payload_consume(side->source, side->size));
}

static void pingpong_first(struct bench_run *run)
{
    struct fd_side side = side_of(run, true);
    bench_drive(run, ping_many, &side);
    check_sum(run, &side);
}

static void pingpong_second(struct bench_run *run)
{
    struct fd_side side = side_of(run, false);
    for (uint64_t i = 0, total = bench_total(&run->plan); i < total && !side.failed; i++) {
        get(&side);
        put(&side);
    }
}

static void stream_first(struct bench_run *run)
{
    struct fd_side side = side_of(run, true);
    bench_drive(run, get_many, &side);
    check_sum(run, &side);
}

static void stream_second(struct bench_run *run)
{
    struct fd_side side = side_of(run, false);
    for (uint64_t i = 0, total = bench_total(&run->plan); i < total && !side.failed; i++)
        put(&side);
}

/* What duct_call() is held against: both sides asleep in turn on one CPU, and spinning on two. */
static void add_calls(struct cases *cases, const struct bench_case *pingpong,
                      const char *spinning_name, bool (*spinning_setup)(struct bench_run *run))
{
    static const size_t sizes[] = {64, 1024};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct bench_case what = *pingpong;
        what.size = sizes[i];
        what.place = BENCH_SAME;
        cases_add(cases, &what);
        what.place = BENCH_PAIR;
        what.name = spinning_name;
        what.about = "the same, neither side ever asleep";
        what.setup = spinning_setup;
        cases_add(cases, &what);
    }
}

void base_fd_cases(struct cases *cases)
{
    static const struct {
        const char *pingpong, *stream, *spin, *about;
        bool (*setup)(struct bench_run *run);
        bool (*spinning_setup)(struct bench_run *run);
    } channels[] = {
        {"base.unix.pingpong", "base.unix.stream", "base.unix.spin",
         "Unix stream socket pair, blocking", unix_setup, unix_spinning_setup},
        {"base.pipe.pingpong", "base.pipe.stream", NULL, "pipe, blocking", pipe_setup, NULL},
        {"base.tcp.pingpong", "base.tcp.stream", "base.tcp.spin", "TCP over loopback, blocking",
         tcp_setup, tcp_spinning_setup},
    };
    for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++) {
        struct bench_case what = {
            .name = channels[i].pingpong,
            .about = channels[i].about,
            .kind = BENCH_PINGPONG,
            .place = BENCH_PAIR,
            .setup = channels[i].setup,
            .first = pingpong_first,
            .second = pingpong_second,
            .teardown = channel_teardown,
        };
        cases_add_sizes(cases, &what);
        if (channels[i].spin != NULL)
            add_calls(cases, &what, channels[i].spin, channels[i].spinning_setup);
        what.name = channels[i].stream;
        what.kind = BENCH_STREAM;
        what.no_spinners = true;
        what.first = stream_first;
        what.second = stream_second;
        cases_add_sizes(cases, &what);
    }
}
