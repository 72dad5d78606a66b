/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/sendq.h"

#include <criterion/criterion.h>
#include <string.h>

/* What comes out is what went in, in order, however it is cut. */
static void fill(unsigned char *bytes, size_t size, size_t from)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)((from + i) * 131 >> 3);
}

static size_t drain(struct di_sendq *queue, size_t most, size_t from)
{
    struct iovec pieces[4];
    unsigned char expected[300000];
    uint32_t count = di_sendq_pieces(queue, pieces, 4);
    size_t done = 0;

    for (uint32_t i = 0; i < count && done < most; i++) {
        size_t part = pieces[i].iov_len < most - done ? pieces[i].iov_len : most - done;
        cr_assert_gt(part, 0);
        fill(expected, part, from + done);
        cr_assert(memcmp(pieces[i].iov_base, expected, part) == 0);
        done += part;
    }
    di_sendq_advance(queue, done);
    return done;
}

Test(sendq, keeps_the_order)
{
    static unsigned char bytes[100000];
    struct di_sendq queue;
    size_t in = 0, out = 0;

    di_sendq_init(&queue, 1 << 20);
    for (unsigned i = 0; i < 400; i++) {
        size_t size = i % 7 == 0 ? 70000 : i * 37 % 500, skip = i % 3 == 0 ? size / 3 : 0;
        if (i % 5 == 4) {
            struct di_chunk *chunk = di_chunk_alloc(size);
            fill(chunk->at, size, in);
            chunk->left = size;
            chunk->spare = 0;
            di_sendq_link(&queue, chunk);
            in += size;
        } else {
            fill(bytes + skip, size - skip, in);
            const struct iovec pieces[3] = {
                {bytes, size / 2}, {NULL, 0}, {bytes + size / 2, size - size / 2}};
            cr_assert(di_sendq_copy(&queue, pieces, 3, skip));
            in += size - skip;
        }
        cr_assert_eq(queue.bytes, in - out);
        while (queue.bytes > 150000 || (i == 399 && queue.bytes > 0)) {
            size_t done = drain(&queue, 1 + i * 977 % 90000, out);
            cr_assert_gt(done, 0);
            out += done;
            cr_assert_eq(queue.bytes, in - out);
        }
    }
    cr_assert_eq(in, out);
    cr_assert(di_list_empty(&queue.chunks));
    di_sendq_fini(&queue);
}

/* Small things leave together. */
Test(sendq, gathers_what_is_small)
{
    static char word[] = "12345678";
    struct iovec piece = {word, 8}, pieces[4];
    struct di_sendq queue;

    di_sendq_init(&queue, 1 << 20);
    for (int i = 0; i < 100; i++)
        cr_assert(di_sendq_copy(&queue, &piece, 1, 0));
    cr_assert_eq(di_sendq_pieces(&queue, pieces, 4), 1);
    cr_assert_eq(pieces[0].iov_len, 800);
    di_sendq_fini(&queue);
    cr_assert_eq(queue.bytes, 0);
}

Test(sendq, is_bounded)
{
    char bytes[600];
    struct iovec piece = {bytes, sizeof(bytes)};
    struct di_sendq queue;

    di_sendq_init(&queue, 1000);
    cr_assert(di_sendq_room(&queue, 5000)); /* one message always fits */
    cr_assert(di_sendq_copy(&queue, &piece, 1, 0));
    cr_assert(di_sendq_room(&queue, 400));
    cr_assert_not(di_sendq_room(&queue, 401));
    cr_assert(di_sendq_copy(&queue, &piece, 1, 200));
    cr_assert_not(di_sendq_room(&queue, 1));
    di_sendq_advance(&queue, 1000);
    cr_assert(di_sendq_room(&queue, 5000));
    di_sendq_fini(&queue);
}
