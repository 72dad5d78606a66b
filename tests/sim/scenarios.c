/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: sim_scenarios [--list] [--seeds N] [--trace] [NAME...]
 *
 * Plays the named scenarios, or all, with seeds 1 to N (5 by default), twice each. A failure names its scenario and
 * seed, and what to type to see it again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenarios.h"

static void print_note(void *user, int64_t now, const char *what, int64_t a, int64_t b)
{
    (void)user;
    printf("%14.6f ms  %-12s %lld %lld\n", (double)(now - 1000000000000) / 1e6, what, (long long)a,
           (long long)b);
}

static bool play(const struct sim_scenario *scenario, uint64_t seed, bool edges, bool trace)
{
    static struct sim_world world;
    struct di_sim_plan plan = scenario->plan;

    plan.edges = edges;
    plan.polls = edges; /* an edge is what a poll may miss */
    sim_world_open(&world, seed, &plan);
    if (trace)
        di_sim_on_note(world.sim, print_note, NULL);
    if (scenario->play != NULL)
        scenario->play(&world, scenario);
    else
        sim_play(&world, &scenario->script);
    bool good = world.failure[0] == '\0';
    if (!good)
        printf("FAILED  %s, seed %llu, %s: %s\n        again: sim_scenarios --seed %llu %s\n",
               scenario->name, (unsigned long long)seed, edges ? "edges" : "levels", world.failure,
               (unsigned long long)seed, scenario->name);
    sim_world_close(&world);
    return good;
}

static bool wanted(const char *name, char **names, int count)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return count == 0;
}

int main(int argc, char **argv)
{
    uint64_t first = 1, last = 5;
    bool list = false, trace = false;
    unsigned played = 0, failed = 0;
    int at = 1;

    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--seeds") == 0 && at + 1 < argc)
            last = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--seed") == 0 && at + 1 < argc)
            first = last = strtoull(argv[++at], NULL, 10);
        else if (strcmp(argv[at], "--trace") == 0)
            trace = true;
        else
            list = true;
    }
    for (unsigned i = 0; i < sim_scenario_count; i++) {
        if (list)
            puts(sim_scenarios[i].name);
        if (list || !wanted(sim_scenarios[i].name, argv + at, argc - at))
            continue;
        bool good = true;
        for (uint64_t seed = first; seed <= last && good; seed++)
            good = play(&sim_scenarios[i], seed, false, trace) &&
                   play(&sim_scenarios[i], seed, true, trace);
        played++;
        failed += !good;
    }
    printf("%u scenarios, %u failed\n", played, failed);
    return failed > 0 || (played == 0 && !list);
}
