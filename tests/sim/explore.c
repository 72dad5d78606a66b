/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: sim_explore [--seed N | --seeds FROM-TO | --hours H] [--twice] [--trace]
 *
 * Plays a random world for each seed: what may go wrong in it, who is in it, what they say and how they end follow
 * from the seed alone. Stops at the first failure, and says how to see it again. --hours goes on from FROM (1 by
 * default) for so long. --twice plays each seed twice and compares their histories.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/random_world.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/lsan_interface.h>
#endif

/* Of the processor's time, more than any world takes: a program that spins inside the library hangs, and does not come back
 * to be judged. */
#define HANGS_S 20

static uint64_t current;

static void hung(int signal)
{
    char text[100];

    (void)signal;
    int size =
        snprintf(text, sizeof(text), "FAILED  seed %llu: hangs; again: sim_explore --seed %llu\n",
                 (unsigned long long)current, (unsigned long long)current);
    if (write(1, text, (size_t)size) < 0)
        _exit(2);
    _exit(1);
}

static void print_note(void *user, int64_t now, const char *what, int64_t a, int64_t b)
{
    (void)user;
    printf("%14.6f ms  %-12s %lld %lld\n", (double)(now - 1000000000000) / 1e6, what, (long long)a,
           (long long)b);
}

struct outcome {
    uint64_t history;
    uint64_t bytes;
    bool good;
};

static struct outcome play(uint64_t seed, bool trace)
{
    static struct sim_world world;
    struct sim_random random;

    current = seed;
    sim_random_world(&random, seed);
    sim_world_open(&world, seed, &random.plan);
    if (trace) {
        printf("%s\n", random.words);
        di_sim_on_note(world.sim, print_note, NULL);
    }
    sim_play(&world, &random.script);
    struct outcome outcome = {.history = di_sim_history(world.sim),
                              .bytes = di_sim_counted(world.sim).bytes,
                              .good = world.failure[0] == '\0'};
    if (!outcome.good)
        printf(
            "FAILED  seed %llu: %s\n        %s\n        again: sim_explore --seed %llu --trace\n",
            (unsigned long long)seed, world.failure, random.words, (unsigned long long)seed);
    sim_world_close(&world);
    return outcome;
}

/* Whether something was left in memory that nobody knows any more; only a sanitizer can tell. */
static bool leaks(uint64_t seed)
{
#if defined(__SANITIZE_ADDRESS__)
    if (__lsan_do_recoverable_leak_check() != 0) {
        printf("FAILED  seed %llu: memory is lost; again: sim_explore --seed %llu\n",
               (unsigned long long)seed, (unsigned long long)seed);
        return true;
    }
#endif
    (void)seed;
    return false;
}

static bool explore(uint64_t seed, bool twice, bool trace)
{
    const struct itimerval limit = {.it_value = {.tv_sec = HANGS_S}};

    setitimer(ITIMER_PROF, &limit, NULL);
    struct outcome first = play(seed, trace);
    if (!first.good || leaks(seed))
        return false;
    if (twice && play(seed, false).history != first.history) {
        printf("FAILED  seed %llu: a second run had another history\n", (unsigned long long)seed);
        return false;
    }
    return true;
}

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    uint64_t from = 1, to = 200, seed;
    double hours = 0, begun = seconds(CLOCK_MONOTONIC);
    bool twice = false, trace = false, good = true;

    for (int i = 1; i < argc; i++) {
        char *end;
        if (strcmp(argv[i], "--twice") == 0)
            twice = true;
        else if (strcmp(argv[i], "--trace") == 0)
            trace = true;
        else if (i + 1 == argc)
            return fprintf(stderr, "sim_explore: %s needs a value\n", argv[i]), 2;
        else if (strcmp(argv[i], "--hours") == 0)
            hours = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--seed") == 0)
            from = to = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0) {
            from = strtoull(argv[++i], &end, 10);
            to = *end == '-' ? strtoull(end + 1, NULL, 10) : from;
        } else
            return fprintf(stderr, "sim_explore: what is %s?\n", argv[i]), 2;
    }
    signal(SIGPROF, hung);
    for (seed = from; good && (hours > 0 || seed <= to); seed++) {
        good = explore(seed, twice, trace);
        if (hours > 0 && seconds(CLOCK_MONOTONIC) - begun > hours * 3600)
            to = seed, hours = 0;
    }
    double used = seconds(CLOCK_PROCESS_CPUTIME_ID);
    printf("seeds %llu to %llu, %s; %.1f s of one core, %.0f seeds an hour\n",
           (unsigned long long)from, (unsigned long long)(seed - 1), good ? "no failure" : "FAILED",
           used, (double)(seed - from) / used * 3600);
    return good ? 0 : 1;
}
