/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_POOL_H
#define DI_SHM_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/geometry.h"

/*
 * The owner's bookkeeping of its payload blocks. All of it is private: the shared pool holds
 * payload and nothing else, so that no peer can touch a free list. One thread (the sender half's).
 *
 * A block is FREE, LOANED to the application, or SENT to the peer. Each loan gives it a new
 * generation, which travels in the descriptor and must come back with the return.
 *
 * Free blocks of a class form a list that is taken from the front. A block that comes back while few are
 * with the peer goes to the front: a ping-pong uses one block, which stays in the nearest cache. One that
 * comes back while many are out belongs to a stream and goes to the end: its lines have time to leave
 * the receiver's cache, from where they would have to be fetched before they can be written.
 */

enum di_block_state { DI_BLOCK_FREE, DI_BLOCK_LOANED, DI_BLOCK_SENT };

struct di_block {
    unsigned char *data;
    uint32_t size;
    uint32_t generation;
    uint32_t next; /* in the list of its class */
    uint16_t class_index;
    uint16_t state; /* enum di_block_state */
};

#define DI_BLOCK_NONE UINT32_MAX

struct di_pool {
    const struct di_geometry *geometry;
    struct di_block *blocks;
    uint32_t block_count; /* in all segments so far */
    uint32_t block_room;  /* as many fit into blocks */
    uint32_t segment_count;
    uint32_t loaned;
    uint32_t sent;
    uint32_t top[DI_CLASSES_MAX];  /* list of the free blocks of each class */
    uint32_t last[DI_CLASSES_MAX]; /* its end, where top is not DI_BLOCK_NONE */
};

/* geometry must outlive the pool. No segment yet: di_pool_add(). */
void di_pool_init(struct di_pool *pool, const struct di_geometry *geometry);
void di_pool_fini(struct di_pool *pool);

/* Makes room for the books of one more segment, so that di_pool_add() cannot fail. NOMEMORY. */
enum duct_err di_pool_reserve(struct di_pool *pool) DUCT_NODISCARD;

/* Adds the blocks of one more segment, mapped at base. NOMEMORY changes nothing. */
enum duct_err di_pool_add(struct di_pool *pool, unsigned char *base) DUCT_NODISCARD;

/* Takes the smallest free block of at least size bytes, on a multiple of align; DI_BLOCK_NONE if
 * there is none. size is at most max_msg. */
uint32_t di_pool_take(struct di_pool *pool, size_t size, size_t align);

/* The class that di_pool_take() would take from, or class_count. */
uint32_t di_pool_class(const struct di_pool *pool, size_t size, size_t align);

/* Takes the first block of a class that is not empty. */
static inline uint32_t di_pool_take_from(struct di_pool *pool, uint32_t class_index)
{
    uint32_t index = pool->top[class_index];
    struct di_block *block = &pool->blocks[index];

    pool->top[class_index] = block->next;
    block->state = DI_BLOCK_LOANED;
    block->generation++;
    pool->loaned++;
    return index;
}

/* Whether di_pool_take() would find one. */
bool di_pool_has(const struct di_pool *pool, size_t size, size_t align);

/* Takes back a block that was loaned (from the application) or sent (from the peer). False, and
 * nothing changed, if that is not so: an index out of range, another state, another generation. */
bool di_pool_give_back(struct di_pool *pool, uint64_t ref, enum di_block_state from);

/* The loaned block that ref names, or NULL. */
static inline struct di_block *di_pool_loaned(struct di_pool *pool, uint64_t ref)
{
    uint32_t index = di_ref_index(ref);

    if (index >= pool->block_count)
        return NULL;
    struct di_block *block = &pool->blocks[index];
    if (block->state != DI_BLOCK_LOANED || block->generation != di_ref_generation(ref))
        return NULL;
    return block;
}

/* The books of a pool that another process kept before: of one with all its blocks free, the given ones
 * are with the peer, each in the generation of its reference. No index is out of range or there twice. */
void di_pool_restore(struct di_pool *pool, const uint64_t *refs, uint32_t count);

/* Marks it sent. */
static inline void di_pool_mark_sent(struct di_pool *pool, struct di_block *block)
{
    block->state = DI_BLOCK_SENT;
    pool->loaned--;
    pool->sent++;
}

#endif
