/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/pair.h"

/* The sending half of the pair. */

#define PIECES_MAX 3u

/* A refusal has a reason. needs_slot: a message, and not only a loan. */
static void check_refusal(struct pair *p, enum duct_err err, size_t size, size_t align,
                          bool needs_slot)
{
    const struct di_sender *sender = &p->sender;
    uint64_t used = sender->ring.tail - p->receiver.ring.published;
    uint64_t slots = p->from.geometry.header.slots;
    bool small = size <= sender->immediate_max;

    if (err == DUCT_ETOOBIG) {
        FUZZ_CHECK(size > sender->max_msg);
        return;
    }
    FUZZ_CHECK(err == DUCT_EAGAIN);
    if (needs_slot && used + (small ? di_slots_of((uint32_t)size) : 1) > slots)
        return;
    if (small && align <= DI_LINE) {
        FUZZ_CHECK(!needs_slot && sender->cells.free == NULL);
        FUZZ_CHECK(sender->cells.taken >= sender->cells.chunks_max * DI_CELLS_PER_CHUNK);
        return;
    }
    FUZZ_CHECK(!di_pool_has(&sender->pool, size, align));
    FUZZ_CHECK(p->no_memory ||
               sender->pool.segment_count == p->from.geometry.header.pool_segments_max ||
               align > DI_LINE);
}

static void keep_loan(struct pair *p, struct duct_msg *msg)
{
    if (!(di_ref_index(msg->ref) & DI_REF_CELL))
        FUZZ_CHECK(side_holds(&p->from, msg->data, msg->size));
    msg->tag = ++p->tags;
    pair_fill(msg->data, msg->size, msg->tag);
    p->loans[p->loan_count++] = *msg;
}

static void loan(struct pair *p)
{
    struct duct_msg msg;
    size_t size = pair_some_size(p);
    size_t align = input_byte(&p->in) & 1 ? DUCT_ALIGN_PAGE : DUCT_ALIGN_LINE;
    enum duct_err err = di_sender_loan(&p->sender, size, align, &msg);

    if (err == DUCT_OK) {
        FUZZ_CHECK(msg.size == size && (uintptr_t)msg.data % align == 0);
        keep_loan(p, &msg);
    } else {
        check_refusal(p, err, size, align, false);
    }
}

static void loan_batch(struct pair *p)
{
    struct duct_msg msgs[RUN_MAX];
    size_t size = pair_some_size(p);
    size_t room = LOANS_MAX - p->loan_count;
    size_t want = room < RUN_MAX ? room : RUN_MAX;
    size_t done = SIZE_MAX;
    enum duct_err err = di_sender_loan_batch(&p->sender, size, msgs, want, &done);

    FUZZ_CHECK(done <= want && (err == DUCT_OK) == (done == want));
    for (size_t i = 0; i < done; i++)
        keep_loan(p, &msgs[i]);
    if (err != DUCT_OK)
        check_refusal(p, err, size, DI_LINE, false);
}

/* Sends one of the loans, as a rule made shorter, or tries to send it longer than it is. */
static void publish(struct pair *p)
{
    if (p->loan_count == 0)
        return;
    uint32_t index = input_byte(&p->in) % p->loan_count;
    uint8_t how = input_byte(&p->in);
    struct duct_msg *msg = &p->loans[index];
    struct duct_msg as_was = *msg;
    pair_check_content(msg->data, msg->size, msg->tag);
    if (how == 255) {
        msg->size = SIZE_MAX - how;
        FUZZ_CHECK(di_sender_publish(&p->sender, msg) == DUCT_EINVAL);
        *msg = as_was;
        return;
    }
    msg->size = how & 1 ? msg->size * (how / 2) / 128 : msg->size;
    size_t size = msg->size;
    bool cell = di_ref_index(msg->ref) & DI_REF_CELL;
    enum duct_err err = di_sender_publish(&p->sender, msg);
    if (err != DUCT_OK) {
        uint64_t used = p->sender.ring.tail - p->receiver.ring.published;
        FUZZ_CHECK(err == DUCT_EAGAIN && msg->owner == &p->sender.owner);
        FUZZ_CHECK(used + (cell ? di_slots_of((uint32_t)size) : 1) > p->from.geometry.header.slots);
        return;
    }
    pair_sent(p, size, as_was.tag);
    *msg = p->loans[--p->loan_count];
    FUZZ_CHECK(di_sender_publish(&p->sender, &as_was) == DUCT_EINVAL);
}

