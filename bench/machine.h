/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine under the benchmark: its clock, its CPUs, and how far apart two of them are right
 * now.
 *
 * A virtual machine's CPUs are moved between host cores while we measure, so the price of handing a
 * cache line from one to the other changes under our feet, within seconds and by a factor of four.
 * No figure that crosses CPUs means anything without the price of a line at that moment; the probe
 * below supplies it, before and after each run.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

enum {
    MACHINE_LINE_BYTES = 64,
    /*
     * Lines come in pairs to the prefetcher; words that must not drag each other along stand this
     * far apart.
     */
    MACHINE_LINE_APART = 128,
    MACHINE_PROBE_LINES = 64,
    MACHINE_CPUS_MAX = 256,
};

/*
 * Nanoseconds on CLOCK_MONOTONIC; about 20 ns a call through the vDSO, which is why short
 * operations are batched.
 */
static inline uint64_t machine_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* How many CPUs this process may run on. */
unsigned machine_cpu_count(void);

/*
 * The id of the index-th CPU this process may run on, wrapping round; -1 if that cannot be learnt.
 */
int machine_cpu_at(unsigned index);

/* Keeps the calling thread on one CPU. False when the kernel refuses. */
bool machine_pin(int cpu);

/*
 * Words on lines of their own, in memory both processes map, zeroed before the first use. Many of
 * them, used in turn: a line's price depends on where its address is homed on the die, by +-100 ns,
 * so one line tells as much of its own luck as of the distance.
 */
struct machine_line {
    _Alignas(MACHINE_LINE_APART) _Atomic uint64_t word;
};

struct machine_probe {
    struct machine_line ping[MACHINE_PROBE_LINES]; /* written by the measuring side */
    struct machine_line pong[MACHINE_PROBE_LINES]; /* written by the echoing side */
};

/*
 * The two halves of a probe, to be called at the same time from two processes on different CPUs.
 * Takes about a millisecond near and four far. Unbounded if the other side dies: the caller's
 * parent holds the deadline. The measuring half returns the median over batches, in ns per round
 * trip. Both may be called again on the same words.
 */
double machine_probe_measure(struct machine_probe *probe);
void machine_probe_echo(struct machine_probe *probe);

/* True when two probes are within a quarter of each other: the CPUs did not move between them. */
bool machine_probes_agree(double a_ns, double b_ns);

/*
 * One process per CPU that spins at SCHED_IDLE: it gives way to anything else at once, yet the CPU
 * never halts. Without them a wake-up between halted virtual CPUs costs a trip through the
 * hypervisor, and that is what is measured.
 */
struct machine_spinners {
    pid_t pids[MACHINE_CPUS_MAX];
    unsigned count;
};

bool machine_spinners_start(struct machine_spinners *spinners);
void machine_spinners_stop(struct machine_spinners *spinners);

#endif
