/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/conformance/suite.h"

/* Flow: what is full says so, is counted, and goes on when there is room again. */

static uint64_t fill_ring(struct side *s, size_t size, uint64_t first)
{
    unsigned char bytes[256];
    enum duct_err err;
    uint64_t i = first;

    for (;; i++) {
        fill(bytes, size, i);
        if ((err = duct_write(s->pipe, bytes, size, i, 0)) != DUCT_OK)
            break;
        CHECK(s, i < 1000000);
    }
    GIVES(s, err, DUCT_EAGAIN);
    return i;
}

/* Receives what is asked for, in steps: "tell" from here, then so many. */
static void there_takes_all(struct side *s)
{
    struct duct_msg msg;
    uint64_t expected = 0;
    enum duct_err err;

    await(s);
    while ((err = duct_recv(s->pipe, &msg, SOON)) == DUCT_OK) {
        CHECK(s, msg.tag == expected && filled(msg.data, msg.size, msg.tag));
        expected++;
        OK(s, duct_msg_release(&msg));
    }
    GIVES(s, err, DUCT_ECLOSED);
}

static void ring_full(struct side *s)
{
    struct duct_msg msg;
    uint64_t sent = fill_ring(s, 8, 0);

    CHECK(s, sent == info_of(s, s->pipe).slots_send);
    CHECK(s, stats_of(s, s->pipe).full_ring >= 1);
    CHECK(s, stats_of(s, s->pipe).sent_msgs == sent);
    /* A loan is no slot: it succeeds, and stays ours when it cannot be sent. */
    OK(s, duct_msg_loan(s->pipe, 100, &msg));
    fill(msg.data, 100, sent);
    msg.tag = sent;
    uint64_t before = stats_of(s, s->pipe).full_ring;
    GIVES(s, duct_send(s->pipe, &msg, 0), DUCT_EAGAIN);
    CHECK(s, stats_of(s, s->pipe).full_ring > before);
    GIVES(s, duct_send(s->pipe, &msg, A_BIT), DUCT_ETIMEOUT);
    CHECK(s, msg.data != NULL && msg.size == 100);
    tell(s);
    OK(s, duct_send(s->pipe, &msg, SOON));
    put(s, 208, sent + 1);
    CHECK(s, stats_of(s, s->pipe).sent_msgs == sent + 2);
}

CONFORMS(ring_full, CAN_SHARE, 0, "", ring_full, there_takes_all)
CONFORMS(ring_full_2, CAN_SHARE, 0, "slots=2", ring_full, there_takes_all)
CONFORMS(ring_full_8, CAN_SHARE, 0, "slots=8", ring_full, there_takes_all)
CONFORMS(ring_full_1024, CAN_SHARE, 0, "slots=1024", ring_full, there_takes_all)

static void pool_full(struct side *s)
{
    struct duct_msg msgs[64], more = {.tag = 5};
    size_t count = 0;
    enum duct_err err;

    while (count < 64 && (err = duct_msg_loan(s->pipe, 4096, &msgs[count])) == DUCT_OK)
        count++;
    GIVES(s, err, DUCT_EAGAIN);
    CHECK(s, count >= 2 && count < 64 && stats_of(s, s->pipe).full_pool >= 1);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < i; k++)
            CHECK(s, labs((char *)msgs[i].data - (char *)msgs[k].data) >= 4096);
    }
    GIVES(s, duct_msg_loan_aligned(s->pipe, 4096, DUCT_ALIGN_LINE, A_BIT, &more), DUCT_ETIMEOUT);
    CHECK(s, more.tag == 5);
    GIVES(s, duct_write(s->pipe, msgs[0].data, 4096, 0, 0), DUCT_EAGAIN);
    /* What is small needs no block. */
    for (uint64_t i = 0; i < 3; i++)
        put(s, 100, i);
    /* One given back is one to be had. */
    OK(s, duct_msg_discard(&msgs[--count]));
    OK(s, duct_msg_loan(s->pipe, 4096, &msgs[count++]));
    for (size_t i = 0; i < count; i++) {
        fill(msgs[i].data, 4096, 3 + i);
        msgs[i].tag = 3 + i;
        OK(s, duct_send(s->pipe, &msgs[i], SOON));
    }
    GIVES(s, duct_msg_loan(s->pipe, 4096, &more), DUCT_EAGAIN);
    tell(s);
    for (size_t i = 0; i < 200; i++)
        put(s, 4096, 3 + count + i);
}

