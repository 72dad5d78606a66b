/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/shm/durable_book.h"

/* What an outbox on file holds, and what is no outbox. */

static struct book one, two;

#define START (UINT64_MAX - 5) /* so that positions wrap */

static enum duct_err scan(struct di_durable_scan *found, uint64_t low)
{
    struct di_durable_copy copy;
    enum duct_err err = book_copy(&copy, &one);

    if (err != DUCT_OK)
        return err;
    err = di_durable_scan(found, &copy, low, DI_DURABLE_ALL, NULL, NULL);
    di_durable_copy_free(&copy);
    return err;
}

Test(scan, finds_what_was_published)
{
    struct di_durable_scan found;
    uint64_t low = START, at;

    book_make(&one, DI_END_LISTEN, 7, START);
    cr_assert_eq(scan(&found, START), DUCT_OK);
    cr_assert(found.messages == 0 && found.tail == START);
    at = book_put(&one, START, 0, UINT32_MAX);
    at = book_put(&one, at, 100, UINT32_MAX); /* three slots */
    at = book_put(&one, at, 1000, 1);
    cr_assert_eq(scan(&found, START), DUCT_OK);
    cr_assert(found.messages == 3 && found.bytes == 1100 && found.tail == at && at == START + 5);
    /* Later, past a lap: what was below low is overwritten. */
    low = START + 1;
    at = book_put(&one, at, 10, UINT32_MAX);
    at = book_put(&one, at, 10, UINT32_MAX);
    at = book_put(&one, at, 10, UINT32_MAX);
    at = book_put(&one, at, 10, UINT32_MAX);
    cr_assert_eq(scan(&found, low), DUCT_OK);
    cr_assert(found.messages == 6 && found.tail == low + BOOK_SLOTS, "full");
    cr_assert_eq(scan(&found, START), DUCT_ECORRUPT, "a low-water mark from before");
    cr_assert_eq(scan(&found, low + 1), DUCT_ECORRUPT, "in the middle of a message");
    cr_assert_eq(scan(&found, at + 1), DUCT_ECORRUPT, "past the tail");
}

Test(scan, a_message_begun_is_none)
{
    struct di_durable_scan found;
    uint64_t at;

    book_make(&one, DI_END_LISTEN, 7, START);
    at = book_put(&one, START, 8, UINT32_MAX);
    atomic_init(&book_slot(&one, at + 1)->stamp, at + 2);
    atomic_init(&book_slot(&one, at + 2)->stamp, at + 3);
    cr_assert_eq(scan(&found, START), DUCT_OK);
    cr_assert(found.tail == at && found.torn == 2);
    atomic_init(&book_slot(&one, at + 4)->stamp, at + 5);
    cr_assert_eq(scan(&found, START), DUCT_ECORRUPT, "further than any message reaches");
}

/* Each fault alone, on a ring of two messages. */
Test(scan, damage_is_found)
{
    struct di_durable_scan found;
    uint64_t at;

    for (int fault = 0; fault < 9; fault++) {
        book_make(&one, DI_END_LISTEN, 7, START);
        at = book_put(&one, START, 100, UINT32_MAX);
        struct di_slot *block = book_slot(&one, at);
        at = book_put(&one, at, 1000, 1);
        struct di_slot *first = book_slot(&one, START);
        switch (fault) {
        case 0: /* none */
            break;
        case 1:
            atomic_init(&book_slot(&one, START + 1)->stamp, START);
            break;
        case 2:
            atomic_init(&first->stamp, 12345);
            break;
        case 3:
            atomic_init(&first->head, di_head_make(DI_IMMEDIATE_MAX + 1, DI_KIND_IMMEDIATE));
            break;
        case 4:
            atomic_init(&first->head, di_head_make(8, 3));
            break;
        case 5:
            atomic_init(&block->block, di_block_ref(one.geometry.blocks, 1));
            break;
        case 6:
            atomic_init(&block->head, di_head_make(1025, DI_KIND_BLOCK));
            break;
        case 7:
            book_put(&one, at, 10, 1); /* the same block */
            break;
        default:
            atomic_init(&book_slot(&one, at)->stamp, 1);
        }
        cr_assert_eq(scan(&found, START), fault == 0 ? DUCT_OK : DUCT_ECORRUPT, "fault %d", fault);
    }
}

