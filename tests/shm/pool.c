/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "shm/pool.h"
#include "shm/returns.h"

/* The pool against a reference that knows only who has which block. */

enum { BLOCKS_MAX = 4096 };

struct reference {
    struct di_pool pool;
    struct di_geometry geometry;
    unsigned char *segments[8];
    enum di_block_state state[BLOCKS_MAX];
    uint32_t generation[BLOCKS_MAX];
};

static uint64_t seed = 1;

static uint32_t rnd(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % below;
}

static void add_segment(struct reference *r)
{
    uint32_t n = r->pool.segment_count;

    r->segments[n] = aligned_alloc(DI_PAGE, r->geometry.header.pool_bytes);
    cr_assert_eq(di_pool_add(&r->pool, r->segments[n]), DUCT_OK);
    cr_assert_eq(r->pool.segment_count, n + 1);
}

static void open_reference(struct reference *r, uint32_t max_msg, uint64_t pool, uint32_t segments)
{
    memset(r, 0, sizeof(*r));
    di_geometry_plan(&r->geometry, 64, max_msg, pool, pool * segments);
    di_pool_init(&r->pool, &r->geometry);
    add_segment(r);
    cr_assert_leq(r->geometry.blocks * segments, BLOCKS_MAX);
}

static void close_reference(struct reference *r)
{
    for (uint32_t i = 0; i < r->pool.segment_count; i++)
        free(r->segments[i]);
    di_pool_fini(&r->pool);
}

/* Nobody else has it, it is large enough, aligned, and the smallest kind that was free. */
static void take(struct reference *r, size_t size, size_t align)
{
    bool has = di_pool_has(&r->pool, size, align);
    uint32_t index = di_pool_take(&r->pool, size, align);

    cr_assert_eq(has, index != DI_BLOCK_NONE);
    for (uint32_t i = 0; i < r->pool.block_count; i++) {
        struct di_block *block = &r->pool.blocks[i];
        if (r->state[i] != DI_BLOCK_FREE || block->size < size || block->size % align != 0)
            continue;
        cr_assert_neq(index, DI_BLOCK_NONE, "block %u is free and fits", i);
        cr_assert_leq(r->pool.blocks[index].size, block->size);
    }
    if (index == DI_BLOCK_NONE)
        return;
    struct di_block *block = &r->pool.blocks[index];
    cr_assert_eq(r->state[index], DI_BLOCK_FREE, "block %u was given out twice", index);
    cr_assert(block->size >= size && (uintptr_t)block->data % align == 0);
    cr_assert_neq(block->generation, r->generation[index]);
    r->state[index] = DI_BLOCK_LOANED;
    r->generation[index] = block->generation;
    memset(block->data, (int)index, block->size);
}

static void step(struct reference *r)
{
    uint32_t index = rnd(r->pool.block_count + 3);
    uint32_t generation = index < r->pool.block_count ? r->generation[index] + rnd(2) * rnd(3) : 1;
    uint64_t ref = di_block_ref(index, generation);
    bool right = index < r->pool.block_count && generation == r->generation[index];
    struct di_block *block;

    switch (rnd(4)) {
    case 0:
    case 1:
        take(r, rnd(r->geometry.header.max_msg + 1), rnd(4) == 0 ? DI_PAGE : DI_LINE);
        break;
    case 2:
        block = di_pool_loaned(&r->pool, ref);
        cr_assert_eq(block != NULL, right && r->state[index] == DI_BLOCK_LOANED);
        if (block != NULL) {
            di_pool_mark_sent(&r->pool, block);
            r->state[index] = DI_BLOCK_SENT;
        }
        break;
    default: {
        enum di_block_state from = rnd(2) ? DI_BLOCK_LOANED : DI_BLOCK_SENT;
        bool gone = di_pool_give_back(&r->pool, ref, from);
        cr_assert_eq(gone, right && r->state[index] == from);
        if (gone)
            r->state[index] = DI_BLOCK_FREE;
    }
    }
}

/* No block lost, none doubled, none overwritten. */
static void audit(struct reference *r)
{
    uint32_t loaned = 0, sent = 0, left = 0;

    for (uint32_t i = 0; i < r->pool.block_count; i++) {
        loaned += r->state[i] == DI_BLOCK_LOANED;
        sent += r->state[i] == DI_BLOCK_SENT;
        left += r->state[i] == DI_BLOCK_FREE;
        struct di_block *block = &r->pool.blocks[i];
        if (r->state[i] != DI_BLOCK_FREE)
            cr_assert(block->data[0] == (unsigned char)i &&
                      block->data[block->size - 1] == (unsigned char)i);
    }
    cr_assert(r->pool.loaned == loaned && r->pool.sent == sent);
    while (di_pool_has(&r->pool, 1, DI_LINE)) {
        take(r, 1, DI_LINE);
        cr_assert_neq(left--, 0);
    }
    cr_assert_eq(left, 0, "%u blocks are lost", left);
}

