/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/pair.h"

/*
 * An honest pair against a model of it. The input is a sequence of calls on either half. What arrives
 * is what was sent, in order and whole; AGAIN is said only where there is no room; whoever sleeps is
 * woken; and in the end every block is back.
 */

#define STEPS_MAX 400u
#define CELLS_MAX 40u

static struct pair *current; /* for grow() */

static enum duct_err grow(struct di_sender *sender)
{
    if (current->no_memory)
        return DUCT_ENOSPACE;
    return di_pool_add(&sender->pool, current->from.pools[sender->pool.segment_count]);
}

static unsigned char content(uint64_t tag, size_t at)
{
    return (unsigned char)(tag * 37 + at * 11 + (at >> 8));
}

void pair_fill(void *data, size_t size, uint64_t tag)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)data)[i] = content(tag, i);
}

void pair_check_content(const void *data, size_t size, uint64_t tag)
{
    for (size_t i = 0; i < size; i++)
        FUZZ_CHECK(((const unsigned char *)data)[i] == content(tag, i));
}

size_t pair_some_size(struct pair *p)
{
    uint16_t size = input_u16(&p->in);

    return size & 0x8000 ? size & 0xff : size % (p->from.geometry.header.max_msg + 2);
}

void pair_sent(struct pair *p, size_t size, uint64_t tag)
{
    FUZZ_CHECK(p->sent - p->received < QUEUE_MAX);
    p->queue[p->sent++ % QUEUE_MAX] = (struct sent){.tag = tag, .size = size};
}

void pair_received(struct pair *p, const void *data, size_t size, uint64_t tag)
{
    FUZZ_CHECK(p->received < p->sent);
    const struct sent *want = &p->queue[p->received++ % QUEUE_MAX];
    FUZZ_CHECK(want->tag == tag && want->size == size);
    pair_check_content(data, size, tag);
}

/* As shm_pipe_arm(): what is due is published, the word is stored, then comes the look. */
static void sleep_receiver(struct pair *p)
{
    di_receiver_publish_due(&p->receiver);
    p->receiver_bell = di_sleeper_arm(&p->receiver.sleeper, DI_WANT_DATA, DI_DOORBELL_FUTEX, false);
    p->receiver_sleeps = !di_receiver_ready(&p->receiver);
    FUZZ_CHECK(p->receiver_sleeps == (p->received == p->sent));
}

static void sleep_sender(struct pair *p)
{
    enum duct_err err = DUCT_OK;

    p->sender_bell = di_sleeper_arm(&p->sender.sleeper, DI_WANT_SPACE | DI_WANT_BLOCKS,
                                    DI_DOORBELL_FUTEX, false);
    p->sender_sleeps = !di_sender_has_need(&p->sender, &err);
    FUZZ_CHECK(err == DUCT_OK);
    if (!p->sender_sleeps)
        di_sleeper_disarm(&p->sender.sleeper);
}

/* Asleep beside what it waits for, and nobody rang: a lost wake-up. */
static void check_sleep(struct pair *p)
{
    enum duct_err err = DUCT_OK;

    if (p->receiver_sleeps && di_sleeper_bell(&p->receiver.sleeper) == p->receiver_bell)
        FUZZ_CHECK(!di_receiver_ready(&p->receiver));
    else
        p->receiver_sleeps = false;
    if (p->sender_sleeps && di_sleeper_bell(&p->sender.sleeper) == p->sender_bell)
        FUZZ_CHECK(!di_sender_has_need(&p->sender, &err) && err == DUCT_OK);
    else
        p->sender_sleeps = false;
}

/* A sleeping half makes no calls. */
static void send_step(struct pair *p, uint8_t what)
{
    if (p->sender_sleeps)
        return;
    pair_send(p, what);
    di_sender_flush(&p->sender);
    if (what == 15)
        sleep_sender(p);
}

static void receive_step(struct pair *p, uint8_t what)
{
    uint8_t how = input_byte(&p->in);
    uint64_t before = p->received;

    if (what < 2) /* asleep or not: by any thread, of which the owner is then told */
        pair_release(p, how | p->receiver_sleeps);
    if (p->receiver_sleeps)
        return;
    if (what == 7)
        sleep_receiver(p);
    else
        pair_receive(p, what, how);
    /* Nothing is put off while somebody waits for it. */
    if (p->received != before && p->sender_sleeps)
        FUZZ_CHECK(p->receiver.ring.head == p->receiver.ring.published &&
                   p->receiver.returns.put == p->receiver.returns.published);
}

/* The end: everything arrives, everything comes back. */
static void finish(struct pair *p)
{
    enum duct_err err = DUCT_OK;

    while (p->loan_count > 0) {
        struct duct_msg *msg = &p->loans[--p->loan_count];
        FUZZ_CHECK(p->sender.owner.discard(&p->sender.owner, msg) == DUCT_OK);
    }
    while (p->received < p->sent)
        pair_read(p, false, true);
    while (p->held_count > 0)
        pair_release(p, (uint8_t)p->held_count);
    di_receiver_collect(&p->receiver);
    di_receiver_publish_due(&p->receiver);
    FUZZ_CHECK(di_sender_collect(&p->sender) == DUCT_OK);
    side_audit(&p->sender.pool);
    FUZZ_CHECK(p->sender.pool.loaned == 0 && p->sender.pool.sent == 0);
    FUZZ_CHECK(p->sender.cells.taken == 0 && p->receiver.cells.taken == 0);
    FUZZ_CHECK(di_sender_ready(&p->sender, &err) && err == DUCT_OK);
    FUZZ_CHECK(p->sender.msgs == p->sent && p->receiver.msgs == p->sent);
    FUZZ_CHECK(p->sender.bytes == p->receiver.bytes);
    di_receiver_close(&p->receiver);
    FUZZ_CHECK(side_freed() == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pair *p = current = calloc(1, sizeof(*p));

    FUZZ_CHECK(p != NULL);
    p->in = (struct input){.at = data, .left = size};
    sides_open(&p->from, &p->to, &p->in);
    side_sender(&p->sender, &p->from, &p->to, 1 + input_byte(&p->in) % CELLS_MAX);
    side_receiver(&p->receiver, &p->from, &p->to, 1 + input_byte(&p->in) % CELLS_MAX);
    p->sender.grow = grow;
    for (unsigned i = 0; i < STEPS_MAX && p->in.left > 0; i++) {
        uint8_t what = input_byte(&p->in);
        if (what & 16)
            receive_step(p, what & 15);
        else
            send_step(p, what & 15);
        check_sleep(p);
        side_audit(&p->sender.pool);
    }
    finish(p);
    di_receiver_fini(&p->receiver);
    di_sender_fini(&p->sender);
    sides_close(&p->from, &p->to);
    free(p);
    return 0;
}
