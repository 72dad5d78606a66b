/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/conformance/suite.h"

/* Batches of each kind, and order and content under whatever sizes come. */

enum { COUNT = 20 };

static size_t size_of(uint64_t seed)
{
    /* Mostly small, now and then past each way of travelling. */
    uint64_t r = seed * 0x9e3779b97f4a7c15ull >> 32;

    return r % 7 == 0 ? r / 7 % 5000 : r / 7 % 240;
}

static void batches_of_loans(struct side *s)
{
    struct duct_msg out[COUNT] = {{0}}, in[COUNT];
    size_t done = 99;

    OK(s, duct_send_batch(s->pipe, out, 0, &done, SOON));
    CHECK(s, done == 0);
    for (uint64_t round = 0; round < 30; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            size_t size = size_of(round * COUNT + i) % 200;
            OK(s, duct_msg_loan(s->pipe, size, &out[i]));
            fill(out[i].data, size, round * COUNT + i);
            out[i].tag = round * COUNT + i;
        }
        for (size_t sent = 0; sent < COUNT; sent += done) {
            OK(s, duct_send_batch(s->pipe, out + sent, COUNT - sent, &done, SOON));
            CHECK(s, done >= 1 && done <= COUNT - sent);
        }
        for (size_t i = 0; i < COUNT; i++)
            CHECK(s, out[i].data == NULL);
        for (size_t got = 0; got < COUNT; got += done) {
            OK(s, duct_recv_batch(s->pipe, in + got, COUNT - got, &done, SOON));
            CHECK(s, done >= 1 && done <= COUNT - got);
        }
        for (size_t i = 0; i < COUNT; i++) {
            CHECK(s, in[i].tag == round * COUNT + i);
            CHECK(s, filled(in[i].data, in[i].size, in[i].tag));
            OK(s, duct_msg_release(&in[i]));
        }
    }
    GIVES(s, duct_recv_batch(s->pipe, in, COUNT, &done, 0), DUCT_EAGAIN);
    CHECK(s, done == 0);
    GIVES(s, duct_recv_batch(s->pipe, in, COUNT, &done, A_BIT), DUCT_ETIMEOUT);
    GIVES(s, duct_recv_batch(s->pipe, NULL, COUNT, &done, 0), DUCT_EINVAL);
    GIVES(s, duct_recv_batch(s->pipe, in, COUNT, NULL, 0), DUCT_EINVAL);
}

CONFORMS_KEPT(batches_of_loans, 0, 0, "", batches_of_loans, there_echoes)
/* Two laps of the ring, and no more: a longer batch would leave both sides full. */
CONFORMS_KEPT(batches_of_loans_short_ring, 0, 0, "slots=64", batches_of_loans, there_echoes)

/* Eight of the largest blocks: the receiver keeps up to five messages while it waits for the next, and
 * a small message may lie in a large block, so that with five or fewer both would wait for ever. */
#define ROOM "max_msg=5000&pool=96k"

enum { LARGE = 6 };

/* Fills the batch with loans that are too large for the ring, by as many calls as it takes. */
static void loan_large(struct side *s, size_t size, struct duct_msg *msgs)
{
    for (size_t had = 0, done; had < LARGE; had += done) {
        enum duct_err err = duct_msg_loan_batch(s->pipe, size, msgs + had, LARGE - had, &done);
        if (err == DUCT_EAGAIN) {
            OK(s, duct_msg_loan_aligned(s->pipe, size, DUCT_ALIGN_LINE, SOON, &msgs[had]));
            done = 1;
        } else {
            OK(s, err);
        }
        CHECK(s, done >= 1 && done <= LARGE - had);
    }
}

