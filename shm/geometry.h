/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_GEOMETRY_H
#define DI_SHM_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/layout.h"

/*
 * Geometry: sizes and offsets of one side's segments, derived from its header. A private copy: what
 * was checked here never changes again, whatever happens to the header in shared memory.
 */
struct di_geometry {
    struct di_outbox_header header;
    uint64_t returns_at;                  /* offset of the return ring in the outbox */
    uint64_t class_at[DI_CLASSES_MAX];    /* offset of each class in a pool segment */
    uint32_t class_first[DI_CLASSES_MAX]; /* index of its first block in the segment */
    uint32_t blocks;                      /* in one pool segment */
    uint32_t blocks_max;                  /* in all segments the pool may grow to */
    uint32_t immediate_max;               /* payload bytes that travel in the ring */
};

/*
 * Cuts a pool of about pool_bytes into classes: sizes fall by powers of four from max_msg, the
 * largest gets two thirds of the bytes (one block at least), each next two thirds of the rest. Where
 * max_msg is less than a page, an eighth goes first to pages, for loans that ask for their alignment.
 * The return ring is not known yet: di_geometry_set_returns().
 */
void di_geometry_plan(struct di_geometry *geometry, uint32_t slots, uint32_t max_msg,
                      uint64_t pool_bytes, uint64_t pool_max);

/* Sizes the return ring for a peer with the given number of blocks, and so the outbox. */
void di_geometry_set_returns(struct di_geometry *geometry, uint32_t peer_blocks);

/*
 * Derives everything from header (a copy the peer cannot change), or refuses. own_blocks: the
 * blocks this side owns, for which the peer's return ring must have room. bytes_max caps outbox and
 * pool together, before anything is allocated. Errors: VERSION (both numbers), CORRUPT, LIMIT.
 */
enum duct_err di_geometry_check(struct di_geometry *geometry, const struct di_outbox_header *header,
                                uint64_t outbox_size, uint32_t own_blocks, uint64_t bytes_max);

/* Where block index (below blocks) of a segment lies, and how large it is. */
uint64_t di_geometry_block(const struct di_geometry *geometry, uint32_t index, uint32_t *size);

/* Bytes of all segments the side may come to have. */
uint64_t di_geometry_bytes_max(const struct di_geometry *geometry);

#endif
