/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H1, by count: a build of shm/ whose accessors say what they load. Each field of a descriptor, each entry of
 * the return ring and each index is loaded once by a call that takes a message, so that what was checked is
 * what is used.
 */
#include <string.h>

#include "tests/race/lane.h"

enum { LOADS_MAX = 4096 };

static const void *loaded[LOADS_MAX];
static unsigned count;

void loads_count(const void *pointer)
{
    MUST(count < LOADS_MAX);
    loaded[count++] = pointer;
}

static unsigned loads_of(const void *field)
{
    unsigned times = 0;

    for (unsigned i = 0; i < count; i++)
        times += loaded[i] == field;
    return times;
}

static struct lane lane;

static struct di_slot *slot_at(uint64_t position)
{
    struct di_slot *slots = (void *)(lane.side[0].outbox + DI_OUTBOX_SLOTS_AT);

    return &slots[position & lane.side[0].sender.ring.mask];
}

/* ---- Receiving ---- */

static enum duct_err receive(unsigned way)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    static unsigned char bytes[8192];
    struct duct_buffer buffer = {bytes, sizeof(bytes), 0, 0};
    static struct duct_msg msg;
    uint64_t tag;
    size_t got;

    switch (way) {
    case 0:
        return di_receiver_recv(receiver, &msg);
    case 1:
        return di_receiver_read(receiver, bytes, sizeof(bytes), &got, &tag);
    case 2:
        return di_receiver_read_fast(receiver, bytes, sizeof(bytes), &got, &tag) ? DUCT_OK
                                                                                 : DUCT_EAGAIN;
    case 3:
        return di_receiver_read_run(receiver, &buffer, 1) == 1 ? DUCT_OK : DUCT_EAGAIN;
    default:
        return di_receiver_recv_run(receiver, &msg, 1) == 1 ? DUCT_OK : DUCT_EAGAIN;
    }
}

/* What a way does not take it leaves to another: that one asks anew, and believes nothing it heard before. */
static void one_message(unsigned way, size_t size)
{
    static unsigned char bytes[4096];

    lane_open(&lane, 64, 4096, 65536, UINT64_MAX - 3, 64);
    /* A run takes only cells that there are already. */
    struct duct_msg first;
    MUST(di_sender_put(&lane.side[0].sender, bytes, 8, 7) == DUCT_OK);
    MUST(di_receiver_recv(&lane.side[1].receiver, &first) == DUCT_OK);
    MUST(duct_msg_release(&first) == DUCT_OK);
    struct di_slot *slot = slot_at(lane.side[0].sender.ring.tail);
    MUST(di_sender_put(&lane.side[0].sender, bytes, size, 7) == DUCT_OK);
    bool block = size > lane.side[0].geometry.immediate_max;
    count = 0;
    enum duct_err err = receive(way);
    MUST(err == DUCT_OK || (err == DUCT_EAGAIN && way >= 2));
    const void *const fields[] = {&slot->stamp, &slot->head, &slot->tag, &slot->block};
    for (unsigned f = 0; f < 4; f++) {
        unsigned times = loads_of(fields[f]);
        unsigned allowed = f < 3 || block ? 1 : 0;
        if (times > allowed)
            fprintf(stderr, "way %u, %zu bytes: field %u loaded %u times\n", way, size, f, times);
        MUST(times <= allowed);
    }
    /* The counting build is what runs. */
    MUST(loads_of(&slot->stamp) == 1 && loads_of(&slot->head) == 1);
    lane_close(&lane);
}

/* ---- Sending, and blocks that come back ---- */

static void indices(void)
{
    struct di_receiver_page *page;
    unsigned char bytes[8] = {0};

    lane_open(&lane, 8, 4096, 65536, 0, 64);
    page = (void *)(lane.side[1].outbox + DI_OUTBOX_RECEIVER_AT);
    for (unsigned i = 0; i < 8; i++)
        MUST(di_sender_put(&lane.side[0].sender, bytes, 8, 0) == DUCT_OK);
    count = 0;
    MUST(di_sender_put(&lane.side[0].sender, bytes, 8, 0) == DUCT_EAGAIN);
    MUST(loads_of(&page->consumed) == 1);
    lane_close(&lane);
}

static void returns(void)
{
    static unsigned char bytes[4096];
    struct duct_msg msgs[4];

    lane_open(&lane, 64, 4096, 65536, 0, 64);
    struct di_receiver *receiver = &lane.side[1].receiver;
    struct di_receiver_page *page = (void *)(lane.side[1].outbox + DI_OUTBOX_RECEIVER_AT);
    const uint64_t *entries = (void *)(lane.side[1].outbox + lane.side[1].geometry.returns_at);
    for (unsigned i = 0; i < 4; i++) {
        MUST(di_sender_put(&lane.side[0].sender, bytes, 4096, 0) == DUCT_OK);
        MUST(di_receiver_recv(receiver, &msgs[i]) == DUCT_OK);
    }
    for (unsigned i = 0; i < 4; i++)
        MUST(duct_msg_release(&msgs[i]) == DUCT_OK);
    di_receiver_publish(receiver);
    count = 0;
    MUST(di_sender_collect(&lane.side[0].sender) == DUCT_OK);
    MUST(loads_of(&page->returned) == 1);
    for (unsigned i = 0; i < 4; i++)
        MUST(loads_of(&entries[i]) == 1);
    lane_close(&lane);
}

int main(void)
{
    static const size_t sizes[] = {0, 8, 40, 41, 96, 208, 300, 4096};

    for (unsigned way = 0; way < 5; way++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
            one_message(way, sizes[i]);
    }
    indices();
    returns();
    return 0;
}