Test(pool, random_model)
{
    static const struct {
        uint32_t max_msg;
        uint64_t pool;
        uint32_t segments;
    } kinds[] = {{100, 16384, 1},
                 {4096, 16384, 4},
                 {65536, 196608, 1},
                 {5000, 65536, 6},
                 {1 << 20, 3 << 20, 1}};

    for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        struct reference *r = malloc(sizeof(*r));
        open_reference(r, kinds[k].max_msg, kinds[k].pool, kinds[k].segments);
        for (int i = 0; i < 20000; i++) {
            step(r);
            if (i % 3000 == 2999 && r->pool.segment_count < kinds[k].segments)
                add_segment(r);
        }
        audit(r);
        close_reference(r);
        free(r);
    }
}

/* A loan is found by its own reference, while it is one, and by no other. */
Test(pool, a_loan_is_found_by_its_name)
{
    struct reference *r = malloc(sizeof(*r));

    open_reference(r, 4096, 16384, 1);
    uint32_t index = di_pool_take(&r->pool, 100, DI_LINE);
    uint64_t ref = di_block_ref(index, r->pool.blocks[index].generation);
    cr_assert_eq(di_pool_loaned(&r->pool, ref), &r->pool.blocks[index]);
    cr_assert_null(di_pool_loaned(&r->pool, ref + (1ull << 32)));
    cr_assert_null(di_pool_loaned(&r->pool, di_block_ref(r->pool.block_count, 1)));
    cr_assert_null(di_pool_loaned(&r->pool, di_block_ref(UINT32_MAX, 1)));
    di_pool_mark_sent(&r->pool, &r->pool.blocks[index]);
    cr_assert_null(di_pool_loaned(&r->pool, ref));
    cr_assert(!di_pool_give_back(&r->pool, ref, DI_BLOCK_LOANED));
    cr_assert(di_pool_give_back(&r->pool, ref, DI_BLOCK_SENT));
    close_reference(r);
    free(r);
}

/* ---- The return ring, from a peer that lies ---- */

struct returning {
    struct reference r;
    uint64_t entries[4096];
    uint64_t returned;
    struct di_returns_in in;
};

static struct returning *open_returning(void)
{
    struct returning *t = calloc(1, sizeof(*t));

    open_reference(&t->r, 4096, 16384, 1);
    t->in = (struct di_returns_in){.entries = (const DI_PEER uint64_t *)t->entries,
                                   .mask = 4095,
                                   .returned = (const DI_PEER uint64_t *)&t->returned};
    for (int i = 0; i < 4; i++) {
        uint32_t index = di_pool_take(&t->r.pool, 100, DI_LINE);
        di_pool_mark_sent(&t->r.pool, &t->r.pool.blocks[index]);
        t->entries[i] = di_block_ref(index, t->r.pool.blocks[index].generation);
    }
    return t;
}

static void close_returning(struct returning *t)
{
    close_reference(&t->r);
    free(t);
}

#define RETURNS(expected, change)                                                        \
    do {                                                                                 \
        struct returning *t = open_returning();                                          \
        t->returned = 4;                                                                 \
        change;                                                                          \
        cr_expect_eq(di_returns_collect(&t->in, &t->r.pool), (expected), "%s", #change); \
        close_returning(t);                                                              \
    } while (0)

Test(returns, hostile)
{
    RETURNS(4, (void)0);
    RETURNS(0, t->returned = 0);
    RETURNS(3, t->returned = 3);
    RETURNS(-1, t->returned = 5);
    RETURNS(-1, t->returned = UINT64_MAX);
    RETURNS(-1, t->returned = 1ull << 32);
    RETURNS(-1, t->entries[2] = t->entries[1]);
    RETURNS(-1, t->entries[0] += 1ull << 32);
    RETURNS(-1, t->entries[0] -= 1ull << 32);
    RETURNS(-1, t->entries[3] = di_block_ref(UINT32_MAX, 1));
    RETURNS(-1, t->entries[3] = di_block_ref(t->r.pool.block_count, 1));
    RETURNS(-1, t->entries[3] = di_block_ref(0, 0));
    /* On loan to the application, and not with the peer. */
    RETURNS(-1, {
        uint32_t own = di_pool_take(&t->r.pool, 100, DI_LINE);
        t->entries[1] = di_block_ref(own, t->r.pool.blocks[own].generation);
    });
}

/* The count goes back, after some were taken. */
Test(returns, backwards)
{
    struct returning *t = open_returning();

    t->returned = 2;
    cr_assert_eq(di_returns_collect(&t->in, &t->r.pool), 2);
    t->returned = 1;
    cr_assert_eq(di_returns_collect(&t->in, &t->r.pool), -1);
    close_returning(t);
}
