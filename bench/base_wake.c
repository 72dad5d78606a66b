/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ping-pong through the kernel with nothing to carry: what it costs to put a peer to sleep and wake
 * it. Futex on two words, and eventfd; on two CPUs, and both processes on one.
 *
 * Edge: [turn] a word stored with release before the wake, loaded with acquire after the wait.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/cases.h"

/* 32 bits because that is what a futex is; a run makes far fewer turns than would wrap. */
struct futex_block {
    _Alignas(64) _Atomic uint32_t ping; /* first */
    _Alignas(64) _Atomic uint32_t pong; /* second */
};

struct wake_side {
    _Atomic uint32_t *out;
    _Atomic uint32_t *in;
    int fd_out, fd_in;
    uint32_t turn;
    bool failed;
};

static size_t futex_bytes(const struct bench_case *what)
{
    (void)what;
    return sizeof(struct futex_block);
}

static void futex_give(struct wake_side *side)
{
    atomic_store_explicit(side->out, side->turn, memory_order_release); /* [turn] */
    syscall(SYS_futex, side->out, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/*
 * Sleeps without looking first: a word that has already changed costs one system call, as the
 * kernel checks it.
 */
static void futex_take(struct wake_side *side)
{
    do
        syscall(SYS_futex, side->in, FUTEX_WAIT, side->turn - 1, NULL, NULL, 0);
    while (atomic_load_explicit(side->in, memory_order_acquire) != side->turn); /* [turn] */
}

static void futex_ping(void *state, uint64_t count)
{
    struct wake_side *side = state;
    for (uint64_t i = 0; i < count; i++) {
        side->turn++;
        futex_give(side);
        futex_take(side);
    }
}

static void futex_first(struct bench_run *run)
{
    struct futex_block *block = run->shared;
    struct wake_side side = {.out = &block->ping, .in = &block->pong};
    bench_drive(run, futex_ping, &side);
}

static void futex_second(struct bench_run *run)
{
    struct futex_block *block = run->shared;
    struct wake_side side = {.out = &block->pong, .in = &block->ping};
    for (uint64_t i = 0, total = bench_total(&run->plan); i < total; i++) {
        side.turn++;
        futex_take(&side);
        futex_give(&side);
    }
}

static bool eventfd_setup(struct bench_run *run)
{
    static int fds[2];
    fds[0] = eventfd(0, EFD_CLOEXEC);
    fds[1] = eventfd(0, EFD_CLOEXEC);
    run->own = fds;
    return fds[0] >= 0 && fds[1] >= 0;
}

static void eventfd_teardown(struct bench_run *run)
{
    const int *fds = run->own;
    close(fds[0]);
    close(fds[1]);
}

static void eventfd_give(struct wake_side *side)
{
    uint64_t one = 1;
    side->failed |= write(side->fd_out, &one, sizeof(one)) != sizeof(one);
}

static void eventfd_take(struct wake_side *side)
{
    uint64_t count;
    side->failed |= read(side->fd_in, &count, sizeof(count)) != sizeof(count) || count != 1;
}

static void eventfd_ping(void *state, uint64_t count)
{
    struct wake_side *side = state;
    for (uint64_t i = 0; i < count; i++) {
        eventfd_give(side);
        eventfd_take(side);
    }
}

static void eventfd_first(struct bench_run *run)
{
    const int *fds = run->own;
    struct wake_side side = {.fd_out = fds[0], .fd_in = fds[1]};
    bench_drive(run, eventfd_ping, &side);
    bench_check(run, !side.failed);
}

static void eventfd_second(struct bench_run *run)
{
    const int *fds = run->own;
    struct wake_side side = {.fd_out = fds[1], .fd_in = fds[0]};
    for (uint64_t i = 0, total = bench_total(&run->plan); i < total; i++) {
        eventfd_take(&side);
        eventfd_give(&side);
    }
}

void base_wake_cases(struct cases *cases)
{
    struct bench_case futex = {
        .name = "base.futex",
        .about = "FUTEX_WAKE and FUTEX_WAIT on two words",
        .kind = BENCH_PINGPONG,
        .shared_bytes = futex_bytes,
        .first = futex_first,
        .second = futex_second,
    };
    struct bench_case eventfd = {
        .name = "base.eventfd",
        .about = "blocking write and read of two eventfds",
        .kind = BENCH_PINGPONG,
        .setup = eventfd_setup,
        .first = eventfd_first,
        .second = eventfd_second,
        .teardown = eventfd_teardown,
    };
    for (enum bench_place place = BENCH_PAIR; place <= BENCH_SAME; place++) {
        futex.place = place;
        cases_add(cases, &futex);
        eventfd.place = place;
        cases_add(cases, &eventfd);
    }
}
