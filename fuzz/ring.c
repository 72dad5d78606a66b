/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/plain.h"
#include "fuzz/sides.h"

/*
 * A receiver against a sender that writes anything, at any time between two calls: no access outside
 * of what is shared, no endless loop, and whatever is handed out lies in the peer's pool or in our
 * own cells.
 */

#define STEPS_MAX 300u
#define HELD_MAX  64u
#define RUN_MAX   8u
#define CELLS_MAX 32u

struct attack {
    struct input in;
    struct side own, peer; /* peer: the memory that the input writes */
    struct di_receiver receiver;
    struct duct_msg held[HELD_MAX];
    uint32_t held_count;
    bool dead; /* said to be corrupt: nothing more is received */
};

static struct di_slot *slot_at(struct attack *a, uint64_t position)
{
    struct di_slot *slots = (void *)(a->peer.outbox + DI_OUTBOX_SLOTS_AT);

    return &slots[position & (a->peer.geometry.header.slots - 1)];
}

/* Raw bytes, anywhere. */
static void scribble(struct attack *a)
{
    uint64_t size = input_byte(&a->in) % 64;
    uint64_t at = input_u32(&a->in) % (a->peer.geometry.header.outbox_bytes - size);

    input_bytes(&a->in, a->peer.outbox + at, size);
}

/* A descriptor that is all but right, near the head, for the checks behind the first. */
static void describe(struct attack *a)
{
    uint8_t how = input_byte(&a->in);
    uint64_t position = a->receiver.ring.head + (how & 3);
    struct di_slot *slot = slot_at(a, position);
    uint16_t kind = how & 4 ? DI_KIND_BLOCK : DI_KIND_IMMEDIATE;
    uint32_t size = how & 8 ? input_u32(&a->in) : input_byte(&a->in);
    uint32_t index = how & 16 ? input_u32(&a->in) : input_byte(&a->in) % 16;

    if (how & 32)
        kind = input_byte(&a->in);
    atomic_store_explicit(&slot->head, di_head_make(size, kind), memory_order_relaxed);
    atomic_store_explicit(&slot->tag, how, memory_order_relaxed);
    atomic_store_explicit(&slot->block, di_block_ref(index, how), memory_order_relaxed);
    /* Relaxed, all: there is one thread. */
    atomic_store_explicit(&slot->stamp, position + (how & 64 ? input_byte(&a->in) : 1),
                          memory_order_relaxed);
}

static void corrupt_or_again(struct attack *a, enum duct_err err)
{
    FUZZ_CHECK(err == DUCT_EAGAIN || err == DUCT_ECORRUPT || err == DUCT_ELIMIT ||
               err == DUCT_ETOOBIG);
    if (err == DUCT_ECORRUPT) {
        FUZZ_CHECK(plain_text(duct_err_detail(), strlen(duct_err_detail())));
        a->dead = true;
    }
    if (err == DUCT_EAGAIN && a->receiver.unknown_segment) {
        a->receiver.unknown_segment = false;
        if (a->receiver.segment_count < a->peer.geometry.header.pool_segments_max)
            err = di_receiver_add_segment(&a->receiver,
                                          side_peer(a->peer.pools[a->receiver.segment_count]));
        else
            a->dead = true;
        FUZZ_CHECK(err == DUCT_OK || err == DUCT_EAGAIN);
    }
}

/* A view: readable, where it should be, and of a plausible size. */
static void check_view(const struct attack *a, const struct duct_msg *msg)
{
    unsigned sum = 0;

    FUZZ_CHECK(msg->size <= a->peer.geometry.header.max_msg);
    if (di_ref_index(msg->ref) & DI_REF_CELL)
        FUZZ_CHECK(msg->size <= DI_IMMEDIATE_MAX);
    else
        FUZZ_CHECK(side_holds(&a->peer, msg->data, msg->size));
    for (size_t i = 0; i < msg->size; i++)
        sum += ((const unsigned char *)msg->data)[i];
    FUZZ_CHECK(sum <= 255 * msg->size);
}

static void receive(struct attack *a)
{
    struct duct_msg msg, untouched;

    memset(&msg, 0x5a, sizeof(msg));
    untouched = msg;
    enum duct_err err = di_receiver_recv(&a->receiver, &msg);
    if (err == DUCT_OK) {
        check_view(a, &msg);
        a->held[a->held_count++] = msg;
        return;
    }
    FUZZ_CHECK(memcmp(&msg, &untouched, sizeof(msg)) == 0);
    corrupt_or_again(a, err);
}

static void receive_run(struct attack *a)
{
    struct duct_msg msgs[RUN_MAX];
    size_t room = HELD_MAX - a->held_count;
    size_t count = di_receiver_recv_run(&a->receiver, msgs, room < RUN_MAX ? room : RUN_MAX);

    FUZZ_CHECK(count <= room && count <= RUN_MAX);
    for (size_t i = 0; i < count; i++) {
        check_view(a, &msgs[i]);
        a->held[a->held_count++] = msgs[i];
    }
}