static void publish_batch(struct pair *p)
{
    size_t count = p->loan_count < RUN_MAX ? p->loan_count : RUN_MAX;
    struct duct_msg copies[RUN_MAX];
    size_t done = SIZE_MAX;

    memcpy(copies, p->loans, count * sizeof(copies[0]));
    enum duct_err err = di_sender_publish_batch(&p->sender, p->loans, count, &done);
    FUZZ_CHECK(done <= count && (err == DUCT_OK) == (done == count));
    FUZZ_CHECK(err == DUCT_OK || err == DUCT_EAGAIN);
    for (size_t i = 0; i < done; i++)
        pair_sent(p, copies[i].size, copies[i].tag);
    memmove(p->loans, p->loans + done, (p->loan_count - done) * sizeof(p->loans[0]));
    p->loan_count -= (uint32_t)done;
}

static void discard(struct pair *p)
{
    if (p->loan_count == 0)
        return;
    struct duct_msg *msg = &p->loans[input_byte(&p->in) % p->loan_count];
    struct duct_msg again = *msg;
    pair_check_content(msg->data, msg->size, msg->tag);
    FUZZ_CHECK(p->sender.owner.discard(&p->sender.owner, msg) == DUCT_OK);
    FUZZ_CHECK(p->sender.owner.discard(&p->sender.owner, &again) == DUCT_EINVAL);
    *msg = p->loans[--p->loan_count];
}

static void write_copy(struct pair *p, bool in_pieces)
{
    size_t size = pair_some_size(p);
    unsigned char *data = malloc(size + (size == 0));
    struct iovec pieces[PIECES_MAX];
    size_t left = size;
    uint64_t tag = ++p->tags;
    enum duct_err err;

    FUZZ_CHECK(data != NULL);
    pair_fill(data, size, tag);
    for (size_t i = 0; i < PIECES_MAX; i++) {
        size_t here = i + 1 == PIECES_MAX ? left : input_byte(&p->in) % (left + 1);
        pieces[i] = (struct iovec){.iov_base = data + (size - left), .iov_len = here};
        left -= here;
    }
    if (in_pieces)
        err = di_sender_put_pieces(&p->sender, pieces, PIECES_MAX, size, tag);
    else
        err = di_sender_put(&p->sender, data, size, tag);
    if (err == DUCT_OK)
        pair_sent(p, size, tag);
    else
        check_refusal(p, err, size, DI_LINE, true);
    free(data);
}

static void write_batch(struct pair *p)
{
    struct duct_view views[RUN_MAX];
    unsigned char *data[RUN_MAX];
    size_t done = SIZE_MAX;

    for (size_t i = 0; i < RUN_MAX; i++) {
        size_t size = input_byte(&p->in);
        if (size > p->from.geometry.header.max_msg)
            size = p->from.geometry.header.max_msg;
        FUZZ_CHECK((data[i] = malloc(size + (size == 0))) != NULL);
        views[i] = (struct duct_view){.data = data[i], .size = size, .tag = ++p->tags};
        pair_fill(data[i], size, views[i].tag);
    }
    enum duct_err err = di_sender_put_batch(&p->sender, views, RUN_MAX, &done);
    FUZZ_CHECK(done <= RUN_MAX && (err == DUCT_OK) == (done == RUN_MAX));
    for (size_t i = 0; i < done; i++)
        pair_sent(p, views[i].size, views[i].tag);
    if (err != DUCT_OK)
        check_refusal(p, err, views[done].size, DI_LINE, true);
    for (size_t i = 0; i < RUN_MAX; i++)
        free(data[i]);
}

void pair_send(struct pair *p, uint8_t what)
{
    if (what == 0 && p->loan_count < LOANS_MAX)
        loan(p);
    else if (what == 1 && p->loan_count < LOANS_MAX)
        loan_batch(p);
    else if (what == 2)
        publish(p);
    else if (what == 3)
        publish_batch(p);
    else if (what == 4)
        write_batch(p);
    else if (what == 5)
        discard(p);
    else if (what == 6)
        FUZZ_CHECK(di_sender_collect(&p->sender) == DUCT_OK);
    else
        write_copy(p, what & 1);
}
