/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/geometry.h"

#include <string.h>

#include "lib/base/error.h"

/* Sizes below this are not worth a class: such messages travel in the ring, or waste little. */
#define CLASS_SIZE_MIN 512u

static uint64_t round_up(uint64_t value, uint64_t multiple)
{
    return (value + multiple - 1) / multiple * multiple;
}

static uint32_t power_of_two_at_least(uint32_t value)
{
    uint32_t power = 8; /* a line of return entries */
    while (power < value)
        power *= 2;
    return power;
}

static uint32_t immediate_max(uint32_t slots, uint32_t max_msg)
{
    /* A message may take half of the ring at most, so that two always fit. */
    uint32_t more = slots / 2 - 1 < DI_MORE_MAX ? slots / 2 - 1 : DI_MORE_MAX;
    uint32_t fits = DI_SLOT_BYTES + more * DI_MORE_BYTES;

    /* What is at most this long is sent without a look at max_msg. */
    return fits < max_msg ? fits : max_msg;
}

/* Fills what follows from the header: offsets and counts. */
static void derive(struct di_geometry *geometry)
{
    const struct di_outbox_header *header = &geometry->header;
    uint64_t at = 0;
    uint32_t first = 0;

    for (uint32_t c = 0; c < header->class_count; c++) {
        geometry->class_at[c] = at;
        geometry->class_first[c] = first;
        at += (uint64_t)header->classes[c].size * header->classes[c].count;
        first += header->classes[c].count;
    }
    geometry->blocks = first;
    geometry->blocks_max = first * header->pool_segments_max;
    geometry->returns_at = DI_OUTBOX_SLOTS_AT + (uint64_t)header->slots * sizeof(struct di_slot);
    geometry->immediate_max = immediate_max(header->slots, header->max_msg);
}

/* One more class, of as many blocks as the share of the bytes left makes, one at least if it must. */
static void add_class(struct di_outbox_header *header, uint64_t size, uint64_t share, bool must,
                      uint64_t *left)
{
    uint64_t count = share / size;

    if (count == 0 && must)
        count = 1;
    if (count > DI_BLOCKS_MAX / 16)
        count = DI_BLOCKS_MAX / 16;
    if (count == 0)
        return;
    header->classes[header->class_count++] =
        (struct di_class){.size = (uint32_t)size, .count = (uint32_t)count};
    header->pool_bytes += count * size;
    *left = *left > count * size ? *left - count * size : 0;
}

static void plan_classes(struct di_outbox_header *header, uint64_t left)
{
    uint64_t size = round_up(header->max_msg, DI_LINE);

    if (size > DI_PAGE) {
        size = round_up(size, DI_PAGE);
    } else if (size < DI_PAGE) {
        /* A few for loans that ask for a page's alignment; the rest is cut for the messages there are. */
        add_class(header, DI_PAGE, left / 8, true, &left);
        size = size > CLASS_SIZE_MIN ? size : CLASS_SIZE_MIN;
    }
    for (bool first = true; size >= CLASS_SIZE_MIN && header->class_count < DI_CLASSES_MAX;
         first = false) {
        uint64_t next = round_up(size / 4, size / 4 >= DI_PAGE ? DI_PAGE : DI_LINE);
        bool last = next < CLASS_SIZE_MIN || header->class_count == DI_CLASSES_MAX - 1;
        add_class(header, size, last ? left : left * 2 / 3, first, &left);
        size = next;
    }
}

void di_geometry_plan(struct di_geometry *geometry, uint32_t slots, uint32_t max_msg,
                      uint64_t pool_bytes, uint64_t pool_max)
{
    struct di_outbox_header *header = &geometry->header;

    memset(geometry, 0, sizeof(*geometry));
    header->magic = DI_LAYOUT_MAGIC;
    header->version = DI_LAYOUT_VERSION;
    header->slots = slots;
    header->max_msg = max_msg;
    plan_classes(header, round_up(pool_bytes, DI_PAGE));
    header->pool_bytes = round_up(header->pool_bytes, DI_PAGE);
    uint64_t segments = pool_max / header->pool_bytes;
    header->pool_segments_max = segments < 1                      ? 1
                                : segments > DI_POOL_SEGMENTS_MAX ? DI_POOL_SEGMENTS_MAX
                                                                  : (uint32_t)segments;
    derive(geometry);
    while (geometry->blocks_max > DI_BLOCKS_MAX) {
        header->pool_segments_max--;
        derive(geometry);
    }
}

