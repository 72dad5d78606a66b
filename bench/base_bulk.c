/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The most that a socket carries: writes of 64 KiB from one private buffer, read into another as they
 * come, and every byte consumed. A message of the case's size is so many bytes of them; where it begins
 * and ends costs nothing, as nobody has to find it.
 */
#include <unistd.h>

#include "bench/cases.h"
#include "bench/channel.h"
#include "bench/payload.h"

enum { WRITE_BYTES = 64 << 10, READ_BYTES = 64 << 10 };

struct bulk_side {
    struct channel_end end;
    size_t size;
    unsigned char *buffer;
    uint64_t wanted; /* bytes asked for so far, by messages */
    uint64_t moved;
    uint64_t sum;
    bool failed;
};

static struct bulk_side side_of(struct bench_run *run, bool is_first)
{
    struct bench_run whole = *run; /* bench_source() goes by the size of the run */
    whole.size = is_first ? READ_BYTES : WRITE_BYTES;
    return (struct bulk_side){
        .end = channel_take(run, is_first),
        .size = run->size,
        .buffer = bench_source(&whole, 1),
    };
}

/* What a message's last bytes come with is read as well: it is the next message's. */
static void take_many(void *state, uint64_t count)
{
    struct bulk_side *side = state;
    size_t odd = 0; /* of a word of which not all has come */

    side->wanted += count * side->size;
    while ((side->moved < side->wanted || odd > 0) && !side->failed) {
        ssize_t n = read(side->end.in, side->buffer + odd, READ_BYTES - odd);
        side->failed = n <= 0;
        if (side->failed)
            return;
        side->moved += (uint64_t)n;
        size_t got = odd + (size_t)n;
        odd = got % 8;
        side->sum += payload_consume(side->buffer, got - odd);
        memcpy(side->buffer, side->buffer + got - odd, odd);
    }
}

static uint64_t total_bytes(const struct bench_run *run)
{
    return bench_total(&run->plan) * run->size;
}

/* Sum of the first so many bytes of the sender's buffer, over and over. */
static uint64_t sum_of(struct bench_run *run, uint64_t bytes)
{
    struct bench_run whole = *run;
    whole.size = WRITE_BYTES;
    const unsigned char *source = bench_source(&whole, 1);
    return bytes / WRITE_BYTES * payload_consume(source, WRITE_BYTES) +
           payload_consume(source, bytes % WRITE_BYTES);
}

static void first(struct bench_run *run)
{
    struct bulk_side side = side_of(run, true);
    bench_drive(run, take_many, &side);
    bench_check(run, !side.failed && side.moved == total_bytes(run) &&
                         side.sum == sum_of(run, total_bytes(run)));
}

static void second(struct bench_run *run)
{
    struct bulk_side side = side_of(run, false);
    uint64_t total = total_bytes(run);

    while (side.moved < total && !side.failed) {
        size_t at = side.moved % WRITE_BYTES;
        size_t room = WRITE_BYTES - at;
        size_t bytes = total - side.moved < room ? (size_t)(total - side.moved) : room;
        ssize_t n = write(side.end.out, side.buffer + at, bytes);
        side.failed = n <= 0;
        side.moved += n > 0 ? (uint64_t)n : 0;
    }
}

static bool unix_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_unix);
}

static bool tcp_setup(struct bench_run *run)
{
    return channel_setup(run, channel_open_tcp);
}

void base_bulk_cases(struct cases *cases)
{
    struct bench_case what = {
        .about = "payload carried in writes of 64 KiB, blocking",
        .kind = BENCH_STREAM,
        .place = BENCH_PAIR,
        .no_spinners = true,
        .first = first,
        .second = second,
        .teardown = channel_teardown,
    };
    what.name = "base.unix.bulk";
    what.setup = unix_setup;
    cases_add_sizes(cases, &what);
    what.name = "base.tcp.bulk";
    what.setup = tcp_setup;
    cases_add_sizes(cases, &what);
}
