/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [slot] and [space]: messages of every immediate size through rings from 2 slots up, across the
 * wrap of the 64-bit position, one at a time and in batches. Content and order hold, or a payload
 * was read before it was written, or overwritten before it was read.
 */
#include <pthread.h>
#include <sched.h>

#include "tests/race/lane.h"

static struct lane lane;
static uint64_t total;
static uint32_t largest;

static size_t size_of(uint64_t i)
{
    return (size_t)(i * 2654435761u >> 7) % (largest + 1);
}

static size_t put_some(uint64_t i, bool batch)
{
    static unsigned char bytes[8][DI_IMMEDIATE_MAX];
    struct duct_view views[8];
    struct di_sender *sender = &lane.side[0].sender;
    size_t done = 0, count = batch ? (total - i < 8 ? (size_t)(total - i) : 8) : 1;

    for (size_t k = 0; k < count; k++) {
        views[k] = (struct duct_view){bytes[k], size_of(i + k), i + k};
        lane_fill(bytes[k], views[k].size, i + k);
    }
    enum duct_err err;
    if (batch) {
        err = di_sender_put_batch(sender, views, count, &done);
    } else {
        err = di_sender_put(sender, bytes[0], views[0].size, i);
        done = err == DUCT_OK;
    }
    MUST(err == DUCT_OK || err == DUCT_EAGAIN);
    return done;
}

static void *sends(void *unused)
{
    (void)unused;
    for (uint64_t i = 0; i < total;) {
        size_t done = put_some(i, i / 1000 % 2 == 1);
        i += done;
        if (done == 0)
            sched_yield();
    }
    return NULL;
}

static void receive_one(struct di_receiver *receiver, uint64_t i)
{
    unsigned char bytes[DI_IMMEDIATE_MAX];
    struct duct_msg msg;
    enum duct_err err;
    size_t size = 0;
    uint64_t tag = 0;

    do {
        if (i % 3 == 0)
            err = di_receiver_recv(receiver, &msg);
        else
            err = di_receiver_read(receiver, bytes, sizeof(bytes), &size, &tag);
        if (err == DUCT_EAGAIN)
            sched_yield();
    } while (err == DUCT_EAGAIN);
    MUST(err == DUCT_OK);
    if (i % 3 == 0) {
        MUST(msg.tag == i && msg.size == size_of(i) && lane_filled(msg.data, msg.size, i));
        MUST(duct_msg_release(&msg) == DUCT_OK);
    } else {
        MUST(tag == i && size == size_of(i) && lane_filled(bytes, size, i));
    }
}

static void run(uint32_t slots, uint64_t start, uint64_t count)
{
    pthread_t thread;

    lane_open(&lane, slots, 4096, 16384, start, 64);
    total = count;
    largest = lane.side[0].geometry.immediate_max;
    MUST(pthread_create(&thread, NULL, sends, NULL) == 0);
    for (uint64_t i = 0; i < count; i++)
        receive_one(&lane.side[1].receiver, i);
    MUST(pthread_join(thread, NULL) == 0);
    lane_close(&lane);
}

int main(void)
{
    static const uint32_t slots[] = {2, 4, 8, 16, 256, 1024};

    for (unsigned i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        run(slots[i], 0, 30000);
        /* The wrap comes inside of the run, and inside of a message. */
        run(slots[i], UINT64_MAX - 5000, 30000);
        run(slots[i], UINT64_MAX - 1, 3000);
        run(slots[i], INT64_MAX - 100, 3000);
    }
    return 0;
}
