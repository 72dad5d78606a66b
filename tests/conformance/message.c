/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/conformance/suite.h"

/* Messages: every size, every way in and out, and what a call refuses. */

/* Around each place where the way of a message changes: one slot, two, three, four, a block, each
 * class of the pool, the largest. */
static const size_t edges[] = {
    0,   1,   2,   3,    4,    7,    8,    15,   16,   31,    32,    39,    40,    41,   63,
    64,  65,  95,  96,   97,   127,  128,  151,  152,  153,   207,   208,   209,   255,  256,
    511, 512, 513, 1023, 1024, 1025, 4095, 4096, 4097, 16383, 16384, 16385, 65535, 65536};
enum { EDGES = sizeof(edges) / sizeof(edges[0]) };

static void sizes_by_loan(struct side *s)
{
    for (size_t i = 0; i < EDGES; i++) {
        put(s, edges[i], 1000 + i);
        take(s, edges[i], 1000 + i);
    }
}

CONFORMS_KEPT(sizes_by_loan, 0, 0, "", sizes_by_loan, there_echoes)
/* Rings so short that fewer bytes, or none past the first slot, travel in them. */
CONFORMS_KEPT(sizes_by_loan_slots_2, 0, 0, "slots=2", sizes_by_loan, there_echoes)
CONFORMS_KEPT(sizes_by_loan_slots_4, 0, 0, "slots=4", sizes_by_loan, there_echoes)
CONFORMS_KEPT(sizes_by_loan_slots_8, 0, 0, "slots=8", sizes_by_loan, there_echoes)

static void sizes_by_copy(struct side *s)
{
    unsigned char out[65536];
    unsigned char in[65536];

    for (size_t i = 0; i < EDGES; i++) {
        size_t size = SIZE_MAX;
        uint64_t tag = 0;
        fill(out, edges[i], i);
        OK(s, duct_write(s->pipe, out, edges[i], ~i, SOON));
        OK(s, duct_read(s->pipe, in, edges[i], &size, &tag, SOON));
        CHECK(s, size == edges[i] && tag == ~i);
        CHECK(s, filled(in, size, i));
        /* Without a tag, and from nowhere where there is nothing. */
        OK(s, duct_write(s->pipe, edges[i] > 0 ? out : NULL, edges[i], 0, SOON));
        OK(s, duct_read(s->pipe, in, sizeof(in), &size, NULL, SOON));
        CHECK(s, size == edges[i] && filled(in, size, i));
    }
}

CONFORMS_KEPT(sizes_by_copy, 0, 0, "", sizes_by_copy, there_echoes)
CONFORMS_KEPT(sizes_by_copy_slots_2, 0, 0, "slots=2", sizes_by_copy, there_echoes)

static void sizes_by_pieces(struct side *s)
{
    unsigned char out[65536];
    unsigned char in[65536];

    for (size_t i = 0; i < EDGES; i++) {
        size_t third = edges[i] / 3;
        struct iovec pieces[4] = {
            {out, third}, {NULL, 0}, {out + third, third}, {out + 2 * third, edges[i] - 2 * third}};
        size_t size;
        uint64_t tag;
        fill(out, edges[i], i);
        OK(s, duct_writev(s->pipe, pieces, 4, i, SOON));
        OK(s, duct_read(s->pipe, in, sizeof(in), &size, &tag, SOON));
        CHECK(s, size == edges[i] && tag == i && filled(in, size, i));
    }
    OK(s, duct_writev(s->pipe, NULL, 0, 7, SOON));
    take(s, 0, 7);
    struct iovec bad = {NULL, 1};
    GIVES(s, duct_writev(s->pipe, &bad, 1, 0, SOON), DUCT_EINVAL);
    GIVES(s, duct_writev(s->pipe, NULL, 1, 0, SOON), DUCT_EINVAL);
    struct iovec endless[2] = {{out, SIZE_MAX}, {out, SIZE_MAX}};
    GIVES(s, duct_writev(s->pipe, endless, 2, 0, SOON), DUCT_ETOOBIG);
}