static void read_copy(struct attack *a, bool fast)
{
    size_t capacity = input_byte(&a->in) & 1 ? a->peer.geometry.header.max_msg : input_byte(&a->in);
    void *data = malloc(capacity + (capacity == 0));
    size_t size = SIZE_MAX;
    uint64_t tag;

    FUZZ_CHECK(data != NULL);
    if (fast && di_receiver_read_fast(&a->receiver, data, capacity, &size, &tag)) {
        FUZZ_CHECK(size <= capacity);
    } else {
        enum duct_err err = di_receiver_read(&a->receiver, data, capacity, &size, &tag);
        if (err == DUCT_OK)
            FUZZ_CHECK(size <= capacity);
        else
            corrupt_or_again(a, err);
        FUZZ_CHECK(err != DUCT_ETOOBIG || size > capacity);
    }
    free(data);
}

static void read_run(struct attack *a)
{
    struct duct_buffer buffers[RUN_MAX] = {{0}};

    for (size_t i = 0; i < RUN_MAX; i++) {
        buffers[i].capacity = input_byte(&a->in) % 128;
        buffers[i].data = malloc(buffers[i].capacity + 1);
    }
    size_t count = di_receiver_read_run(&a->receiver, buffers, RUN_MAX);
    FUZZ_CHECK(count <= RUN_MAX);
    for (size_t i = 0; i < RUN_MAX; i++) {
        FUZZ_CHECK(i >= count || buffers[i].size <= buffers[i].capacity);
        free(buffers[i].data);
    }
}

/* In any order, from any thread, and once only. */
static void release(struct attack *a)
{
    uint8_t how = input_byte(&a->in);

    if (a->held_count == 0)
        return;
    struct duct_msg *msg = &a->held[(how >> 2) % a->held_count];
    struct duct_msg again = *msg;
    enum duct_err err = how & 1 ? side_release_elsewhere(msg) : side_release(msg);
    FUZZ_CHECK(err == DUCT_OK);
    err = how & 2 ? side_release_elsewhere(&again) : side_release(&again);
    FUZZ_CHECK(err == DUCT_EINVAL);
    *msg = a->held[--a->held_count];
}

static void release_run(struct attack *a)
{
    uint32_t from = a->held_count - (a->held_count < RUN_MAX ? a->held_count : RUN_MAX);
    size_t count = a->held_count - from;
    size_t done = di_receiver_release_run(&a->receiver, a->held + from, count);

    FUZZ_CHECK(done <= count);
    memmove(a->held + from, a->held + from + done, (count - done) * sizeof(a->held[0]));
    a->held_count -= (uint32_t)done;
}

static void wait_a_little(struct attack *a)
{
    struct di_receiver *receiver = &a->receiver;
    uint8_t how = input_byte(&a->in);

    if (how & 1)
        di_distance_keep(&receiver->distance, &receiver->ring);
    if (how & 2)
        di_sleeper_arm(&receiver->sleeper, DI_WANT_DATA, (enum di_doorbell)(how >> 6), how & 32);
    if (how & 4)
        di_sleeper_disarm(&receiver->sleeper);
    if (how & 8)
        receiver->asymmetric_after = how >> 4;
    di_receiver_publish_due(receiver);
}

static void step(struct attack *a)
{
    uint8_t what = input_byte(&a->in) % 16;

    if (what < 2)
        scribble(a);
    else if (what < 6)
        describe(a);
    else if (what == 6)
        release(a);
    else if (what == 7)
        release_run(a);
    else if (what == 8)
        di_receiver_collect(&a->receiver);
    else if (what == 9)
        wait_a_little(a);
    else if (a->dead)
        return;
    else if (what == 10)
        di_receiver_publish(&a->receiver);
    else if (what == 11)
        read_run(a);
    else if (what == 12)
        receive_run(a);
    else if (what == 13 && a->held_count < HELD_MAX)
        receive(a);
    else
        read_copy(a, what == 14);
}

/* Ours alone: what the peer reads from us names only what it sent, and nothing else was written. */
static void check_own(const struct attack *a)
{
    const struct di_outbox_header *header = &a->own.geometry.header;
    const uint64_t *entries = (const void *)(a->own.outbox + a->own.geometry.returns_at);

    FUZZ_CHECK(memcmp(a->own.outbox, header, sizeof(*header)) == 0);
    for (uint32_t i = 0; i < header->returns; i++)
        FUZZ_CHECK(di_ref_index(entries[i]) < a->peer.geometry.blocks_max);
    FUZZ_CHECK(a->receiver.ring.head - a->receiver.ring.published <= a->peer.geometry.header.slots);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attack *a = calloc(1, sizeof(*a));

    FUZZ_CHECK(a != NULL);
    a->in = (struct input){.at = data, .left = size};
    sides_open(&a->own, &a->peer, &a->in);
    side_receiver(&a->receiver, &a->peer, &a->own, 1 + input_byte(&a->in) % CELLS_MAX);
    for (unsigned i = 0; i < STEPS_MAX && a->in.left > 0; i++)
        step(a);
    check_own(a);
    FUZZ_CHECK(a->receiver.handed_out >= a->held_count);
    /* Some come back before the end, the others after it. */
    while (a->held_count > size % 4)
        FUZZ_CHECK(side_release(&a->held[--a->held_count]) == DUCT_OK);
    di_receiver_close(&a->receiver);
    while (a->held_count > 0) {
        FUZZ_CHECK(side_freed() == 0);
        FUZZ_CHECK(side_release(&a->held[--a->held_count]) == DUCT_OK);
    }
    FUZZ_CHECK(side_freed() == 1);
    di_receiver_fini(&a->receiver);
    sides_close(&a->own, &a->peer);
    free(a);
    return 0;
}
