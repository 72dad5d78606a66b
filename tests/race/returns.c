/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [return]: blocks that go out with payload and come back in any order. The sender writes a block
 * again as soon as it is back: were the receiver still reading, or the return visible before its
 * entry, content or pool would tell.
 */
#include <pthread.h>
#include <sched.h>

#include "tests/race/lane.h"

static struct lane lane;
static uint64_t total;

static size_t size_of(uint64_t i)
{
    return 209 + (size_t)(i * 2654435761u >> 9) % (4096 - 209);
}

static void *sends(void *unused)
{
    struct di_sender *sender = &lane.side[0].sender;
    static unsigned char bytes[4096];

    (void)unused;
    for (uint64_t i = 0; i < total; i++) {
        struct duct_msg msg;
        enum duct_err err;
        if (i % 4 == 0) {
            lane_fill(bytes, size_of(i), i);
            while ((err = di_sender_put(sender, bytes, size_of(i), i)) == DUCT_EAGAIN)
                sched_yield();
            MUST(err == DUCT_OK);
            continue;
        }
        while ((err = di_sender_loan(sender, size_of(i), DI_LINE, &msg)) == DUCT_EAGAIN)
            sched_yield();
        MUST(err == DUCT_OK);
        lane_fill(msg.data, msg.size, i);
        msg.tag = i;
        while ((err = di_sender_publish(sender, &msg)) == DUCT_EAGAIN)
            sched_yield();
        MUST(err == DUCT_OK);
    }
    return NULL;
}

static void receives(uint64_t seed)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    struct duct_msg held[4];
    unsigned count = 0;

    for (uint64_t i = 0; i < total; i++) {
        enum duct_err err;
        /* As many are kept as leave the sender some. */
        if (count == 3 || (count > 0 && lane_random(&seed) % 2 == 0)) {
            unsigned which = lane_random(&seed) % count;
            MUST(lane_filled(held[which].data, held[which].size, held[which].tag));
            MUST(duct_msg_release(&held[which]) == DUCT_OK);
            held[which] = held[--count];
        }
        while ((err = di_receiver_recv(receiver, &held[count])) == DUCT_EAGAIN) {
            /* What is held may be all there is. */
            if (count > 0) {
                MUST(duct_msg_release(&held[--count]) == DUCT_OK);
                held[count].tag = 0;
            }
            di_receiver_publish_due(receiver);
            sched_yield();
        }
        MUST(err == DUCT_OK && held[count].tag == i && held[count].size == size_of(i));
        count++;
    }
    while (count > 0)
        MUST(duct_msg_release(&held[--count]) == DUCT_OK);
    di_receiver_publish_due(receiver);
}

static void run(uint32_t slots, uint64_t pool, uint64_t count)
{
    struct di_sender *sender = &lane.side[0].sender;
    pthread_t thread;

    lane_open(&lane, slots, 4096, pool, UINT64_MAX - 1000, 64);
    total = count;
    MUST(pthread_create(&thread, NULL, sends, NULL) == 0);
    receives(count);
    MUST(pthread_join(thread, NULL) == 0);
    /* Every block is back, once. */
    MUST(di_sender_collect(sender) == DUCT_OK);
    MUST(sender->pool.sent == 0 && sender->pool.loaned == 0);
    unsigned taken = 0;
    while (di_pool_take(&sender->pool, 1, DI_LINE) != DI_BLOCK_NONE)
        taken++;
    MUST(taken == sender->pool.block_count);
    lane_close(&lane);
}

int main(void)
{
    run(2, 16384, 10000);
    run(16, 16384, 20000);
    run(256, 65536, 20000);
    return 0;
}
