/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/shm/durable_book.h"

#include <stdlib.h>
#include <string.h>

#include "shm/ring.h"

void book_make(struct book *book, enum di_end end, uint64_t id, uint64_t start)
{
    struct di_durable_header header = {.magic = DI_DURABLE_MAGIC,
                                       .version = DI_DURABLE_VERSION,
                                       .end = end,
                                       .id = id,
                                       .name = "x"};
    struct di_durable_sent *sent;

    memset(book, 0, sizeof(*book));
    di_geometry_plan(&book->geometry, BOOK_SLOTS, 1024, 16384, 16384);
    book->geometry.header.start = start;
    di_geometry_set_returns(&book->geometry, BOOK_MARKS);
    memcpy(book->bytes, &book->geometry.header, sizeof(book->geometry.header));
    memcpy(book->bytes + DI_DURABLE_HEADER_AT, &header, sizeof(header));
    sent = (void *)(book->bytes + DI_DURABLE_SENT_AT);
    atomic_init(&sent->reclaimed, start);
    di_ring_format((void *)(book->bytes + DI_OUTBOX_SLOTS_AT), BOOK_SLOTS, start);
}

_Atomic uint64_t *book_mark(struct book *book, uint64_t position)
{
    _Atomic uint64_t *marks = (void *)(book->bytes + book->geometry.returns_at);

    return &marks[position % BOOK_MARKS];
}

void book_release(struct book *book, uint64_t low, uint64_t received)
{
    struct di_receiver_page *page = (void *)(book->bytes + DI_OUTBOX_RECEIVER_AT);
    struct di_durable_record *record = (void *)(book->bytes + DI_DURABLE_RECORD_AT);

    atomic_init(&page->consumed, low);
    atomic_init(&record->received, received);
}

void book_bind(struct book *book, uint64_t id, uint64_t start)
{
    struct di_durable_record *record = (void *)(book->bytes + DI_DURABLE_RECORD_AT);

    for (uint64_t i = 0; i < BOOK_MARKS; i++)
        atomic_init(book_mark(book, start + i), start + i + 1 - BOOK_MARKS);
    book_release(book, start, start);
    atomic_init(&record->peer_id, id);
}

struct di_slot *book_slot(struct book *book, uint64_t position)
{
    struct di_slot *slots = (void *)(book->bytes + DI_OUTBOX_SLOTS_AT);

    return &slots[position % BOOK_SLOTS];
}

uint64_t book_put(struct book *book, uint64_t position, uint32_t size, uint32_t block)
{
    struct di_ring_out ring = {
        .slots = book_slot(book, 0), .mask = BOOK_SLOTS - 1, .tail = position};
    unsigned char payload[DI_IMMEDIATE_MAX] = {0};

    if (block != UINT32_MAX)
        di_ring_put_block(&ring, di_block_ref(block, 1), size, 0);
    else
        di_ring_put_immediate(&ring, payload, size, 0);
    return ring.tail;
}

enum duct_err book_copy(struct di_durable_copy *copy, const struct book *book)
{
    uint64_t size = book->geometry.header.outbox_bytes;
    unsigned char *bytes = aligned_alloc(DI_PAGE, size);

    if (bytes == NULL)
        return DUCT_ENOMEMORY;
    memcpy(bytes, book->bytes, size);
    enum duct_err err = di_durable_copy_check(copy, bytes, size, UINT64_MAX);
    if (err != DUCT_OK)
        free(bytes);
    return err;
}