CONFORMS_KEPT(sizes_by_pieces, 0, 0, "", sizes_by_pieces, there_echoes)

/* The limit is exact, also where it is no power of two, smaller than a slot, or huge. */
static void limit_is_exact(struct side *s)
{
    size_t max = (size_t)info_of(s, s->pipe).max_send;
    unsigned char *bytes = calloc(1, max + 1);
    struct duct_msg msg = {.tag = 77};
    char number[32];

    CHECK(s, info_of(s, s->pipe).max_recv == max);
    put(s, max, 1);
    take(s, max, 1);
    if (max > 0) {
        put(s, max - 1, 2);
        take(s, max - 1, 2);
    }
    snprintf(number, sizeof(number), "%zu", max);
    GIVES(s, duct_msg_loan(s->pipe, max + 1, &msg), DUCT_ETOOBIG);
    CHECK(s, says(number) && says("max_msg") && msg.tag == 77);
    GIVES(s, duct_msg_loan(s->pipe, SIZE_MAX, &msg), DUCT_ETOOBIG);
    GIVES(s, duct_write(s->pipe, bytes, max + 1, 0, SOON), DUCT_ETOOBIG);
    CHECK(s, says(number) && says("max_msg"));
    struct iovec piece = {bytes, max + 1};
    GIVES(s, duct_writev(s->pipe, &piece, 1, 0, SOON), DUCT_ETOOBIG);
    struct duct_view view = {bytes, max + 1, 0};
    size_t done = 9;
    GIVES(s, duct_write_batch(s->pipe, &view, 1, &done, SOON), DUCT_ETOOBIG);
    CHECK(s, done == 0);
    CHECK(s, stats_of(s, s->pipe).refused_too_big == 5);
    free(bytes);
}

CONFORMS_KEPT(limit_default, 0, 0, "", limit_is_exact, there_echoes)
CONFORMS_KEPT(limit_odd, 0, 0, "max_msg=10007", limit_is_exact, there_echoes)
CONFORMS_KEPT(limit_immediate, 0, 0, "max_msg=100", limit_is_exact, there_echoes)
CONFORMS_KEPT(limit_slot, 0, 0, "max_msg=40", limit_is_exact, there_echoes)
CONFORMS_KEPT(limit_tiny, 0, 0, "max_msg=1", limit_is_exact, there_echoes)
CONFORMS_KEPT(limit_large, 0, 0, "max_msg=3m", limit_is_exact, there_echoes)

/* A shorter message than was loaned is what arrives; a longer one is refused and still ours. */
static void resized_loans(struct side *s)
{
    static const size_t loaned[] = {8, 208, 209, 4096, 65536};
    struct duct_msg msg;

    for (size_t i = 0; i < sizeof(loaned) / sizeof(loaned[0]); i++) {
        OK(s, duct_msg_loan(s->pipe, loaned[i], &msg));
        fill(msg.data, loaned[i] / 2, i);
        msg.tag = i;
        msg.size = 70000;
        GIVES(s, duct_send(s->pipe, &msg, SOON), DUCT_EINVAL);
        msg.size = loaned[i] / 2;
        OK(s, duct_send(s->pipe, &msg, SOON));
        take(s, loaned[i] / 2, i);
        OK(s, duct_msg_loan(s->pipe, loaned[i], &msg));
        msg.size = 0;
        msg.tag = 5;
        OK(s, duct_send(s->pipe, &msg, SOON));
        take(s, 0, 5);
    }
}

CONFORMS_KEPT(resized_loans, 0, 0, "", resized_loans, there_echoes)