static void batches_of_large_loans(struct side *s)
{
    struct duct_msg out[LARGE], in[LARGE], small;

    for (uint64_t round = 0; round < 100; round++) {
        size_t size = 300 + round * 40, done;
        loan_large(s, size, out);
        /* One amid them that travels in another way. */
        OK(s, duct_msg_loan(s->pipe, 60, &small));
        OK(s, duct_msg_discard(&out[round % LARGE]));
        out[round % LARGE] = small;
        for (size_t i = 0; i < LARGE; i++) {
            out[i].tag = round * LARGE + i;
            fill(out[i].data, out[i].size, out[i].tag);
        }
        for (size_t sent = 0; sent < LARGE; sent += done)
            OK(s, duct_send_batch(s->pipe, out + sent, LARGE - sent, &done, SOON));
        for (size_t got = 0; got < LARGE; got += done)
            OK(s, duct_recv_batch(s->pipe, in + got, LARGE - got, &done, SOON));
        for (size_t i = 0; i < LARGE; i++) {
            CHECK(s, out[i].data == NULL && in[i].tag == round * LARGE + i);
            CHECK(s, in[i].size == (i == round % LARGE ? 60 : size));
            CHECK(s, filled(in[i].data, in[i].size, in[i].tag));
        }
        OK(s, duct_msg_release_batch(in, LARGE));
        GIVES(s, duct_msg_release(&in[0]), DUCT_EINVAL);
    }
    struct duct_msg none;
    size_t done = 0;
    GIVES(s, duct_msg_loan_batch(s->pipe, 5001, &none, 1, &done), DUCT_ETOOBIG);
}

CONFORMS_KEPT(batches_of_large_loans, 0, 0, ROOM "", batches_of_large_loans, there_echoes)

static void batches_of_copies(struct side *s)
{
    static unsigned char out[COUNT][5000], in[COUNT][5000];
    struct duct_view views[COUNT];
    struct duct_buffer buffers[COUNT];
    size_t done;

    for (uint64_t round = 0; round < 30; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            uint64_t seed = round * COUNT + i;
            views[i] = (struct duct_view){out[i], size_of(seed), seed};
            fill(out[i], views[i].size, seed);
            buffers[i] = (struct duct_buffer){in[i], sizeof(in[i]), 0, 0};
        }
        size_t sent = 0, got = 0;
        while (got < COUNT) {
            if (sent < COUNT) {
                OK(s, duct_write_batch(s->pipe, views + sent, COUNT - sent, &done, SOON));
                sent += done;
            }
            enum duct_err err = duct_read_batch(s->pipe, buffers + got, COUNT - got, &done,
                                                sent < COUNT ? 0 : SOON);
            CHECK(s, err == DUCT_OK || (err == DUCT_EAGAIN && sent < COUNT));
            got += done;
        }
        for (size_t i = 0; i < COUNT; i++) {
            CHECK(s, buffers[i].tag == round * COUNT + i && buffers[i].size == views[i].size);
            CHECK(s, filled(in[i], buffers[i].size, buffers[i].tag));
        }
    }
}

CONFORMS_KEPT(batches_of_copies, 0, 0, "", batches_of_copies, there_echoes)
CONFORMS_KEPT(batches_of_copies_short_ring, 0, 0, "slots=4", batches_of_copies, there_echoes)

/* A buffer too small ends the batch before its message, which is still there. */
static void batch_stops_at_too_big(struct side *s)
{
    unsigned char in[4][300];
    struct duct_buffer buffers[4] = {
        {in[0], 300, 0, 0}, {in[1], 300, 0, 0}, {in[2], 5, 0, 0}, {in[3], 300, 0, 0}};
    size_t done = 0, total = 0;

    for (uint64_t i = 0; i < 4; i++)
        put(s, 100 + i, i);
    enum duct_err err = DUCT_OK;
    while (total < 2) {
        err = duct_read_batch(s->pipe, buffers + total, 4 - total, &done, SOON);
        OK(s, err);
        total += done;
    }
    CHECK(s, total == 2 && buffers[0].size == 100 && buffers[1].size == 101);
    GIVES(s, duct_read_batch(s->pipe, buffers + 2, 2, &done, SOON), DUCT_ETOOBIG);
    CHECK(s, done == 0 && buffers[2].size == 102);
    buffers[2].capacity = 300;
    for (total = 2; total < 4; total += done)
        OK(s, duct_read_batch(s->pipe, buffers + total, 4 - total, &done, SOON));
    CHECK(s, buffers[3].tag == 3 && filled(in[3], 103, 3));
}

