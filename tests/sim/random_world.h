/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_RANDOM_WORLD_H
#define TESTS_SIM_RANDOM_WORLD_H

#include "tests/sim/pair.h"

/* A world, and a script for those in it, drawn from a seed. */
struct sim_random {
    struct di_sim_plan plan;
    struct sim_script script;
    uint64_t bytes; /* as many as pass in a few seconds */
    char dial[300], listen[200];
    char words[1100]; /* for people: what was drawn */
};

void sim_random_world(struct sim_random *random, uint64_t seed);

#endif
