/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/pool.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "shm/peer.h"

void di_pool_init(struct di_pool *pool, const struct di_geometry *geometry)
{
    memset(pool, 0, sizeof(*pool));
    pool->geometry = geometry;
    for (uint32_t c = 0; c < DI_CLASSES_MAX; c++)
        pool->top[c] = DI_BLOCK_NONE;
}

void di_pool_fini(struct di_pool *pool)
{
    free(pool->blocks);
    memset(pool, 0, sizeof(*pool));
}

/* So many blocks with the peer make a stream. */
#define STREAM_BLOCKS 4u

static void free_block(struct di_pool *pool, uint32_t index, bool at_end)
{
    struct di_block *block = &pool->blocks[index];
    uint32_t *top = &pool->top[block->class_index];
    uint32_t *last = &pool->last[block->class_index];

    block->state = DI_BLOCK_FREE;
    if (*top == DI_BLOCK_NONE) {
        block->next = DI_BLOCK_NONE;
        *top = *last = index;
    } else if (at_end) {
        block->next = DI_BLOCK_NONE;
        pool->blocks[*last].next = index;
        *last = index;
    } else {
        block->next = *top;
        *top = index;
    }
}

enum duct_err di_pool_reserve(struct di_pool *pool)
{
    uint32_t wanted = pool->block_count + pool->geometry->blocks;

    if (pool->block_room >= wanted)
        return DUCT_OK;
    struct di_block *blocks = realloc(pool->blocks, (size_t)wanted * sizeof(*blocks));
    if (blocks == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to keep the books of %u more blocks",
                       pool->geometry->blocks);
    pool->blocks = blocks;
    pool->block_room = wanted;
    return DUCT_OK;
}

enum duct_err di_pool_add(struct di_pool *pool, unsigned char *base)
{
    const struct di_geometry *geometry = pool->geometry;
    uint32_t first = pool->block_count;
    enum duct_err err = di_pool_reserve(pool);

    if (err != DUCT_OK)
        return err;
    pool->block_count = first + geometry->blocks;
    pool->segment_count++;
    for (uint32_t c = 0; c < geometry->header.class_count; c++) {
        /* In order of address: neighbours are prefetched. */
        for (uint32_t i = 0; i < geometry->header.classes[c].count; i++) {
            uint32_t in_segment = geometry->class_first[c] + i;
            struct di_block *block = &pool->blocks[first + in_segment];

            memset(block, 0, sizeof(*block));
            block->data = base + di_geometry_block(geometry, in_segment, &block->size);
            block->class_index = (uint16_t)c;
            free_block(pool, first + in_segment, true);
        }
    }
    return DUCT_OK;
}

uint32_t di_pool_class(const struct di_pool *pool, size_t size, size_t align)
{
    const struct di_outbox_header *header = &pool->geometry->header;

    for (uint32_t c = header->class_count; c-- > 0;) {
        /* A class whose size is a multiple of align begins on one, as all larger classes do. */
        if (header->classes[c].size >= size && pool->top[c] != DI_BLOCK_NONE &&
            header->classes[c].size % align == 0)
            return c;
    }
    return header->class_count;
}

uint32_t di_pool_take(struct di_pool *pool, size_t size, size_t align)
{
    uint32_t c = di_pool_class(pool, size, align);

    if (c == pool->geometry->header.class_count)
        return DI_BLOCK_NONE;
    return di_pool_take_from(pool, c);
}

bool di_pool_has(const struct di_pool *pool, size_t size, size_t align)
{
    return di_pool_class(pool, size, align) != pool->geometry->header.class_count;
}

bool di_pool_give_back(struct di_pool *pool, uint64_t ref, enum di_block_state from)
{
    uint32_t index = di_ref_index(ref);

    if (index >= pool->block_count)
        return false;
    index = di_peer_index(index, pool->block_count);
    struct di_block *block = &pool->blocks[index];
    if (block->state != from || block->generation != di_ref_generation(ref))
        return false;
    if (from == DI_BLOCK_LOANED)
        pool->loaned--;
    else
        pool->sent--;
    free_block(pool, index, from == DI_BLOCK_SENT && pool->sent >= STREAM_BLOCKS);
    return true;
}

void di_pool_restore(struct di_pool *pool, const uint64_t *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct di_block *block = &pool->blocks[di_ref_index(refs[i])];

        block->state = DI_BLOCK_SENT;
        block->generation = di_ref_generation(refs[i]);
    }
    pool->sent = count;
    for (uint32_t c = 0; c < DI_CLASSES_MAX; c++)
        pool->top[c] = DI_BLOCK_NONE;
    for (uint32_t i = 0; i < pool->block_count; i++) {
        if (pool->blocks[i].state == DI_BLOCK_FREE)
            free_block(pool, i, true);
    }
}
