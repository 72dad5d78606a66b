/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "shm/geometry.h"

/* What a plan must be for any options, what a check must refuse, and that the two agree. */

static void check_plan(uint32_t slots, uint32_t max_msg, uint64_t pool, uint64_t pool_max,
                       uint32_t peer_blocks)
{
    struct di_geometry g, checked;
    uint64_t end = 0;

    memset(&checked, 0, sizeof(checked));
    di_geometry_plan(&g, slots, max_msg, pool, pool_max);
    di_geometry_set_returns(&g, peer_blocks);
    cr_assert(g.header.class_count >= 1 && g.header.class_count <= DI_CLASSES_MAX);
    cr_assert_geq(g.header.classes[0].size, max_msg);
    cr_assert_eq(g.header.classes[0].size % DI_PAGE, 0, "the largest class serves pages");
    cr_assert(g.immediate_max <= max_msg && g.immediate_max <= DI_IMMEDIATE_MAX);
    cr_assert(di_slots_of(g.immediate_max) * 2 <= slots || di_slots_of(g.immediate_max) == 1);
    cr_assert(g.blocks >= 1 && g.blocks_max <= DI_BLOCKS_MAX);
    /* Blocks follow each other without a gap or an overlap, aligned to a line. */
    uint32_t step = g.blocks < 5000 ? 1 : g.blocks / 5000;
    for (uint32_t i = 0; i < g.blocks; i += step) {
        uint32_t size;
        uint64_t at = di_geometry_block(&g, i, &size);
        cr_assert(at % DI_LINE == 0 && size % DI_LINE == 0 && size >= DI_LINE);
        cr_assert(step > 1 || at == end);
        end = at + size;
        cr_assert_leq(end, g.header.pool_bytes);
    }
    cr_assert_leq(g.header.pool_bytes - end, step == 1 ? DI_PAGE : UINT64_MAX);
    cr_assert_geq(g.header.returns, peer_blocks);
    cr_assert_leq(g.returns_at + (uint64_t)g.header.returns * 8, g.header.outbox_bytes);
    cr_assert(g.header.pool_segments_max == 1 ||
              g.header.pool_segments_max * g.header.pool_bytes <= pool_max);
    /* The peer accepts it, and sees the same. */
    cr_assert_eq(
        di_geometry_check(&checked, &g.header, g.header.outbox_bytes, peer_blocks, UINT64_MAX),
        DUCT_OK, "slots %u max_msg %u pool %llu: %s", slots, max_msg, (unsigned long long)pool,
        duct_err_detail());
    cr_assert_eq(memcmp(&g, &checked, sizeof(g)), 0);
}

Test(geometry, plans)
{
    static const uint32_t sizes[] = {1,    2,    39,    40,    41,    63,      64,      65,
                                     208,  209,  511,   512,   513,   4095,    4096,    4097,
                                     5000, 8191, 16384, 65535, 65536, 1000003, 1 << 24, 1 << 30};
    static const uint64_t pools[] = {1, 2, 3, 10, 1000};

    for (uint32_t slots = DI_SLOTS_MIN; slots <= DI_SLOTS_MAX; slots *= 2) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            for (unsigned p = 0; p < sizeof(pools) / sizeof(pools[0]); p++) {
                uint64_t pool = pools[p] * sizes[i] < 16384 ? 16384 : pools[p] * sizes[i];
                if (pool > 1ull << 33)
                    continue;
                check_plan(slots, sizes[i], pool, pool, 1);
                if (slots == 64)
                    check_plan(slots, sizes[i], pool, pool * 100, 1 << (i % 20));
            }
        }
    }
}

/* ---- Headers that lie ---- */

static struct di_geometry good(void)
{
    struct di_geometry g;

    di_geometry_plan(&g, 256, 65536, 196608, 196608);
    di_geometry_set_returns(&g, 30);
    return g;
}

#define REFUSED(expected, change)                                                                  \
    do {                                                                                           \
        struct di_geometry g = good(), out;                                                        \
        struct di_outbox_header *h = &g.header;                                                    \
        uint64_t size = g.header.outbox_bytes;                                                     \
        uint64_t most = UINT64_MAX;                                                                \
        uint32_t own = 30;                                                                         \
        (void)h, (void)most, (void)own;                                                            \
        change;                                                                                    \
        cr_expect_eq(di_geometry_check(&out, h, size, own, most), expected, "%s: got %s", #change, \
                     duct_err_detail());                                                           \
    } while (0)

