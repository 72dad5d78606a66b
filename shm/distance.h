/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DISTANCE_H
#define DI_SHM_DISTANCE_H

#include <stdint.h>

#include "shm/ring.h"

/*
 * Keeping one's distance: what makes a stream fast.
 *
 * A receiver on the sender's heels takes every line from it the moment it is written, each by a
 * round trip of its own between the cores, and both crawl: some 10 million small messages a second,
 * where the same lines fetched in a row move ten to thirty times as many. So a spinning receiver
 * that ran dry does not poll the next slot at once. It looks, for some microseconds at the most, at a slot
 * that is a good part of a ring further on, whose line the sender does not work on yet. When that
 * has been written there is a row to be fetched.
 *
 * It must not cost those who do not stream. So it is tried now and then, and kept up only while it
 * pays: each try that ends without the far slot being written doubles the number of dry spells
 * until the next, up to one in DI_DISTANCE_SKIP_MAX; the first that succeeds resets it. A ping-pong
 * thus loses some microseconds in four thousand round trips, a stream gains its order of magnitude
 * within a few.
 */
#define DI_DISTANCE_SKIP_MIN 32u
#define DI_DISTANCE_SKIP_MAX 4096u

/* How far ahead to look, at most: 128 slots are 8 KiB. */
#define DI_DISTANCE_AHEAD 128u

struct di_distance {
    uint32_t skip;    /* dry spells until the next try */
    uint32_t backoff; /* and until the one after, should that fail */
};

/* The receiver ran dry and is about to spin: keeps the distance, or returns at once. */
void di_distance_keep(struct di_distance *distance, struct di_ring_in *ring);

#endif