/* Loans begin where they were asked to, and their memory is the caller's to fill. */
static void alignments(struct side *s)
{
    struct duct_msg msg;

    for (size_t i = 0; i < EDGES; i++) {
        OK(s, duct_msg_loan(s->pipe, edges[i], &msg));
        CHECK(s, edges[i] == 0 || (msg.data != NULL && (uintptr_t)msg.data % 64 == 0));
        memset(msg.data, 0xaa, edges[i]);
        OK(s, duct_msg_discard(&msg));
        OK(s, duct_msg_loan_aligned(s->pipe, edges[i], DUCT_ALIGN_PAGE, 0, &msg));
        CHECK(s, msg.data != NULL && (uintptr_t)msg.data % 4096 == 0);
        fill(msg.data, edges[i], i);
        msg.tag = i;
        OK(s, duct_send(s->pipe, &msg, SOON));
        take(s, edges[i], i);
    }
    GIVES(s, duct_msg_loan_aligned(s->pipe, 8, (enum duct_align)32, 0, &msg), DUCT_EINVAL);
    GIVES(s, duct_msg_loan_aligned(s->pipe, 8, (enum duct_align)0, 0, &msg), DUCT_EINVAL);
    CHECK(s, stats_of(s, s->pipe).dropped_unsent == EDGES);
}

CONFORMS(alignments, CAN_SHARE, 0, "", alignments, there_echoes)
CONFORMS(alignments_small, CAN_SHARE, 0, "max_msg=65536&pool=64k", alignments, there_echoes)

/* A buffer that is too small says what is needed, and costs nothing. */
static void small_buffers(struct side *s)
{
    static const size_t sizes[] = {1, 40, 41, 208, 209, 30000};
    unsigned char in[30000];

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t size = 0;
        uint64_t tag = 99;
        put(s, sizes[i], i);
        put(s, 3, 100 + i);
        GIVES(s, duct_read(s->pipe, in, sizes[i] - 1, &size, &tag, SOON), DUCT_ETOOBIG);
        CHECK(s, size == sizes[i] && tag == 99);
        GIVES(s, duct_read(s->pipe, NULL, 0, &size, &tag, SOON), DUCT_ETOOBIG);
        CHECK(s, size == sizes[i]);
        OK(s, duct_read(s->pipe, in, size, &size, &tag, SOON));
        CHECK(s, size == sizes[i] && tag == i && filled(in, size, i));
        GIVES(s, duct_read(s->pipe, in, 2, &size, &tag, SOON), DUCT_ETOOBIG);
        take(s, 3, 100 + i);
    }
}

CONFORMS_KEPT(small_buffers, 0, 0, "", small_buffers, there_echoes)

/* ---- duct_call ---- */

static void calls(struct side *s)
{
    struct duct_msg out, in = {.tag = 4};

    for (uint64_t i = 0; i < 500; i++) {
        size_t size = (size_t)(i * 37 % 3000);
        OK(s, duct_msg_loan(s->pipe, size, &out));
        fill(out.data, size, i);
        out.tag = i;
        OK(s, duct_call(s->pipe, &out, &in, i % 3 == 0 ? DUCT_FOREVER : SOON));
        CHECK(s, out.data == NULL && in.size == size && in.tag == i);
        CHECK(s, filled(in.data, size, i));
        OK(s, duct_msg_release(&in));
    }
    /* Nobody loaned this one: it stays the caller's, and nothing was received. */
    struct duct_msg never = {0};
    GIVES(s, duct_call(s->pipe, &never, &in, SOON), DUCT_EINVAL);
}

CONFORMS_KEPT(calls, 0, 0, "", calls, there_echoes)
CONFORMS_KEPT(calls_parked, 0, 0, "wait=park", calls, there_echoes)

/* The answer does not come: out has gone, in is untouched. */
static void call_without_answer(struct side *s)
{
    struct duct_msg out, in = {.tag = 4};

    OK(s, duct_msg_loan(s->pipe, 8, &out));
    fill(out.data, 8, 1);
    GIVES(s, duct_call(s->pipe, &out, &in, A_BIT), DUCT_ETIMEOUT);
    CHECK(s, out.data == NULL && in.tag == 4);
    OK(s, duct_msg_loan(s->pipe, 8, &out));
    GIVES(s, duct_call(s->pipe, &out, &in, 0), DUCT_EAGAIN);
    CHECK(s, out.data == NULL);
    tell(s);
}

CONFORMS_KEPT(call_without_answer, 0, 0, "", call_without_answer, there_waits)
