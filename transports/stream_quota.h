/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_QUOTA_H
#define DI_TRANSPORTS_STREAM_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/*
 * How many pipes a listener may have, and has. It outlives the listener, as its pipes do, and is given back by
 * whichever thread a pipe has moved to. The count of pipes is the count of references but one.
 *
 * Edges of this file:
 *   [quota]  everything that was done with it, reference dropped with release  |  the last one, which frees it
 */
struct stream_quota {
    _Atomic uint32_t refs; /* the listener's, and that of each pipe */
    uint32_t max;          /* pipes */
};

/* NULL: no memory. */
static inline struct stream_quota *stream_quota_open(uint32_t max)
{
    struct stream_quota *quota = malloc(sizeof(*quota));

    if (quota == NULL)
        return NULL;
    atomic_init(&quota->refs, 1);
    quota->max = max;
    return quota;
}

/* One pipe more, if there may be. The listener's thread, which alone makes them more. */
static inline bool stream_quota_take(struct stream_quota *quota)
{
    /* Relaxed, both: the count alone, and it can only have fallen since. */
    if (atomic_load_explicit(&quota->refs, memory_order_relaxed) > quota->max)
        return false;
    atomic_fetch_add_explicit(&quota->refs, 1, memory_order_relaxed);
    return true;
}

/* A pipe less, or the listener is gone. NULL is allowed. Any thread. */
static inline void stream_quota_give(struct stream_quota *quota)
{
    /* [quota] publishes: what was done with it. */
    if (quota == NULL || atomic_fetch_sub_explicit(&quota->refs, 1, memory_order_release) != 1)
        return;
    /* [quota] observes: what all others did with it. */
    atomic_thread_fence(memory_order_acquire);
    free(quota);
}

#endif
