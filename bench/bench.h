/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seam: what a case is, and what it may use while it runs. runner.h drives cases, base_*.c and
 * the subjects are cases; neither knows more of the other than this file.
 *
 * A case is two functions in two forked processes, `first` and `second`, each on a CPU of its own,
 * or the same CPU, or `first` alone. `first` does the measuring: the ping side of a ping-pong, the
 * receiving side of a stream. Both perform exactly bench_total(plan) operations, so neither needs
 * to tell the other that it is over.
 *
 * Life of one run, `run` being private to each process after the fork:
 *   setup     in the parent. Opens what both sides share; run->shared is there already if
 * shared_bytes is given. first     in its child, second in its own. Warm memory and probes on both
 * sides of it are the runner's business. teardown  in the parent, after both children are gone,
 * whatever became of them.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/machine.h"

enum bench_kind {
    BENCH_PINGPONG, /* an operation is a round trip */
    BENCH_STREAM,   /* an operation is a message received */
    BENCH_COST,     /* an operation is a call that involves nobody else */
};

enum bench_place {
    BENCH_PAIR, /* two CPUs; a run counts only if the distance stood still */
    BENCH_SAME, /* both processes on one CPU, so neither may spin */
    BENCH_SOLO, /* `first` alone; `second` is NULL */
};

/* How another library waits for its messages. */
enum bench_peer { BENCH_PEER_NONE, BENCH_PEER_SLEEPS, BENCH_PEER_SPINS };

/* How many operations of each sort a run performs, in this order. */
struct bench_plan {
    uint64_t warmup;
    uint64_t batches; /* timed together, `batch` operations each */
    uint64_t batch;
    uint64_t singles; /* timed one by one */
};

/*
 * Why two sorts of sample: reading the clock costs 20 ns, an eighth of the shortest round trip, so
 * the typical time comes from batches, where it vanishes; but a batch averages away the rare slow
 * round trip, so the tail comes from operations timed one by one, each 20 ns too long. Streams and
 * costs have batches only: one message of a stream has no time of its own.
 */
enum { BENCH_BATCHES_MAX = 4096, BENCH_SINGLES_MAX = 32768 };

/* What one run measured. Written by `first`, read by the parent once both children have ended. */
struct bench_tape {
    uint64_t last_ns;
    uint64_t batches, singles;
    bool wrong; /* the payload's sum was not what was sent, or a call failed */
    double batch_ns[BENCH_BATCHES_MAX]; /* per operation */
    double single_ns[BENCH_SINGLES_MAX];
};

struct bench_case;

/* What a duct pipe is opened with, both ways; what is zero is at its default, all of it where there is
 * no pipe. Pipes over sockets have neither slots nor a pool. */
struct bench_geometry {
    unsigned slots;
    size_t max_msg;
    size_t pool;
    const char *wait; /* of the pipe; or "busy": of its context, which looks before it sleeps */
};

struct bench_run {
    const struct bench_case *what;
    size_t size; /* that of the case */
    struct bench_plan plan;
    void *shared; /* zeroed, mapped at one address in both children, page tables filled */
    size_t shared_bytes;
    void *own; /* for the case: whatever setup wants to hand on */
    struct bench_tape *tape;
};

struct bench_case {
    const char *name;  /* e.g. "base.slot"; with size and place it identifies the case */
    const char *about; /* one line for --list */
    enum bench_kind kind;
    enum bench_place place;
    size_t size;  /* payload bytes, a multiple of 8; 0 when the case has none */
    size_t param; /* the case's own: so that one file can offer a ring with this many slots and with
                     that many */
    /*
     * Name of the case, at the same size and place, that this one is divided by; at its smallest
     * size when this one's is not among them. NULL for a baseline.
     */
    const char *baseline;
    struct bench_geometry geometry;
    const char *scheme;  /* of a duct pipe or a peer over sockets: "uds", "tcp"; NULL: memory */
    const char *backend; /* of duct's loop: "epoll", "uring"; NULL: what it chooses by itself */
    bool no_spinners;    /* they would halve it: threads of the kernel's wait behind them */
    /* Another library than duct; its name is <library>.pingpong or .stream. */
    enum bench_peer peer;
    size_t (*shared_bytes)(const struct bench_case *what); /* NULL: none */
    bool (*setup)(struct bench_run *run);
    void (*first)(struct bench_run *run);
    void (*second)(struct bench_run *run);
    void (*teardown)(struct bench_run *run);
};

static inline uint64_t bench_total(const struct bench_plan *plan)
{
    return plan->warmup + plan->batches * plan->batch + plan->singles;
}

/*
 * The measuring loop. `many` performs that many operations; it is a static function named at the
 * call, so it is inlined into the loops and nothing is called through a pointer.
 */
static inline __attribute__((always_inline)) void bench_drive(
    struct bench_run *run, void (*many)(void *state, uint64_t count), void *state)
{
    struct bench_tape *tape = run->tape;
    const struct bench_plan plan = run->plan;

    many(state, plan.warmup);
    uint64_t last_ns = machine_now_ns();
    for (uint64_t i = 0; i < plan.batches; i++) {
        many(state, plan.batch);
        uint64_t now_ns = machine_now_ns();
        tape->batch_ns[i] = (double)(now_ns - last_ns) / (double)plan.batch;
        last_ns = now_ns;
    }
    for (uint64_t i = 0; i < plan.singles; i++) {
        many(state, 1);
        uint64_t now_ns = machine_now_ns();
        tape->single_ns[i] = (double)(now_ns - last_ns);
        last_ns = now_ns;
    }
    tape->batches = plan.batches;
    tape->singles = plan.singles;
}

/* The run is void unless this holds; to be called by `first` only. */
static inline void bench_check(struct bench_run *run, bool holds)
{
    if (!holds)
        run->tape->wrong = true;
}

/*
 * A private buffer of run->size bytes, filled with payload_fill(.., seed): what a sender copies
 * from. Page-aligned, memory present, never freed (the process is about to end). Ends the process
 * when there is none to be had.
 */
void *bench_source(const struct bench_run *run, uint64_t seed);

#endif