void di_geometry_set_returns(struct di_geometry *geometry, uint32_t peer_blocks)
{
    geometry->header.returns = power_of_two_at_least(peer_blocks);
    geometry->header.outbox_bytes = round_up(
        geometry->returns_at + (uint64_t)geometry->header.returns * sizeof(uint64_t), DI_PAGE);
}

static bool power_of_two(uint32_t value)
{
    return value != 0 && (value & (value - 1)) == 0;
}

/* The classes: multiples of a line, falling, and exactly what pool_bytes says. */
static bool classes_plausible(const struct di_outbox_header *header)
{
    uint64_t bytes = 0;
    uint64_t blocks = 0;

    if (header->class_count < 1 || header->class_count > DI_CLASSES_MAX)
        return false;
    for (uint32_t c = 0; c < header->class_count; c++) {
        const struct di_class *class = &header->classes[c];
        if (class->size == 0 || class->size % DI_LINE != 0 || class->count == 0 ||
            class->count > DI_BLOCKS_MAX)
            return false;
        if (c > 0 && class->size >= header->classes[c - 1].size)
            return false;
        bytes += (uint64_t) class->size * class->count;
        blocks += class->count;
    }
    if (header->classes[0].size < header->max_msg)
        return false;
    return header->pool_bytes == round_up(bytes, DI_PAGE) && header->pool_segments_max >= 1 &&
           header->pool_segments_max <= DI_POOL_SEGMENTS_MAX &&
           blocks * header->pool_segments_max <= DI_BLOCKS_MAX;
}

enum duct_err di_geometry_check(struct di_geometry *geometry, const struct di_outbox_header *header,
                                uint64_t outbox_size, uint32_t own_blocks, uint64_t bytes_max)
{
    if (header->magic != DI_LAYOUT_MAGIC)
        return di_fail(DUCT_ECORRUPT, "the peer's outbox does not begin with duct's mark; it is "
                                      "another program's memory, or damaged");
    if (header->version != DI_LAYOUT_VERSION)
        return di_fail(DUCT_EVERSION,
                       "the peer's shared-memory layout is version %u, this side's is %u; rebuild "
                       "the older program",
                       header->version, DI_LAYOUT_VERSION);
    if (!power_of_two(header->slots) || header->slots < DI_SLOTS_MIN ||
        header->slots > DI_SLOTS_MAX || !power_of_two(header->returns) ||
        header->returns > 2 * DI_BLOCKS_MAX || header->returns < own_blocks ||
        !classes_plausible(header))
        return di_fail(DUCT_ECORRUPT,
                       "the peer's outbox header contradicts itself (slots %u, returns "
                       "%u, classes %u)",
                       header->slots, header->returns, header->class_count);

    geometry->header = *header;
    derive(geometry);
    if (header->outbox_bytes !=
            round_up(geometry->returns_at + (uint64_t)header->returns * sizeof(uint64_t),
                     DI_PAGE) ||
        header->outbox_bytes != outbox_size)
        return di_fail(DUCT_ECORRUPT, "the peer's outbox is %llu bytes, its header says %llu",
                       (unsigned long long)outbox_size, (unsigned long long)header->outbox_bytes);
    if (di_geometry_bytes_max(geometry) > bytes_max)
        return di_fail(
            DUCT_ELIMIT,
            "the peer's segments may grow to %llu bytes, over the limit of %llu; raise the "
            "option peer_bytes",
            (unsigned long long)di_geometry_bytes_max(geometry), (unsigned long long)bytes_max);
    return DUCT_OK;
}

uint64_t di_geometry_block(const struct di_geometry *geometry, uint32_t index, uint32_t *size)
{
    uint32_t c = geometry->header.class_count - 1;

    while (index < geometry->class_first[c])
        c--;
    *size = geometry->header.classes[c].size;
    return geometry->class_at[c] + (uint64_t)(index - geometry->class_first[c]) * *size;
}

uint64_t di_geometry_bytes_max(const struct di_geometry *geometry)
{
    return geometry->header.outbox_bytes +
           geometry->header.pool_bytes * geometry->header.pool_segments_max;
}