Test(geometry, hostile_headers)
{
    REFUSED(DUCT_OK, (void)0);
    REFUSED(DUCT_ECORRUPT, h->magic ^= 1);
    REFUSED(DUCT_EVERSION, h->version++);
    REFUSED(DUCT_EVERSION, h->version = 0);
    REFUSED(DUCT_ECORRUPT, h->slots = 0);
    REFUSED(DUCT_ECORRUPT, h->slots = 1);
    REFUSED(DUCT_ECORRUPT, h->slots = 255);
    REFUSED(DUCT_ECORRUPT, h->slots = 131072);
    REFUSED(DUCT_ECORRUPT, h->slots = 1u << 31);
    REFUSED(DUCT_ECORRUPT, h->slots = 512);
    REFUSED(DUCT_ECORRUPT, h->returns = 0);
    REFUSED(DUCT_ECORRUPT, h->returns = 16);
    REFUSED(DUCT_ECORRUPT, h->returns = 33);
    REFUSED(DUCT_ECORRUPT, h->returns = 1u << 31);
    REFUSED(DUCT_ECORRUPT, own = 33);
    REFUSED(DUCT_ECORRUPT, h->class_count = 0);
    REFUSED(DUCT_ECORRUPT, h->class_count = DI_CLASSES_MAX + 1);
    REFUSED(DUCT_ECORRUPT, h->class_count = UINT32_MAX);
    REFUSED(DUCT_ECORRUPT, h->class_count--);
    REFUSED(DUCT_ECORRUPT, h->classes[0].size = 0);
    REFUSED(DUCT_ECORRUPT, h->classes[0].size += 1);
    REFUSED(DUCT_ECORRUPT, h->classes[0].size = UINT32_MAX - 63);
    /* Alone, and else consistent: only what is no multiple of a line is refused. */
    REFUSED(DUCT_OK, (h->class_count = 1, h->classes[0].count = 1, h->classes[0].size = 65600,
                      h->pool_bytes = 69632));
    REFUSED(DUCT_ECORRUPT, (h->class_count = 1, h->classes[0].count = 1, h->classes[0].size = 65601,
                            h->pool_bytes = 69632));
    REFUSED(DUCT_ECORRUPT, h->classes[0].count = 0);
    REFUSED(DUCT_ECORRUPT, h->classes[0].count = UINT32_MAX);
    REFUSED(DUCT_ECORRUPT, h->classes[0].count = (1u << 20) + 1);
    REFUSED(DUCT_ECORRUPT, h->classes[1].size = h->classes[0].size);
    /* Classes of one block each, else consistent: refused where they do not fall. */
    REFUSED(DUCT_OK,
            (h->class_count = 2, h->classes[0].count = h->classes[1].count = 1,
             h->classes[0].size = 69632, h->classes[1].size = 65536, h->pool_bytes = 135168));
    REFUSED(DUCT_ECORRUPT,
            (h->class_count = 2, h->classes[0].count = h->classes[1].count = 1,
             h->classes[0].size = 65536, h->classes[1].size = 69632, h->pool_bytes = 135168));
    REFUSED(DUCT_ECORRUPT,
            (h->class_count = 2, h->classes[0].count = h->classes[1].count = 1,
             h->classes[0].size = 65536, h->classes[1].size = 65536, h->pool_bytes = 131072));
    /* As many blocks as there may be, and a few more: each of them would make us allocate. */
    REFUSED(DUCT_OK, (h->class_count = 1, h->classes[0].count = 16384, h->pool_segments_max = 64,
                      h->pool_bytes = 16384ull * h->classes[0].size));
    REFUSED(DUCT_ECORRUPT,
            (h->class_count = 1, h->classes[0].count = 16385, h->pool_segments_max = 64,
             h->pool_bytes = 16385ull * h->classes[0].size));
    REFUSED(DUCT_ECORRUPT, h->max_msg = h->classes[0].size + 1);
    REFUSED(DUCT_ECORRUPT, h->max_msg = UINT32_MAX);
    REFUSED(DUCT_ECORRUPT, h->pool_bytes += 4096);
    REFUSED(DUCT_ECORRUPT, h->pool_bytes = 0);
    REFUSED(DUCT_ECORRUPT, h->pool_bytes = UINT64_MAX);
    REFUSED(DUCT_ECORRUPT, h->pool_segments_max = 0);
    REFUSED(DUCT_ECORRUPT, h->pool_segments_max = DI_POOL_SEGMENTS_MAX + 1);
    REFUSED(DUCT_ECORRUPT, h->pool_segments_max = UINT32_MAX);
    REFUSED(DUCT_ECORRUPT, h->outbox_bytes += 4096);
    REFUSED(DUCT_ECORRUPT, size -= 4096);
    REFUSED(DUCT_ECORRUPT, size = 4096);
    REFUSED(DUCT_ECORRUPT, size = 0);
    REFUSED(DUCT_ELIMIT, most = size);
    REFUSED(DUCT_ELIMIT, most = 0);
}

/* Whatever a header holds: refused, or every block and every entry lies within its segment. */
Test(geometry, random_headers)
{
    uint64_t seed = 42;

    for (int i = 0; i < 200000; i++) {
        struct di_geometry g = good(), out;
        unsigned char *bytes = (unsigned char *)&g.header;
        for (int flips = 0; flips < 1 + i % 4; flips++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            bytes[16 + (seed >> 33) % (sizeof(g.header) - 16)] ^=
                (unsigned char)(1u << (seed >> 60 & 7));
        }
        if (di_geometry_check(&out, &g.header, g.header.outbox_bytes, 30, 1ull << 32) != DUCT_OK)
            continue;
        uint32_t size;
        uint64_t at = di_geometry_block(&out, out.blocks - 1, &size);
        cr_assert_leq(at + size, out.header.pool_bytes);
        cr_assert_leq(out.returns_at + out.header.returns * 8ull, out.header.outbox_bytes);
        cr_assert_leq(di_geometry_bytes_max(&out), 1ull << 32);
        cr_assert_leq(out.blocks_max, DI_BLOCKS_MAX);
    }
}
