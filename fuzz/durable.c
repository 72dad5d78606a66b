/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/input.h"
#include "tests/shm/durable_book.h"

/*
 * Re-attaching: any bytes in the two outboxes of a durable pipe. The input changes bytes of a pair that was
 * in order, so that what is deep inside is reached too; what is accepted must then be sound: every message
 * within its slots or its block, no block twice, no mark outside.
 *
 * Whoever looks from outside, as shmreap does, sees the same in files, also in shorter ones.
 *
 *   input: how many messages, and what is looked at from outside (see examine()); then changes of (which, where,
 *   how many, bytes), to the end
 */
#define START (UINT64_MAX - 3)

static struct book books[2];

struct seen {
    const struct di_durable_copy *copy;
    uint64_t next;
    uint64_t bytes;
    unsigned char blocks[64];
};

static void check_found(void *user, const struct di_durable_found *found)
{
    struct seen *seen = user;
    const struct di_geometry *geometry = &seen->copy->geometry;

    FUZZ_CHECK(found->position == seen->next);
    seen->next += found->slots;
    seen->bytes += found->size;
    FUZZ_CHECK(found->slots >= 1 && found->slots <= 1 + DI_MORE_MAX);
    if (!found->block) {
        FUZZ_CHECK(found->size <= geometry->immediate_max &&
                   found->slots == di_slots_of(found->size));
        return;
    }
    uint32_t index = di_ref_index(found->ref);
    uint32_t size;
    FUZZ_CHECK(index < geometry->blocks);
    uint64_t at = di_geometry_block(geometry, index, &size);
    FUZZ_CHECK(found->size <= size && at + size <= geometry->header.pool_bytes);
    if (index / 8 < sizeof(seen->blocks)) {
        FUZZ_CHECK((seen->blocks[index / 8] >> (index % 8) & 1) == 0);
        seen->blocks[index / 8] |= (unsigned char)(1u << (index % 8));
    }
}

static void check_pair(const struct di_durable_copy *own, const struct di_durable_copy *other)
{
    const struct di_durable_record *record = di_durable_record(other);
    /* Relaxed, both: private copies. */
    struct di_durable_other says = {
        .bound = atomic_load_explicit(&record->peer_id, memory_order_relaxed),
        .low = di_durable_low(other)};
    uint64_t received = atomic_load_explicit(&record->received, memory_order_relaxed);
    struct di_durable_scan scan;
    struct seen seen = {.copy = own};
    uint64_t low;

    if (di_durable_pair_low(&low, own, &says) != DUCT_OK)
        return;
    seen.next = low;
    if (di_durable_scan(&scan, own, low, DI_DURABLE_ALL, check_found, &seen) == DUCT_OK) {
        FUZZ_CHECK(seen.next == scan.tail && scan.bytes == seen.bytes);
        FUZZ_CHECK(scan.tail - low <= own->geometry.header.slots &&
                   scan.messages <= scan.tail - low);
        FUZZ_CHECK(scan.torn <= DI_MORE_MAX);
    }
    if (says.bound == 0 || di_durable_check_record(other) != DUCT_OK)
        return;
    FUZZ_CHECK(received - low <= other->geometry.header.returns);
    seen = (struct seen){.copy = own, .next = low};
    if (di_durable_scan(&scan, own, low, received - low, check_found, &seen) == DUCT_OK)
        FUZZ_CHECK(scan.tail == received);
}

/* A file with what the book says, size bytes of it. */
static int file_of(const struct book *book, uint64_t size)
{
    static int files[2] = {-1, -1};
    int *fd = &files[book - books];

    if (*fd < 0)
        *fd = memfd_create("fuzz-durable", MFD_CLOEXEC);
    FUZZ_CHECK(*fd >= 0 && ftruncate(*fd, (off_t)size) == 0);
    if (size > sizeof(book->bytes))
        size = sizeof(book->bytes);
    FUZZ_CHECK(pwrite(*fd, book->bytes, size, 0) == (ssize_t)size);
    return *fd;
}

/* how: 4 both ends, 8 only the first; 16 the file is shorter than its header says, 32 larger than any. */
static void examine(uint8_t how)
{
    uint64_t whole = books[0].geometry.header.outbox_bytes;
    uint64_t size = how & 16 ? whole / 2 : how & 32 ? UINT64_C(1) << 30 : whole;
    struct di_durable_facts facts;
    int other = how & 4 ? file_of(&books[1], whole) : -1;

    if ((how & 12) == 0)
        return;
    if (di_durable_examine(&facts, file_of(&books[0], size), size, other, whole) != DUCT_OK)
        return;
    FUZZ_CHECK(size == whole && strnlen(facts.name, sizeof(facts.name)) < sizeof(facts.name));
    FUZZ_CHECK(facts.undelivered <= facts.slots);
    FUZZ_CHECK(facts.undelivered_bytes <= facts.undelivered * facts.max_msg);
}

/* A pair in order: messages of every kind, some received, one released out of order. */
static void make_pair(uint8_t count)
{
    uint64_t at = START;

    book_make(&books[0], DI_END_DIAL, 7, START);
    book_make(&books[1], DI_END_LISTEN, 8, 0);
    book_bind(&books[1], 7, START);
    for (uint8_t i = 0; i < count % 4; i++)
        at =
            i % 2 == 1 ? book_put(&books[0], at, 1000, i) : book_put(&books[0], at, 60, UINT32_MAX);
    book_release(&books[1], START, at);
    if (count % 4 > 1)
        atomic_init(book_mark(&books[1], START + 2), START + 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    struct di_durable_copy copies[2];
    bool good[2];

    uint8_t how = input_byte(&in);
    make_pair(how);
    while (in.left > 0) {
        struct book *book = &books[input_byte(&in) & 1];
        size_t at = input_u16(&in) % book->geometry.header.outbox_bytes;
        size_t here = input_byte(&in) % 16;
        if (here > book->geometry.header.outbox_bytes - at)
            here = book->geometry.header.outbox_bytes - at;
        input_bytes(&in, book->bytes + at, here);
    }
    examine(how);
    for (int i = 0; i < 2; i++)
        good[i] = book_copy(&copies[i], &books[i]) == DUCT_OK;
    if (good[0] && good[1]) {
        check_pair(&copies[0], &copies[1]);
        check_pair(&copies[1], &copies[0]);
    }
    for (int i = 0; i < 2; i++) {
        if (good[i])
            di_durable_copy_free(&copies[i]);
    }
    return 0;
}