CONFORMS_KEPT(batch_stops_at_too_big, 0, 0, "", batch_stops_at_too_big, there_echoes)

/* A batch with a message that cannot be sent ends before it; the rest stays the caller's. */
static void batch_stops_at_invalid(struct side *s)
{
    struct duct_msg out[3] = {{0}};
    size_t done;

    OK(s, duct_msg_loan(s->pipe, 10, &out[0]));
    OK(s, duct_msg_loan(s->pipe, 10, &out[2]));
    fill(out[0].data, 10, 0);
    out[0].tag = 0;
    OK(s, duct_send_batch(s->pipe, out, 3, &done, SOON));
    CHECK(s, done == 1 && out[0].data == NULL && out[2].data != NULL);
    GIVES(s, duct_send_batch(s->pipe, out + 1, 2, &done, SOON), DUCT_EINVAL);
    CHECK(s, done == 0);
    OK(s, duct_msg_discard(&out[2]));
    take(s, 10, 0);
}

CONFORMS_KEPT(batch_stops_at_invalid, 0, 0, "", batch_stops_at_invalid, there_echoes)

/* ---- Order and content ---- */

enum { STREAM = 20000 };

static void stream_out(struct side *s)
{
    static unsigned char bytes[5000];

    for (uint64_t i = 0; i < STREAM; i++) {
        size_t size = size_of(i);
        if (i % 3 == 0) {
            fill(bytes, size, i);
            OK(s, duct_write(s->pipe, bytes, size, i, SOON));
        } else {
            put(s, size, i);
        }
    }
    struct duct_pipe_stats stats = stats_of(s, s->pipe);
    CHECK(s, stats.sent_msgs == STREAM && stats.received_msgs == 0);
    await(s);
}

static void stream_in(struct side *s)
{
    static unsigned char bytes[5000];
    struct duct_msg held[16];
    uint64_t total = 0;
    size_t hold = 0;

    for (uint64_t i = 0; i < STREAM; i++) {
        size_t size;
        uint64_t tag;
        total += size_of(i);
        if (i % 5 < 2) {
            OK(s, duct_read(s->pipe, bytes, sizeof(bytes), &size, &tag, SOON));
            CHECK(s, tag == i && size == size_of(i) && filled(bytes, size, i));
            continue;
        }
        /* Some are held a while, and given back in another order. */
        OK(s, duct_recv(s->pipe, &held[hold], SOON));
        CHECK(s, held[hold].tag == i && held[hold].size == size_of(i));
        if (++hold == 6) {
            for (size_t k = 0; k < hold; k++) {
                struct duct_msg *msg = &held[(k * 5 + 2) % hold];
                CHECK(s, filled(msg->data, msg->size, msg->tag));
                OK(s, duct_msg_release(msg));
            }
            hold = 0;
        }
    }
    struct duct_pipe_stats stats = stats_of(s, s->pipe);
    CHECK(s, stats.received_msgs == STREAM && stats.received_bytes == total);
    tell(s);
    while (hold > 0)
        OK(s, duct_msg_release(&held[--hold]));
}

CONFORMS(stream, 0, 0, ROOM "", stream_in, stream_out)
CONFORMS(stream_slots_2, 0, 0, ROOM "&slots=2", stream_in, stream_out)
CONFORMS(stream_slots_4, 0, 0, ROOM "&slots=4", stream_in, stream_out)
CONFORMS(stream_slots_16, 0, 0, ROOM "&slots=16", stream_in, stream_out)
CONFORMS(stream_parked, 0, 0, ROOM "&wait=park&slots=16", stream_in, stream_out)
CONFORMS(stream_yield, 0, 0, ROOM "&wait=yield", stream_in, stream_out)
CONFORMS(stream_spin, 0, 0, ROOM "&wait=spin", stream_in, stream_out)
CONFORMS(stream_sleeper_pays, 0, 0, ROOM "&fence=sleeper", stream_in, stream_out)
CONFORMS(stream_sender_pays, 0, 0, ROOM "&fence=sender&wait=park", stream_in, stream_out)
CONFORMS(stream_growing_pool, 0, 0, "max_msg=5000&pool=8k&pool_max=256k", stream_in, stream_out)
