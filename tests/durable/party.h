/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DURABLE_PARTY_H
#define TESTS_DURABLE_PARTY_H

#include <duct/duct.h>

#include "tests/durable/ledger.h"

/*
 * A process at one end of a durable pipe: it sends numbered messages in every way, receives, holds some for a while
 * and releases them in any order, and notes each step in a ledger that outlives it. In the end everything whose send
 * returned OK must have been delivered: in order, whole, marked where it came again, and never after its release
 * had returned.
 */
#define HELD_MAX 5u

struct party {
    struct ledger ways[2]; /* by the end that sends: 0 dials, 1 listens */
    _Atomic uint32_t stop; /* send nothing new, go when everything has been released */
    _Atomic uint64_t turns[2];
    _Atomic uint32_t quiet[2]; /* that end sends nothing any more */
    char fault[256];
};

/* Random numbers of this process's own. */
void party_seed(uint64_t seed);
uint32_t party_random(uint32_t limit);

/* The life of one end: until stop, or until it has sent and received `quota` messages (0: no such end). Returns 0; a
 * fault is told in the party, and ends the process with status 3. */
int party_live(struct party *party, const char *url, int end, enum duct_io io, unsigned quota);

#endif
