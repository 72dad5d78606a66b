/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/distance.h"

#include <ck_pr.h>

/*
 * Looks at the far slot, and pauses between two: each look takes its line, so they are few. A pause is 14
 * to 45 nanoseconds on the x86-64 CPUs of the last years, a try thus some 3 to 10 microseconds at the
 * most: a sender that has been trodden on takes that long to get 128 slots ahead. With 12 looks single
 * loans stayed slow, at 51 to 98 nanoseconds; with 40 they take 25. What streams already gains nothing.
 */
#define LOOKS  40u
#define PAUSES 6u

void di_distance_keep(struct di_distance *distance, struct di_ring_in *ring)
{
    uint32_t half = (uint32_t)(ring->mask + 1) / 2;
    uint32_t ahead = half < DI_DISTANCE_AHEAD ? half : DI_DISTANCE_AHEAD;

    if (distance->skip > 0) {
        distance->skip--;
        return;
    }
    for (unsigned look = 0; look < LOOKS; look++) {
        for (unsigned i = 0; i < PAUSES; i++)
            ck_pr_stall();
        if (di_ring_look_ahead(ring, ahead)) {
            distance->backoff = 0;
            return;
        }
    }
    distance->backoff = distance->backoff < DI_DISTANCE_SKIP_MIN       ? DI_DISTANCE_SKIP_MIN
                        : distance->backoff < DI_DISTANCE_SKIP_MAX / 2 ? 2 * distance->backoff
                                                                       : DI_DISTANCE_SKIP_MAX;
    distance->skip = distance->backoff;
}