CONFORMS(pool_full, CAN_SHARE, 0, "max_msg=4096&pool=16k", pool_full, there_takes_all)
CONFORMS(pool_full_parked, CAN_SHARE, 0, "max_msg=4096&pool=16k&wait=park", pool_full,
         there_takes_all)

/* ---- Held messages ---- */

static void held_limit(struct side *s)
{
    struct duct_msg msgs[64], more = {.tag = 5};
    unsigned char bytes[64];
    size_t count = 0, size;
    enum duct_err err;

    await(s);
    while (count < 64 && (err = duct_recv(s->pipe, &msgs[count], SOON)) == DUCT_OK)
        count++;
    GIVES(s, err, DUCT_ELIMIT);
    CHECK(s, count == 32 && says("held") && more.tag == 5);
    CHECK(s, stats_of(s, s->pipe).full_held == 1);
    GIVES(s, duct_recv(s->pipe, &more, 0), DUCT_ELIMIT);
    /* A copy needs no place. */
    OK(s, duct_read(s->pipe, bytes, sizeof(bytes), &size, NULL, 0));
    CHECK(s, filled(bytes, size, count));
    OK(s, duct_msg_release(&msgs[7]));
    OK(s, duct_recv(s->pipe, &msgs[7], 0));
    CHECK(s, msgs[7].tag == count + 1);
    for (size_t i = 0; i < count; i++) {
        CHECK(s, filled(msgs[i].data, msgs[i].size, msgs[i].tag));
        OK(s, duct_msg_release(&msgs[i]));
    }
    tell(s);
}

static void there_sends_40(struct side *s)
{
    for (uint64_t i = 0; i < 40; i++)
        put(s, 16, i);
    tell(s);
    await(s);
}

CONFORMS(held_limit, CAN_SHARE, 0, "held=32", held_limit, there_sends_40)

/* Messages that are held never hold up the ring. */
static void held_holds_nothing_up(struct side *s)
{
    struct duct_msg held, msg;

    OK(s, duct_recv(s->pipe, &held, SOON));
    for (uint64_t i = 1; i < 1000; i++) {
        OK(s, duct_recv(s->pipe, &msg, SOON));
        CHECK(s, msg.tag == i);
        OK(s, duct_msg_release(&msg));
    }
    CHECK(s, filled(held.data, held.size, 0));
    OK(s, duct_msg_release(&held));
    tell(s);
}

static void there_sends_1000(struct side *s)
{
    for (uint64_t i = 0; i < 1000; i++)
        put(s, 24, i);
    await(s);
}

CONFORMS(held_holds_nothing_up, 0, 0, "slots=2", held_holds_nothing_up, there_sends_1000)

/* ---- Late publication ---- */

/* The ring is full and its producer waits; the consumer takes one message and falls silent. The
 * producer must not hang: its message fits. */
static void there_takes_one(struct side *s)
{
    for (uint64_t i = 0; i < 20; i++) {
        struct duct_msg msg;
        await(s);
        OK(s, duct_recv(s->pipe, &msg, SOON));
        CHECK(s, msg.tag == i);
        OK(s, duct_msg_release(&msg));
    }
    await(s);
}

static void producer_goes_on(struct side *s)
{
    unsigned char bytes[8];
    uint64_t next = fill_ring(s, 8, 0);

    for (uint64_t i = 0; i < 20; i++, next++) {
        fill(bytes, 8, next);
        tell(s);
        OK(s, duct_write(s->pipe, bytes, 8, next, SOON));
    }
    tell(s);
}

CONFORMS(producer_goes_on_2, CAN_SHARE, 0, "slots=2", producer_goes_on, there_takes_one)
CONFORMS(producer_goes_on_4, CAN_SHARE, 0, "slots=4", producer_goes_on, there_takes_one)
CONFORMS(producer_goes_on_8, CAN_SHARE, 0, "slots=8", producer_goes_on, there_takes_one)
CONFORMS(producer_goes_on_8_parked, CAN_SHARE, 0, "slots=8&wait=park", producer_goes_on,
         there_takes_one)