Test(scan, headers)
{
    struct di_durable_header *header = (void *)(one.bytes + DI_DURABLE_HEADER_AT);
    struct di_outbox_header *outbox = (void *)one.bytes;
    struct di_durable_copy copy;

    for (int fault = 0; fault < 10; fault++) {
        enum duct_err expected = DUCT_ECORRUPT;
        book_make(&one, DI_END_LISTEN, 7, 0);
        switch (fault) {
        case 0:
            header->magic++;
            break;
        case 1:
            header->version++;
            expected = DUCT_EVERSION;
            break;
        case 2:
            outbox->version++;
            expected = DUCT_EVERSION;
            break;
        case 3:
            header->id = 0;
            break;
        case 4:
            header->end = 3;
            break;
        case 5:
            memset(header->name, 'n', sizeof(header->name));
            break;
        case 6:
            outbox->slots *= 1024;
            break;
        case 7:
            outbox->pool_segments_max = 2;
            break;
        case 8:
            outbox->magic++;
            break;
        default:
            outbox->returns = 3;
        }
        cr_assert_eq(book_copy(&copy, &one), expected, "fault %d", fault);
    }
    book_make(&one, DI_END_LISTEN, 7, 0);
    header->version = 77;
    cr_assert_eq(book_copy(&copy, &one), DUCT_EVERSION);
    cr_assert(strstr(duct_err_detail(), "77") != NULL && strstr(duct_err_detail(), " 1") != NULL,
              "both numbers");
}

Test(scan, up_to_what_was_received)
{
    struct di_durable_copy copy;
    struct di_durable_scan found;
    uint64_t at;

    book_make(&one, DI_END_LISTEN, 7, START);
    at = book_put(&one, START, 100, UINT32_MAX); /* three slots */
    at = book_put(&one, at, 8, UINT32_MAX);
    /* The next is being written, by a sender that lives, as we look. */
    atomic_init(&book_slot(&one, at)->stamp, 999);
    cr_assert_eq(book_copy(&copy, &one), DUCT_OK);
    cr_assert_eq(di_durable_scan(&found, &copy, START, 4, NULL, NULL), DUCT_OK);
    cr_assert(found.messages == 2 && found.tail == at);
    cr_assert_eq(di_durable_scan(&found, &copy, START, 2, NULL, NULL), DUCT_ECORRUPT, "the middle");
    cr_assert_eq(di_durable_scan(&found, &copy, START, 5, NULL, NULL), DUCT_ECORRUPT, "too much");
    di_durable_copy_free(&copy);
}

Test(scan, the_ends_belong_together)
{
    struct di_durable_copy own;
    struct di_durable_sent *sent = (void *)(one.bytes + DI_DURABLE_SENT_AT);
    struct di_durable_other other = {.bound = 0, .low = 99};
    uint64_t low;

    book_make(&one, DI_END_LISTEN, 7, START);
    cr_assert_eq(book_copy(&own, &one), DUCT_OK);
    cr_assert_eq(di_durable_pair_low(&low, &own, NULL), DUCT_OK);
    cr_assert_eq(low, START);
    cr_assert_eq(di_durable_pair_low(&low, &own, &other), DUCT_OK, "one that is new");
    cr_assert_eq(low, START);
    other = (struct di_durable_other){.bound = 7, .low = START + 3};
    cr_assert_eq(di_durable_pair_low(&low, &own, &other), DUCT_OK);
    cr_assert_eq(low, START + 3);
    other.low = START - 1;
    cr_assert_eq(di_durable_pair_low(&low, &own, &other), DUCT_ECORRUPT, "below what was reused");
    other = (struct di_durable_other){.bound = 9, .low = START};
    cr_assert_eq(di_durable_pair_low(&low, &own, &other), DUCT_ECORRUPT, "bound to another");
    di_durable_copy_free(&own);
    atomic_init(&sent->reclaimed, START + 1);
    cr_assert_eq(book_copy(&own, &one), DUCT_OK);
    other.bound = 0;
    cr_assert_eq(di_durable_pair_low(&low, &own, &other), DUCT_ECORRUPT, "made anew");
    di_durable_copy_free(&own);
}

Test(scan, records)
{
    struct di_durable_copy copy;

    book_make(&two, DI_END_DIAL, 8, 0);
    book_bind(&two, 7, START);
    book_release(&two, START + 2, START + 5);
    atomic_init(book_mark(&two, START + 3), START + 4);
    cr_assert_eq(book_copy(&copy, &two), DUCT_OK);
    cr_assert_eq(di_durable_check_record(&copy), DUCT_OK);
    cr_assert(di_durable_marked(&copy, START + 3) && !di_durable_marked(&copy, START + 2));
    di_durable_copy_free(&copy);

    atomic_init(book_mark(&two, START + 6), START + 7);
    cr_assert_eq(book_copy(&copy, &two), DUCT_OK);
    cr_assert_eq(di_durable_check_record(&copy), DUCT_ECORRUPT, "released before it came");
    di_durable_copy_free(&copy);

    atomic_init(book_mark(&two, START + 6), 3);
    cr_assert_eq(book_copy(&copy, &two), DUCT_OK);
    cr_assert_eq(di_durable_check_record(&copy), DUCT_ECORRUPT, "of another place");
    di_durable_copy_free(&copy);

    book_bind(&two, 7, START);
    book_release(&two, START, START + BOOK_MARKS + 1);
    cr_assert_eq(book_copy(&copy, &two), DUCT_OK);
    cr_assert_eq(di_durable_check_record(&copy), DUCT_ECORRUPT, "more than there are marks");
    di_durable_copy_free(&copy);
}
