/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own byte streams, blocking: one write a message, read into a private buffer until it
 * is whole, then consumed. A stream is the same without the answer.
 *
 * To add another (TCP over loopback, say): an opener and an entry in `channels`.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "bench/cases.h"
#include "bench/payload.h"

/* What each side reads from and writes to. For a socket the two are one. */
struct channel {
    int first_in, first_out;
    int second_in, second_out;
};

struct fd_side {
    int in, out;
    size_t size;
    const unsigned char *source;
    unsigned char *target;
    uint64_t sum;
    bool failed;
};

static bool unix_open(struct channel *channel)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    *channel = (struct channel){pair[0], pair[0], pair[1], pair[1]};
    return true;
}

static bool pipe_open(struct channel *channel)
{
    int there[2];
    int back[2];
    if (pipe2(there, 0) != 0)
        return false;
    if (pipe2(back, 0) != 0) {
        close(there[0]);
        close(there[1]);
        return false;
    }
    *channel = (struct channel){back[0], there[1], there[0], back[1]};
    return true;
}

static bool setup(struct bench_run *run, bool (*open_channel)(struct channel *channel))
{
    static struct channel channel; /* one run at a time */
    run->own = &channel;
    return open_channel(&channel);
}

static bool unix_setup(struct bench_run *run)
{
    return setup(run, unix_open);
}

static bool pipe_setup(struct bench_run *run)
{
    return setup(run, pipe_open);
}

static void close_ends(int in, int out)
{
    close(in);
    if (out != in)
        close(out);
}

static void teardown(struct bench_run *run)
{
    const struct channel *channel = run->own;
    close_ends(channel->first_in, channel->first_out);
    close_ends(channel->second_in, channel->second_out);
}

/* Closes the other side's ends, so that its death is an end of file here. */
static struct fd_side side_of(struct bench_run *run, bool is_first)
{
    const struct channel *channel = run->own;
    if (is_first)
        close_ends(channel->second_in, channel->second_out);
    else
        close_ends(channel->first_in, channel->first_out);
    return (struct fd_side){
        .in = is_first ? channel->first_in : channel->second_in,
        .out = is_first ? channel->first_out : channel->second_out,
        .size = run->size,
        .source = bench_source(run, 1),
        .target = bench_source(run, 0),
    };
}

static void put(struct fd_side *side)
{
    for (size_t done = 0; done < side->size && !side->failed;) {
        ssize_t n = write(side->out, side->source + done, side->size - done);
        side->failed = n <= 0;
        done += n > 0 ? (size_t)n : 0;
    }
}

static void get(struct fd_side *side)
{
    for (size_t done = 0; done < side->size && !side->failed;) {
        ssize_t n = read(side->in, side->target + done, side->size - done);
        side->failed = n <= 0;
        done += n > 0 ? (size_t)n : 0;
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

void base_fd_cases(struct cases *cases)
{
    static const struct {
        const char *pingpong, *stream, *about;
        bool (*setup)(struct bench_run *run);
    } channels[] = {
        {"base.unix.pingpong", "base.unix.stream", "Unix stream socket pair, blocking", unix_setup},
        {"base.pipe.pingpong", "base.pipe.stream", "pipe, blocking", pipe_setup},
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
            .teardown = teardown,
        };
        cases_add_sizes(cases, &what);
        what.name = channels[i].stream;
        what.kind = BENCH_STREAM;
        what.first = stream_first;
        what.second = stream_second;
        cases_add_sizes(cases, &what);
    }
}