/* Long enough in its spin for the one message to be taken there. */
CONFORMS(producer_goes_on_8_spinning, CAN_SHARE, 0, "slots=8&spin=50ms", producer_goes_on,
         there_takes_one)

/* The same for blocks: one that fits comes back, though none of the largest. */
static void smaller_block(struct side *s)
{
    struct duct_msg out[64], big[64], one;
    size_t small = 0, large = 0;

    while (large < 64 && duct_msg_loan(s->pipe, 4096, &big[large]) == DUCT_OK)
        large++;
    while (small < 64 && duct_msg_loan(s->pipe, 300, &out[small]) == DUCT_OK)
        small++;
    CHECK(s, large >= 1 && small >= 1);
    for (size_t i = 0; i < small; i++) {
        out[i].tag = i;
        fill(out[i].data, 300, i);
        OK(s, duct_send(s->pipe, &out[i], SOON));
    }
    for (size_t i = 0; i < small; i++) {
        tell(s);
        OK(s, duct_msg_loan_aligned(s->pipe, 300, DUCT_ALIGN_LINE, SOON, &one));
    }
    tell(s);
}

static void there_takes_each(struct side *s)
{
    struct duct_msg msg;
    enum duct_err err;

    for (;;) {
        await(s);
        if ((err = duct_recv(s->pipe, &msg, 0)) != DUCT_OK)
            break;
        OK(s, duct_msg_release(&msg));
    }
    CHECK(s, err == DUCT_EAGAIN || err == DUCT_ECLOSED);
}

CONFORMS(smaller_block, CAN_SHARE, 0, "max_msg=4096&pool=16k&spin=50ms", smaller_block,
         there_takes_each)

/* ---- Both full ---- */

static void both_full_here(struct side *s)
{
    unsigned char bytes[8] = {0};

    fill_ring(s, 8, 0);
    tell(s);
    await(s);
    /* One of the two is refused at once; whoever is then receives. */
    enum duct_err err = duct_write(s->pipe, bytes, 8, 0, SOON);
    if (err == DUCT_EAGAIN) {
        struct duct_msg msg;
        CHECK(s, says("both full"));
        while (duct_recv(s->pipe, &msg, 0) == DUCT_OK)
            OK(s, duct_msg_release(&msg));
    } else {
        OK(s, err);
    }
    tell(s);
    await(s);
}

CONFORMS(both_full, CAN_SHARE, 0, "", both_full_here, both_full_here)
CONFORMS(both_full_parked, CAN_SHARE, 0, "slots=4&wait=park", both_full_here, both_full_here)
CONFORMS(both_full_spinning, CAN_SHARE, 0, "wait=spin", both_full_here, both_full_here)

/* ---- MORE ---- */

static void more_then_flush(struct side *s)
{
    struct duct_msg msg;

    await(s);
    uint64_t rung = stats_of(s, s->pipe).doorbells_rung;
    uint64_t fences = stats_of(s, s->pipe).fences;
    for (uint64_t i = 0; i < 50; i++) {
        OK(s, duct_msg_loan(s->pipe, 8, &msg));
        fill(msg.data, 8, i);
        msg.tag = i;
        msg.flags = DUCT_MSG_MORE;
        OK(s, duct_send(s->pipe, &msg, 0));
    }
    CHECK(s, stats_of(s, s->pipe).doorbells_rung == rung);
    CHECK(s, stats_of(s, s->pipe).fences == fences);
    OK(s, duct_flush(s->pipe));
    CHECK(s, stats_of(s, s->pipe).doorbells_rung <= rung + 1);
    await(s);
}

static void there_takes_50(struct side *s)
{
    tell(s);
    for (uint64_t i = 0; i < 50; i++)
        take(s, 8, i);
    tell(s);
}

CONFORMS(more_then_flush, CAN_SHARE, 0, "wait=park", more_then_flush, there_takes_50)
