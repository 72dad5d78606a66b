/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [release], [orphan], [last]: the owner receives, other threads release, and at some point the
 * owner closes while they are at it. Every message is counted back once, the receiver is freed once
 * and not before the last of them, and while it is open nothing is lost to the peer's pool.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/race/lane.h"

enum { RELEASERS = 3, BATCH = 24 };

static struct lane lane;

/* Frees what the messages lay in, as the real one does: the others' reads must be over. */
static void frees(struct di_receiver *receiver)
{
    atomic_fetch_add_explicit(&lane.side[1].freed, 1, memory_order_relaxed);
    di_receiver_fini(receiver);
}

/* Releasers that have released all they had. */
static _Atomic unsigned through;

struct releaser {
    struct duct_msg msgs[BATCH];
    unsigned count;
    pthread_barrier_t *start;
};

static void *releases(void *arg)
{
    struct releaser *r = arg;

    pthread_barrier_wait(r->start);
    for (unsigned i = 0; i < r->count; i++) {
        MUST(lane_filled(r->msgs[i].data, r->msgs[i].size, r->msgs[i].tag));
        struct duct_msg copy = r->msgs[i];
        MUST(duct_msg_release(&r->msgs[i]) == DUCT_OK);
        (void)copy;
    }
    atomic_fetch_add_explicit(&through, 1, memory_order_relaxed);
    return NULL;
}

static uint64_t send_all(uint64_t first, unsigned count)
{
    struct di_sender *sender = &lane.side[0].sender;
    unsigned char bytes[400];

    for (uint64_t i = first; i < first + count; i++) {
        size_t size = i % 2 ? 24 : 400;
        lane_fill(bytes, size, i);
        MUST(di_sender_put(sender, bytes, size, i) == DUCT_OK);
    }
    return first + count;
}

/* One round: messages dealt out to the threads; the owner does something meanwhile. */
static uint64_t round_of(uint64_t next, bool close_meanwhile)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    struct releaser releasers[RELEASERS];
    pthread_t threads[RELEASERS];
    pthread_barrier_t start;

    MUST(pthread_barrier_init(&start, NULL, RELEASERS + 1) == 0);
    memset(releasers, 0, sizeof(releasers));
    atomic_store_explicit(&through, 0, memory_order_relaxed);
    uint64_t end = send_all(next, RELEASERS * 16);
    for (uint64_t i = next; i < end; i++) {
        struct releaser *r = &releasers[i % RELEASERS];
        MUST(di_receiver_recv(receiver, &r->msgs[r->count]) == DUCT_OK);
        MUST(r->msgs[r->count].tag == i);
        r->count++;
    }
    for (unsigned i = 0; i < RELEASERS; i++) {
        releasers[i].start = &start;
        MUST(pthread_create(&threads[i], NULL, releases, &releasers[i]) == 0);
    }
    pthread_barrier_wait(&start);
    if (close_meanwhile) {
        if (next % 3 != 0)
            sched_yield();
        di_receiver_close(receiver);
    } else {
        /* What comes back while this looks must not be lost: see run(). */
        while (atomic_load_explicit(&through, memory_order_relaxed) < RELEASERS)
            di_receiver_collect(receiver);
    }
    for (unsigned i = 0; i < RELEASERS; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    pthread_barrier_destroy(&start);
    return end;
}

static void run(unsigned rounds, uint64_t salt)
{
    struct lane_side *side = &lane.side[1];

    lane_open(&lane, 64, 512, 65536, 0, 64);
    side->receiver.freed = frees;
    uint64_t next = salt;
    for (unsigned i = 0; i < rounds; i++) {
        next = round_of(next, false);
        di_receiver_collect(&side->receiver);
        di_receiver_publish_due(&side->receiver);
        MUST(di_sender_collect(&lane.side[0].sender) == DUCT_OK);
        MUST(lane.side[0].sender.pool.sent == 0);
        MUST(side->receiver.cells.taken == 0);
        MUST(atomic_load_explicit(&side->freed, memory_order_relaxed) == 0);
    }
    round_of(next, true);
    MUST(atomic_load_explicit(&side->freed, memory_order_relaxed) == 1);
    lane_close(&lane);
}

/* ---- [release]: two in a row, the second of them while the first is taken in ---- */

enum { PAIRS = 2000 };

static struct duct_msg both[2];
static _Atomic unsigned turn, done;

static void *releases_pairs(void *unused)
{
    uint64_t seed = 5;

    (void)unused;
    for (unsigned i = 1; i <= PAIRS; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != i)
            continue;
        MUST(duct_msg_release(&both[0]) == DUCT_OK);
        for (uint32_t n = lane_random(&seed) % 40; n > 0; n--)
            atomic_signal_fence(memory_order_seq_cst);
        MUST(duct_msg_release(&both[1]) == DUCT_OK);
        atomic_store_explicit(&done, i, memory_order_release);
    }
    return NULL;
}

/* When both are released, and their owner has looked, none may be left behind. */
static void pairs(void)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    pthread_t thread;

    lane_open(&lane, 64, 512, 65536, 0, 64);
    MUST(pthread_create(&thread, NULL, releases_pairs, NULL) == 0);
    for (unsigned i = 1; i <= PAIRS; i++) {
        send_all(2 * i, 2);
        for (unsigned k = 0; k < 2; k++)
            MUST(di_receiver_recv(receiver, &both[k]) == DUCT_OK);
        atomic_store_explicit(&turn, i, memory_order_release);
        while (atomic_load_explicit(&done, memory_order_acquire) != i)
            di_receiver_collect(receiver);
        di_receiver_collect(receiver);
        MUST(receiver->given_back == receiver->handed_out && receiver->cells.taken == 0);
        di_receiver_publish_due(receiver);
        MUST(di_sender_collect(&lane.side[0].sender) == DUCT_OK);
    }
    MUST(pthread_join(thread, NULL) == 0);
    lane_close(&lane);
}

/* ---- [orphan]: an owner that closes while somebody is inside a release ---- */

static _Atomic bool inside;

/* Called in the middle of a release. Stays there until the owner has begun to close, and then a while. */
static void lingers(struct di_receiver *receiver)
{
    atomic_store_explicit(&inside, true, memory_order_relaxed);
    while (!atomic_load_explicit(&receiver->closed, memory_order_relaxed))
        continue;
    for (int i = 0; i < 500; i++)
        sched_yield();
    atomic_store_explicit(&inside, false, memory_order_relaxed);
}

static void *releases_one(void *msg)
{
    MUST(duct_msg_release(msg) == DUCT_OK);
    return NULL;
}

static void closes_around_it(void)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    struct duct_msg msg;
    pthread_t thread;

    lane_open(&lane, 64, 512, 65536, 0, 64);
    receiver->freed = frees;
    receiver->post = lingers;
    send_all(0, 1);
    MUST(di_receiver_recv(receiver, &msg) == DUCT_OK);
    MUST(pthread_create(&thread, NULL, releases_one, &msg) == 0);
    while (!atomic_load_explicit(&inside, memory_order_relaxed))
        continue;
    di_receiver_close(receiver);
    MUST(!atomic_load_explicit(&inside, memory_order_relaxed));
    MUST(pthread_join(thread, NULL) == 0);
    MUST(atomic_load_explicit(&lane.side[1].freed, memory_order_relaxed) == 1);
    lane_close(&lane);
}

int main(void)
{
    closes_around_it();
    pairs();
    for (unsigned i = 0; i < 150; i++)
        run(2, i);
    return 0;
}
