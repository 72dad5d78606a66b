/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/pair.h"

/* The receiving half of the pair. */

/* True: a segment was learnt, try again. */
static bool learn(struct pair *p)
{
    if (!p->receiver.unknown_segment)
        return false;
    p->receiver.unknown_segment = false;
    FUZZ_CHECK(p->receiver.segment_count < p->sender.pool.segment_count);
    enum duct_err err =
        di_receiver_add_segment(&p->receiver, side_peer(p->from.pools[p->receiver.segment_count]));
    FUZZ_CHECK(err == DUCT_OK);
    return true;
}

static void keep_held(struct pair *p, const struct duct_msg *msg)
{
    if (!(di_ref_index(msg->ref) & DI_REF_CELL))
        FUZZ_CHECK(side_holds(&p->from, msg->data, msg->size));
    pair_received(p, msg->data, msg->size, msg->tag);
    p->held[p->held_count++] = *msg;
}

static void receive(struct pair *p)
{
    struct duct_msg msg;
    enum duct_err err;

    if (p->held_count == HELD_MAX)
        return;
    do
        err = di_receiver_recv(&p->receiver, &msg);
    while (err == DUCT_EAGAIN && learn(p));
    if (err == DUCT_OK)
        keep_held(p, &msg);
    else if (err == DUCT_ELIMIT)
        FUZZ_CHECK(p->receiver.cells.free == NULL && p->held_count > 0);
    else
        FUZZ_CHECK(err == DUCT_EAGAIN && p->received == p->sent);
}

static void receive_run(struct pair *p)
{
    struct duct_msg msgs[RUN_MAX];
    size_t room = HELD_MAX - p->held_count;
    size_t count = di_receiver_recv_run(&p->receiver, msgs, room < RUN_MAX ? room : RUN_MAX);

    for (size_t i = 0; i < count; i++)
        keep_held(p, &msgs[i]);
}

void pair_read(struct pair *p, bool fast, bool all)
{
    size_t capacity = all ? p->from.geometry.header.max_msg : input_byte(&p->in);
    void *data = malloc(capacity + (capacity == 0));
    size_t size = SIZE_MAX;
    uint64_t tag = 0;
    enum duct_err err = DUCT_OK;

    FUZZ_CHECK(data != NULL);
    if (!fast || !di_receiver_read_fast(&p->receiver, data, capacity, &size, &tag)) {
        do
            err = di_receiver_read(&p->receiver, data, capacity, &size, &tag);
        while (err == DUCT_EAGAIN && learn(p));
    }
    if (err == DUCT_OK)
        pair_received(p, data, size, tag);
    else if (err == DUCT_ETOOBIG)
        FUZZ_CHECK(size == p->queue[p->received % QUEUE_MAX].size && size > capacity);
    else
        FUZZ_CHECK(err == DUCT_EAGAIN && p->received == p->sent);
    free(data);
}

static void read_run(struct pair *p)
{
    struct duct_buffer buffers[RUN_MAX] = {{0}};

    for (size_t i = 0; i < RUN_MAX; i++) {
        buffers[i].capacity = input_byte(&p->in) % 128;
        FUZZ_CHECK((buffers[i].data = malloc(buffers[i].capacity + 1)) != NULL);
    }
    size_t count = di_receiver_read_run(&p->receiver, buffers, RUN_MAX);
    FUZZ_CHECK(count <= RUN_MAX);
    for (size_t i = 0; i < count; i++)
        pair_received(p, buffers[i].data, buffers[i].size, buffers[i].tag);
    for (size_t i = 0; i < RUN_MAX; i++)
        free(buffers[i].data);
}

void pair_release(struct pair *p, uint8_t how)
{
    if (p->held_count == 0)
        return;
    struct duct_msg *msg = &p->held[(how >> 1) % p->held_count];
    struct duct_msg again = *msg;
    /* As it came, however long it was held, and whatever was sent meanwhile. */
    pair_check_content(msg->data, msg->size, msg->tag);
    enum duct_err err = how & 1 ? side_release_elsewhere(msg) : side_release(msg);
    FUZZ_CHECK(err == DUCT_OK);
    FUZZ_CHECK(side_release(&again) == DUCT_EINVAL);
    *msg = p->held[--p->held_count];
}

static void release_run(struct pair *p)
{
    uint32_t from = p->held_count - (p->held_count < RUN_MAX ? p->held_count : RUN_MAX);
    size_t count = p->held_count - from;
    size_t done = di_receiver_release_run(&p->receiver, p->held + from, count);

    FUZZ_CHECK(done <= count);
    memmove(p->held + from, p->held + from + done, (count - done) * sizeof(p->held[0]));
    p->held_count -= (uint32_t)done;
}

void pair_receive(struct pair *p, uint8_t what, uint8_t how)
{
    if (what == 2)
        release_run(p);
    else if (what == 3)
        di_receiver_collect(&p->receiver);
    else if (what == 4)
        di_receiver_publish(&p->receiver);
    else if (what == 5)
        receive_run(p);
    else if (what == 6)
        read_run(p);
    else if (what == 8)
        p->receiver.asymmetric_after = how;
    else if (what == 9)
        p->no_memory = how & 1;
    else if (what < 12)
        receive(p);
    else
        pair_read(p, what & 1, how & 1);
}
