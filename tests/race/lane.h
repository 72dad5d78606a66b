/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RACE_LANE_H
#define TESTS_RACE_LANE_H

#include <stdio.h>
#include <stdlib.h>

#include "shm/receiver.h"
#include "shm/sender.h"
#include "tests/must.h"

/*
 * Single-mapping mode: both sides of a pipe over the same memory of one process, each driven by a
 * thread. ThreadSanitizer sees a race only through one mapping, which the real thing never has.
 */
struct lane_side {
    struct di_geometry geometry;
    unsigned char *outbox;
    unsigned char *pool;
    int socket;
    struct di_sender sender;
    struct di_receiver receiver;
    _Atomic int posts;
    _Atomic int freed;
};

struct lane {
    struct lane_side side[2];
};

/* start: position of the first message, either way. */
void lane_open(struct lane *lane, uint32_t slots, uint32_t max_msg, uint64_t pool, uint64_t start,
               uint32_t cells_max);
void lane_close(struct lane *lane);

/* The calling thread receives on that side from now on. */
void lane_receive_here(struct lane_side *side);

/* Sleeps on the word of a sleeper; false after ten seconds, which is a lost wake-up. */
bool lane_sleep(const struct di_sleeper *sleeper, uint32_t bell);

/* A cheap generator; each thread has its own. */
static inline uint32_t lane_random(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 33);
}

void lane_fill(void *data, size_t size, uint64_t seed);
bool lane_filled(const void *data, size_t size, uint64_t seed);

/* How often that side's socket was rung since it was last asked. */
unsigned lane_rings(const struct lane_side *side);

#endif
