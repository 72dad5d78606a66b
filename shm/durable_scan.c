/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/durable_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "lib/base/system.h"
#include "shm/durable_file.h"

/* The copy is private: nothing in it changes, and plain reads are enough. */

static const void *at(const struct di_durable_copy *copy, uint64_t offset)
{
    return copy->bytes + offset;
}

const struct di_slot *di_durable_slots(const struct di_durable_copy *copy)
{
    return at(copy, DI_OUTBOX_SLOTS_AT);
}

const struct di_durable_sent *di_durable_sent(const struct di_durable_copy *copy)
{
    return at(copy, DI_DURABLE_SENT_AT);
}

const struct di_durable_record *di_durable_record(const struct di_durable_copy *copy)
{
    return at(copy, DI_DURABLE_RECORD_AT);
}

const struct di_durable_owner *di_durable_owner(const struct di_durable_copy *copy)
{
    return at(copy, DI_DURABLE_OWNER_AT);
}

/* Relaxed, here and below: the copy is this thread's own. */
static uint64_t get(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

uint64_t di_durable_low(const struct di_durable_copy *copy)
{
    return get(&((const struct di_receiver_page *)at(copy, DI_OUTBOX_RECEIVER_AT))->consumed);
}

static uint64_t mark_of(const struct di_durable_copy *copy, uint64_t position)
{
    const _Atomic uint64_t *marks = at(copy, copy->geometry.returns_at);

    return get(&marks[position & (copy->geometry.header.returns - 1)]);
}

bool di_durable_marked(const struct di_durable_copy *copy, uint64_t position)
{
    return mark_of(copy, position) == position + 1;
}

/* ---- Headers ---- */

static enum duct_err check_header(const struct di_durable_header *header)
{
    if (header->magic != DI_DURABLE_MAGIC)
        return di_fail(DUCT_ECORRUPT,
                       "it does not bear duct's mark: it is another program's file, or "
                       "damaged");
    if (header->version != DI_DURABLE_VERSION)
        return di_fail(DUCT_EVERSION, "its layout is version %u, this program's is %u",
                       header->version, DI_DURABLE_VERSION);
    if ((header->end != DI_END_LISTEN && header->end != DI_END_DIAL) || header->id == 0 ||
        header->zero != 0 || header->name[0] == '\0' ||
        memchr(header->name, '\0', DI_DURABLE_NAME_MAX + 1) == NULL)
        return di_fail(DUCT_ECORRUPT, "its header contradicts itself");
    return DUCT_OK;
}

enum duct_err di_durable_copy_check(struct di_durable_copy *copy, unsigned char *bytes,
                                    uint64_t size, uint64_t bytes_max)
{
    struct di_outbox_header outbox;
    enum duct_err err;

    if (size < DI_OUTBOX_SLOTS_AT)
        return di_fail(DUCT_ECORRUPT, "it has %llu bytes, where an outbox has %u at least",
                       (unsigned long long)size, DI_OUTBOX_SLOTS_AT);
    copy->bytes = bytes;
    copy->size = size;
    memcpy(&outbox, bytes, sizeof(outbox));
    memcpy(&copy->header, bytes + DI_DURABLE_HEADER_AT, sizeof(copy->header));
    if ((err = check_header(&copy->header)) != DUCT_OK)
        return err;
    if (outbox.magic == DI_LAYOUT_MAGIC && outbox.version != DI_LAYOUT_VERSION)
        return di_fail(DUCT_EVERSION, "its ring is laid out in version %u, this program's is %u",
                       outbox.version, DI_LAYOUT_VERSION);
    err = di_geometry_check(&copy->geometry, &outbox, size, 0, bytes_max);
    if (err == DUCT_ELIMIT)
        return err;
    if (err != DUCT_OK || outbox.pool_segments_max != 1)
        return di_fail(DUCT_ECORRUPT, "its geometry contradicts itself, or the file's size");
    return DUCT_OK;
}

enum duct_err di_durable_copy_read(struct di_durable_copy *copy, int fd, uint64_t size,
                                   uint64_t bytes_max)
{
    /* What an outbox can need, whatever its header says: 4 MiB of slots and 16 MiB of marks. */
    const uint64_t most = DI_OUTBOX_SLOTS_AT + (uint64_t)DI_SLOTS_MAX * sizeof(struct di_slot) +
                          2ull * DI_BLOCKS_MAX * sizeof(uint64_t);

    if (size < DI_OUTBOX_SLOTS_AT || size > most)
        return di_fail(DUCT_ECORRUPT, "it has %llu bytes, where an outbox has %u to %llu",
                       (unsigned long long)size, DI_OUTBOX_SLOTS_AT, (unsigned long long)most);
    unsigned char *bytes = aligned_alloc(DI_PAGE, (size + DI_PAGE - 1) / DI_PAGE * DI_PAGE);
    if (bytes == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to look at %llu bytes", (unsigned long long)size);
    enum duct_err err = di_durable_file_read(fd, bytes, size, 0);
    if (err == DUCT_OK)
        err = di_durable_copy_check(copy, bytes, size, bytes_max);
    if (err != DUCT_OK) {
        free(bytes);
        copy->bytes = NULL; /* whoever examines two copies frees both */
    }
    return err;
}

void di_durable_copy_free(struct di_durable_copy *copy)
{
    free(copy->bytes);
    copy->bytes = NULL;
}

/* ---- The record of what came ---- */

enum duct_err di_durable_check_record(const struct di_durable_copy *copy)
{
    uint64_t marks = copy->geometry.header.returns;
    uint64_t low = di_durable_low(copy);
    uint64_t received = get(&di_durable_record(copy)->received);

    if (get(&di_durable_record(copy)->peer_id) == 0)
        return DUCT_OK;
    if (received - low > marks)
        return di_fail(DUCT_ECORRUPT,
                       "it says that all before message %llu were released, and that %llu were "
                       "received",
                       (unsigned long long)low, (unsigned long long)received);
    /* A mark is that of its position, or an earlier one of the same place: never a later one. */
    for (uint64_t position = low; position != low + marks; position++) {
        uint64_t mark = mark_of(copy, position);
        uint64_t behind = position + 1 - mark;
        bool earlier = behind % marks == 0 && behind != 0 && behind < UINT64_MAX / 2;
        if (!earlier && !(mark == position + 1 && position - low < received - low))
            return di_fail(DUCT_ECORRUPT, "its mark of message %llu says %llu",
                           (unsigned long long)position, (unsigned long long)mark);
    }
    return DUCT_OK;
}

/* ---- The ring ---- */

static uint64_t stamp_at(const struct di_durable_copy *copy, uint64_t position)
{
    return get(&di_durable_slots(copy)[position & (copy->geometry.header.slots - 1)].stamp);
}

static enum duct_err corrupt_at(uint64_t position, const char *what)
{
    return di_fail(DUCT_ECORRUPT, "the slot of position %llu has %s", (unsigned long long)position,
                   what);
}

/* The descriptor at a position that is stamped. left: slots up to the end of the lap. */
static enum duct_err look(const struct di_durable_copy *copy, uint64_t position, uint64_t left,
                          unsigned char *seen, struct di_durable_found *found)
{
    const struct di_geometry *geometry = &copy->geometry;
    const struct di_slot *slot =
        &di_durable_slots(copy)[position & (copy->geometry.header.slots - 1)];
    uint64_t head = get(&slot->head);
    uint32_t block_size;

    *found = (struct di_durable_found){.position = position, .size = (uint32_t)head, .slots = 1};
    if (head == di_head_make(found->size, DI_KIND_IMMEDIATE)) {
        found->slots = di_slots_of(found->size);
        if (found->size > geometry->immediate_max || found->slots > left)
            return corrupt_at(position, "more bytes than slots");
        for (uint32_t i = 1; i < found->slots; i++) {
            if (stamp_at(copy, position + i) != position + i + 1)
                return corrupt_at(position + i, "not the stamp of the message it belongs to");
        }
        return DUCT_OK;
    }
    if (head != di_head_make(found->size, DI_KIND_BLOCK))
        return corrupt_at(position, "an unknown kind of message");
    found->block = true;
    found->ref = get(&slot->block);
    uint32_t index = di_ref_index(found->ref);
    if (index >= geometry->blocks)
        return corrupt_at(position, "a block that is not there");
    di_geometry_block(geometry, index, &block_size);
    if (found->size > block_size || found->size > geometry->header.max_msg)
        return corrupt_at(position, "more bytes than its block");
    if (seen[index / 8] >> (index % 8) & 1)
        return corrupt_at(position, "a block that an earlier message lies in");
    seen[index / 8] |= (unsigned char)(1u << (index % 8));
    return DUCT_OK;
}

/* The slots past the tail: as the lap before left them, or begun. */
static enum duct_err check_rest(struct di_durable_scan *scan, const struct di_durable_copy *copy)
{
    uint64_t slots = copy->geometry.header.slots;

    for (uint64_t p = scan->tail + 1; p - scan->low < slots; p++) {
        uint64_t stamp = stamp_at(copy, p);
        if (stamp == p + 1 && p - scan->tail <= DI_MORE_MAX)
            scan->torn++;
        else if (stamp != p + 1 - slots)
            return corrupt_at(p, "a stamp out of turn");
    }
    return DUCT_OK;
}

enum duct_err di_durable_scan(struct di_durable_scan *scan, const struct di_durable_copy *copy,
                              uint64_t low, uint64_t most, di_durable_each_fn *each, void *user)
{
    uint64_t slots = copy->geometry.header.slots;
    uint64_t end = most < slots ? most : slots;
    unsigned char *seen = calloc(1, copy->geometry.blocks / 8 + 1);
    struct di_durable_found found;
    enum duct_err err = DUCT_OK;

    if (seen == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to look through a ring");
    *scan = (struct di_durable_scan){.low = low, .tail = low};
    while (scan->tail - low < end && stamp_at(copy, scan->tail) == scan->tail + 1) {
        err = look(copy, scan->tail, end - (scan->tail - low), seen, &found);
        if (err != DUCT_OK)
            break;
        if (each != NULL)
            each(user, &found);
        scan->tail += found.slots;
        scan->messages++;
        scan->bytes += found.size;
    }
    free(seen);
    if (err != DUCT_OK || scan->tail - low == slots)
        return err;
    if (most != DI_DURABLE_ALL)
        return scan->tail - low == most ? DUCT_OK
                                        : corrupt_at(scan->tail, "nothing, but was received");
    if (stamp_at(copy, scan->tail) != scan->tail + 1 - slots)
        return corrupt_at(scan->tail, "a stamp out of turn");
    return check_rest(scan, copy);
}

enum duct_err di_durable_pair_low(uint64_t *low, const struct di_durable_copy *own,
                                  const struct di_durable_other *other)
{
    uint64_t reclaimed = get(&di_durable_sent(own)->reclaimed);
    uint64_t slots = own->geometry.header.slots;

    *low = reclaimed;
    if (other == NULL)
        return DUCT_OK;
    if (other->bound == own->header.id) {
        *low = other->low;
        if (*low - reclaimed > slots)
            return di_fail(
                DUCT_ECORRUPT,
                "the other end's low-water mark is %llu, this end's %llu, in a ring of %llu",
                (unsigned long long)*low, (unsigned long long)reclaimed, (unsigned long long)slots);
        return DUCT_OK;
    }
    /* A new other end knows of nothing; that can be right only while nothing was reused. */
    if (other->bound != 0 || reclaimed != own->geometry.header.start)
        return di_fail(DUCT_ECORRUPT, "its two ends do not belong together: the files of one were "
                                      "removed and made anew");
    return DUCT_OK;
}

/* ---- From outside ---- */

struct count {
    const struct di_durable_copy *other;
    uint64_t messages;
    uint64_t bytes;
};

static void count(void *user, const struct di_durable_found *found)
{
    struct count *all = user;

    if (all->other != NULL && di_durable_marked(all->other, found->position))
        return;
    all->messages++;
    all->bytes += found->size;
}

static void tell(struct di_durable_facts *facts, const struct di_durable_copy *own)
{
    unsigned char boot[16];

    di_boot_id(boot);
    *facts =
        (struct di_durable_facts){.end = (enum di_end)own->header.end,
                                  .id = own->header.id,
                                  .created_ns = own->header.created_ns,
                                  .uid = own->header.uid,
                                  .this_boot = memcmp(boot, own->header.boot_id, sizeof(boot)) == 0,
                                  .closed = get(&di_durable_sent(own)->closes) % 2 == 1,
                                  .slots = own->geometry.header.slots,
                                  .max_msg = own->geometry.header.max_msg,
                                  .bytes = own->size + own->geometry.header.pool_bytes};
    memcpy(facts->name, own->header.name, sizeof(facts->name));
    /* Relaxed, both: see get(). */
    facts->pid = atomic_load_explicit(&di_durable_owner(own)->pid, memory_order_relaxed);
    facts->attached_ns =
        atomic_load_explicit(&di_durable_owner(own)->attached_ns, memory_order_relaxed);
}

enum duct_err di_durable_examine(struct di_durable_facts *facts, int fd, uint64_t size,
                                 int other_fd, uint64_t other_size)
{
    struct di_durable_copy own;
    struct di_durable_copy other = {.bytes = NULL};
    struct di_durable_scan scan;
    struct count all = {.other = other_fd >= 0 ? &other : NULL};
    uint64_t low;
    enum duct_err err = di_durable_copy_read(&own, fd, size, UINT64_MAX);

    if (err != DUCT_OK)
        return err;
    if (other_fd >= 0)
        err = di_durable_copy_read(&other, other_fd, other_size, UINT64_MAX);
    struct di_durable_other says = {0};
    if (err == DUCT_OK && other_fd >= 0)
        says = (struct di_durable_other){.bound = get(&di_durable_record(&other)->peer_id),
                                         .low = di_durable_low(&other)};
    if (says.bound == 0)
        all.other = NULL;
    if (err == DUCT_OK)
        err = di_durable_pair_low(&low, &own, other_fd >= 0 ? &says : NULL);
    if (err == DUCT_OK)
        err = di_durable_scan(&scan, &own, low, DI_DURABLE_ALL, count, &all);
    if (err == DUCT_OK) {
        tell(facts, &own);
        facts->undelivered = all.messages;
        facts->undelivered_bytes = all.bytes;
    }
    di_durable_copy_free(&other);
    di_durable_copy_free(&own);
    return err;
}
