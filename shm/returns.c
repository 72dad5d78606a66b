/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/returns.h"

/*
 * Edges of this file, explained in returns.h:
 *   [return]  returned stored with release after the entries  |  returned loaded with acquire
 */

int64_t di_returns_collect(struct di_returns_in *returns, struct di_pool *pool)
{
    /* [return] observes: the entries below it, and that the peer has read those blocks. */
    uint64_t returned = di_peer_load_acquire(returns->returned);
    uint64_t count = returned - returns->taken;

    if (count > pool->sent)
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t ref = di_peer_load(&returns->entries[returns->taken & returns->mask]);

        returns->taken++;
        if (!di_pool_give_back(pool, ref, DI_BLOCK_SENT))
            return -1;
    }
    return (int64_t)count;
}
