/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_RETURNS_H
#define DI_SHM_RETURNS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/crash.h"
#include "shm/layout.h"
#include "shm/peer.h"
#include "shm/pool.h"

/*
 * The return ring: blocks of the peer's pool that this side has finished with, in any order.
 *
 * It has at least as many entries as the peer has blocks, and no block is held twice, so that it
 * cannot overflow and putting needs no look at the other end. Entries become visible by one count,
 * returned.
 *
 * Edges of this file:
 *   [return]  returned stored with release after the entries and our reads of the blocks
 *             |  returned loaded with acquire
 */

/* The end that gives back. */
struct di_returns_out {
    _Atomic uint64_t *entries;
    uint64_t mask;
    uint64_t put;       /* entries ever put */
    uint64_t published; /* and of those, shown to the owner */
    _Atomic uint64_t *returned;
};

/* The owner's end. */
struct di_returns_in {
    const DI_PEER uint64_t *entries;
    uint64_t mask;
    uint64_t taken;
    const DI_PEER uint64_t *returned;
};

static inline void di_returns_put(struct di_returns_out *returns, uint64_t ref)
{
    /* Relaxed: published by the count. */
    atomic_store_explicit(&returns->entries[returns->put & returns->mask], ref,
                          memory_order_relaxed);
    DI_CRASH_POINT("return.written");
    returns->put++;
}

static inline void di_returns_publish(struct di_returns_out *returns)
{
    returns->published = returns->put;
    /* [return] publishes: the entries, and that our reads of those blocks are over. */
    atomic_store_explicit(returns->returned, returns->put, memory_order_release);
    DI_CRASH_POINT("return.published");
}

/*
 * Takes what came back into the pool: at most as many as were out. Returns how many, or -1 if the
 * peer returned what it does not have: the count out of range, a block that is not with it, a
 * generation that is over.
 */
int64_t di_returns_collect(struct di_returns_in *returns, struct di_pool *pool);

#endif
