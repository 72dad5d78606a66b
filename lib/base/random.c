/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/random.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* The finaliser of splitmix64: every bit of the input reaches every bit of the output. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/*
 * For a sandbox whose filter forbids getrandom: the 16 random bytes that the kernel gives to every
 * program it starts, stirred with what tells two calls, two threads and a forked child apart.
 */
static uint64_t without_getrandom(void)
{
    static _Atomic uint64_t calls;
    uint64_t seed[2] = {0, 0};
    const void *given = (const void *)getauxval(AT_RANDOM); /* the ABI's: an address as a number */
    if (given != NULL)
        memcpy(seed, given, sizeof seed);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    /* relaxed: only distinct values matter, nothing is ordered by them */
    uint64_t call = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    uint64_t x = mix(seed[0] + (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
    return mix(x ^ mix(seed[1] ^ ((uint64_t)getpid() << 32)) ^ mix(call + 1));
}

uint64_t di_random_u64(void)
{
    for (;;) {
        uint64_t value = 0;
        ssize_t got = getrandom(&value, sizeof value, 0);
        if (got < 0 && errno != EINTR)
            value = without_getrandom();
        else if (got != (ssize_t)sizeof value)
            continue; /* a signal while the generator was not yet seeded */
        if (value != 0)
            return value;
    }
}
