/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_STATS_H
#define DUCT_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

/*
 * Counters of one pipe, as seen from this side, since it was opened. Plain numbers that only grow.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct duct_pipe;

struct duct_pipe_stats {
    size_t size; /* sizeof(struct duct_pipe_stats), set by the caller */
    uint64_t sent_msgs;
    uint64_t sent_bytes;
    uint64_t received_msgs;
    uint64_t received_bytes;
    uint64_t parks;           /* times a call went to sleep on this pipe */
    uint64_t doorbells_rung;  /* times this side woke the peer (a system call each) */
    uint64_t doorbells_heard; /* times the peer woke this side */
    uint64_t full_ring;       /* sends that found no free slot */
    uint64_t full_pool;       /* loans that found no free block */
    uint64_t full_held;       /* receives that found no room for one more held message */
    uint64_t refused_too_big; /* messages refused for their size */
    uint64_t dropped_unsent;  /* loans discarded, and those given up by close */
    uint64_t fences;          /* full fences executed for the peer's park word */
    uint64_t mode_switches;   /* times this side's receiver changed its fence mode */
    uint64_t pool_grown;      /* segments added to this side's pool */
    uint64_t chose_shared;    /* times auto:// took shared memory */
    uint64_t chose_stream;    /* times it took the stream */
    uint64_t sessions;        /* times there was a peer, of a pipe that reconnects */
    uint64_t redials;         /* attempts to dial again */
    uint64_t lost_msgs; /* sent in a session that ended, and not known to have been taken: no fewer
                                  than were lost, and more by those whose taking was not heard of */
    uint64_t
        lost_received; /* arrived in a session that ended, and not received when the next one ended */
    uint64_t
        zerocopy_sends; /* sends that the kernel took without a copy, with the option zerocopy */
    uint64_t
        zerocopy_copied; /* of those, the ones it says it copied later after all, as to a peer on
                                  the same machine */
    uint64_t zerocopy_refused; /* sends for which it, or the loop, could not: copied at once */
};

#define DUCT_PIPE_STATS_INIT DUCT_SIZED(struct duct_pipe_stats)

/*
 * Fills stats, as far as stats->size reaches. Thread: the pipe's. On a half of a split pipe, only the
 * counters of that half's direction move.
 */
DUCT_API enum duct_err duct_pipe_stats(struct duct_pipe *pipe,
                                       struct duct_pipe_stats *stats) DUCT_NODISCARD;

#ifdef __cplusplus
}
#endif

#endif
