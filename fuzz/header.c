/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz/input.h"
#include "fuzz/plain.h"
#include "shm/geometry.h"

/* The header of a peer's outbox: whatever is accepted, nothing derived from it lies outside. */

/* Up to so many blocks all are looked at; of more, the ends of each class, between which offsets
 * grow evenly. */
#define WALK_MAX 4096u

static uint64_t up(uint64_t value)
{
    return (value + DI_PAGE - 1) / DI_PAGE * DI_PAGE;
}

static void check_block(const struct di_geometry *geometry, uint32_t index, uint64_t *end)
{
    uint32_t size;
    uint64_t at = di_geometry_block(geometry, index, &size);

    FUZZ_CHECK(size > 0 && size % DI_LINE == 0 && at % DI_LINE == 0);
    FUZZ_CHECK(at >= *end);
    FUZZ_CHECK(at <= geometry->header.pool_bytes && size <= geometry->header.pool_bytes - at);
    *end = at + size;
}

static void check_blocks(const struct di_geometry *geometry)
{
    const struct di_outbox_header *header = &geometry->header;
    bool all = geometry->blocks <= WALK_MAX;
    uint32_t first = 0;
    uint64_t end = 0;

    for (uint32_t c = 0; c < header->class_count; c++) {
        uint32_t count = header->classes[c].count;
        FUZZ_CHECK(geometry->class_first[c] == first);
        for (uint32_t i = 0; i < count; i++) {
            check_block(geometry, first + i, &end);
            if (!all && i == 1 && count > 4)
                i = count - 3;
        }
        first += count;
    }
    FUZZ_CHECK(first == geometry->blocks);
}

static void check_accepted(const struct di_geometry *geometry, uint64_t outbox_size,
                           uint32_t own_blocks, uint64_t bytes_max)
{
    const struct di_outbox_header *header = &geometry->header;
    uint64_t slots_end = DI_OUTBOX_SLOTS_AT + (uint64_t)header->slots * sizeof(struct di_slot);

    FUZZ_CHECK(header->slots >= DI_SLOTS_MIN && header->slots <= DI_SLOTS_MAX);
    FUZZ_CHECK((header->slots & (header->slots - 1)) == 0);
    FUZZ_CHECK((header->returns & (header->returns - 1)) == 0 && header->returns >= own_blocks);
    FUZZ_CHECK(slots_end <= geometry->returns_at && geometry->returns_at % DI_LINE == 0);
    FUZZ_CHECK(geometry->returns_at < outbox_size);
    FUZZ_CHECK(header->returns <= (outbox_size - geometry->returns_at) / sizeof(uint64_t));
    FUZZ_CHECK(geometry->blocks >= 1 && geometry->blocks_max <= DI_BLOCKS_MAX);
    FUZZ_CHECK(geometry->blocks_max == geometry->blocks * header->pool_segments_max);
    FUZZ_CHECK(header->outbox_bytes <= bytes_max);
    FUZZ_CHECK(header->pool_bytes <=
               (bytes_max - header->outbox_bytes) / header->pool_segments_max);
    FUZZ_CHECK(geometry->immediate_max <= header->max_msg);
    FUZZ_CHECK(geometry->immediate_max <= DI_IMMEDIATE_MAX);
    FUZZ_CHECK(di_slots_of(geometry->immediate_max) <= header->slots / 2);
    FUZZ_CHECK(header->max_msg <= header->classes[0].size);
    check_blocks(geometry);
}

/* Numbers that follow from others and that no dice would get right. */
static void make_consistent(struct di_outbox_header *header, uint8_t how)
{
    uint64_t bytes = 0;

    if (how & 1) {
        header->magic = DI_LAYOUT_MAGIC;
        header->version = DI_LAYOUT_VERSION;
    }
    if (how & 2) {
        header->slots = 1u << (header->slots & 31);
        header->returns = 1u << (header->returns & 31);
    }
    if (how & 4) {
        header->class_count %= DI_CLASSES_MAX + 1;
        for (uint32_t c = 0; c < header->class_count; c++)
            bytes += (uint64_t)header->classes[c].size * header->classes[c].count;
        header->pool_bytes = up(bytes);
    }
    if (how & 8)
        header->outbox_bytes =
            up(DI_OUTBOX_SLOTS_AT + (uint64_t)header->slots * sizeof(struct di_slot) +
               (uint64_t)header->returns * sizeof(uint64_t));
    if (how & 16) {
        for (uint32_t c = 0; c < DI_CLASSES_MAX; c++) {
            header->classes[c].size = (header->classes[c].size & 0xffff) * DI_LINE;
            header->classes[c].count &= 0xff;
        }
    }
}

/* What this side plans, the other side accepts. */
static void check_planned(struct input *in)
{
    struct di_geometry planned, seen;
    uint32_t slots = DI_SLOTS_MIN << input_byte(in) % 16;
    uint32_t max_msg = (input_u32(in) & ((1u << 30) - 1)) + 1;
    uint64_t least = up(max_msg);
    uint64_t pool = least + (input_u64(in) & ((1ull << 39) - 1));
    uint64_t pool_max = pool + (input_u64(in) & ((1ull << 39) - 1));
    uint32_t peer_blocks = input_u32(in) % DI_BLOCKS_MAX + 1;

    di_geometry_plan(&planned, slots, max_msg, pool, pool_max);
    di_geometry_set_returns(&planned, peer_blocks);
    enum duct_err err = di_geometry_check(&seen, &planned.header, planned.header.outbox_bytes,
                                          peer_blocks, UINT64_MAX);
    FUZZ_CHECK(err == DUCT_OK);
    FUZZ_CHECK(planned.blocks == seen.blocks && planned.returns_at == seen.returns_at);
    check_accepted(&seen, planned.header.outbox_bytes, peer_blocks, UINT64_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    uint8_t how = input_byte(&in);
    struct di_outbox_header header;
    struct di_geometry geometry;

    if (how & 128) {
        check_planned(&in);
        return 0;
    }
    input_bytes(&in, &header, sizeof(header));
    uint32_t own_blocks = input_u32(&in);
    uint64_t bytes_max = input_u64(&in);
    uint64_t outbox_size = input_u64(&in);
    /* Twice: sizes of classes, and then what follows from them. */
    make_consistent(&header, how & 16);
    make_consistent(&header, how & 15);
    if (how & 32)
        outbox_size = header.outbox_bytes;
    if (how & 64)
        own_blocks %= DI_BLOCKS_MAX;
    enum duct_err err = di_geometry_check(&geometry, &header, outbox_size, own_blocks, bytes_max);
    if (err == DUCT_OK)
        check_accepted(&geometry, outbox_size, own_blocks, bytes_max);
    else
        FUZZ_CHECK(plain_text(duct_err_detail(), strlen(duct_err_detail())));
    return 0;
}
