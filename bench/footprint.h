/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What open pipes cost while nothing happens on them: memory, descriptors, CPU; and whether those
 * that are idle slow down the one that is not. Two processes, `pipes` default pipes between them.
 */
#ifndef BENCH_FOOTPRINT_H
#define BENCH_FOOTPRINT_H

#include <stdbool.h>
#include <stdint.h>

enum { FOOTPRINT_SIZES = 3 };
extern const unsigned footprint_pipes[FOOTPRINT_SIZES];

/*
 * Of one process, grown since it had its context but no pipe. `shared` is what it owns of shared
 * memory, all of which the kernel has allocated, touched or not; so private and shared together are
 * what the machine has less of. RSS and PSS are the kernel's own count of what is in page tables.
 */
struct footprint_side {
    int64_t rss_bytes, pss_bytes;
    int64_t private_bytes;
    int64_t shared_bytes;
    int64_t fds;
    double idle_cpu; /* share of one CPU while every pipe is idle */
};

struct footprint {
    unsigned pipes;
    struct footprint_side listener, dialler;
    /* From one message sent on one pipe until duct_context_wait() and a read have given it to a
     * process that slept. */
    double wake_p50_ns, wake_p99_ns;
};

/* False when the pipes could not be opened, or the measurement did not end well in time. */
bool footprint_measure(unsigned pipes, bool quick, struct footprint *footprint);

/* What the two processes together take of the machine. */
int64_t footprint_total_bytes(const struct footprint *footprint);

#endif
