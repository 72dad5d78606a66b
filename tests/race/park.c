/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [park]: both halves sleep on futexes whenever there is nothing to do, at every phase of each
 * other's, with the sender's fence, with the sleeper's, and switching between the two. A wake-up
 * that is lost leaves a sleeper that nobody wakes: it gives up after ten seconds and fails.
 */
#include <pthread.h>

#include "shm/asymmetric.h"
#include "tests/race/lane.h"

static struct lane lane;
static uint64_t total;

static void wait_for_space(struct di_sender *sender)
{
    enum duct_err err = DUCT_OK;
    uint32_t bell =
        di_sleeper_arm(&sender->sleeper, DI_WANT_SPACE | DI_WANT_BLOCKS, DI_DOORBELL_FUTEX, false);

    if (!di_sender_has_need(sender, &err))
        MUST(lane_sleep(&sender->sleeper, bell));
    MUST(err == DUCT_OK);
    di_sleeper_disarm(&sender->sleeper);
}

static void *sends(void *unused)
{
    struct di_sender *sender = &lane.side[0].sender;
    static unsigned char bytes[512];
    uint64_t seed = 7;

    (void)unused;
    for (uint64_t i = 0; i < total; i++) {
        size_t size = i % 5 == 0 ? 400 : i % 60;
        enum duct_err err;
        lane_fill(bytes, size, i);
        while ((err = di_sender_put(sender, bytes, size, i)) == DUCT_EAGAIN)
            wait_for_space(sender);
        MUST(err == DUCT_OK);
        di_sender_flush(sender);
        /* Now and then long enough for the receiver to fall asleep; mostly not. */
        for (uint32_t n = lane_random(&seed) % 64 == 0 ? lane_random(&seed) % 20000 : 0; n > 0; n--)
            atomic_signal_fence(memory_order_seq_cst);
    }
    return NULL;
}

static void wait_for_data(struct di_receiver *receiver)
{
    di_receiver_publish_due(receiver);
    uint32_t bell = di_sleeper_arm(&receiver->sleeper, DI_WANT_DATA, DI_DOORBELL_FUTEX, false);
    receiver->awake_since = receiver->msgs;
    if (!di_receiver_ready(receiver))
        MUST(lane_sleep(&receiver->sleeper, bell));
}

static void run(uint32_t slots, uint64_t count, uint64_t asymmetric_after)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    static unsigned char bytes[512];
    pthread_t thread;

    lane_open(&lane, slots, 512, 16384, 0, 64);
    receiver->asymmetric_after = asymmetric_after;
    total = count;
    MUST(pthread_create(&thread, NULL, sends, NULL) == 0);
    for (uint64_t i = 0; i < count; i++) {
        enum duct_err err;
        size_t size;
        uint64_t tag;
        while ((err = di_receiver_read(receiver, bytes, sizeof(bytes), &size, &tag)) == DUCT_EAGAIN)
            wait_for_data(receiver);
        MUST(err == DUCT_OK && tag == i && lane_filled(bytes, size, i));
    }
    di_receiver_publish_due(receiver);
    MUST(pthread_join(thread, NULL) == 0);
    /* Once per epoch and no more: no ring without a sleeper who asked. */
    MUST(lane.side[0].sender.ringer.rings <= receiver->sleeper.epoch);
    MUST(receiver->ringer.rings <= lane.side[0].sender.sleeper.epoch);
    if (asymmetric_after == 1)
        MUST(receiver->sleeper.switches > 0);
    lane_close(&lane);
}

/* ---- Both at once ---- */

/*
 * The Dekker pair itself, hundreds of thousands of times: in each round one thread publishes and looks
 * for a sleeper while the other says that it sleeps and looks for a message. The fences forbid that
 * neither sees the other; without either of them an optimised build on x86 shows it here.
 */
#ifdef __SANITIZE_THREAD__
enum { DEKKER = 10000, ASYMMETRIC = 2000 }; /* it looks at the accesses, not for the outcome */
#else
enum {
    DEKKER = 400000,
    ASYMMETRIC = 100000
}; /* a barrier of the kernel's takes some 10 microseconds */
#endif

static uint64_t rounds;
static uint32_t late; /* so long, at most, the message waits */

static _Alignas(DI_LINE_PAIR) _Atomic uint64_t turn;
static _Alignas(DI_LINE_PAIR) _Atomic uint64_t done;

static void jitter(uint64_t *seed, uint32_t most)
{
    for (uint32_t n = lane_random(seed) % most; n > 0; n--)
        atomic_signal_fence(memory_order_seq_cst);
}

static void *publishes(void *unused)
{
    struct di_sender *sender = &lane.side[0].sender;
    uint64_t seed = 3;

    (void)unused;
    for (uint64_t i = 1; i <= rounds; i++) {
        while (atomic_load_explicit(&turn, memory_order_acquire) != i)
            continue;
        jitter(&seed, late);
        MUST(di_sender_put(sender, "x", 1, i) == DUCT_OK);
        di_sender_flush(sender);
        atomic_store_explicit(&done, i, memory_order_release);
    }
    return NULL;
}

/* asymmetric: the sender leaves out its fence each time, and the sleeper has the kernel make up for it. */
static void dekker(uint64_t count, bool asymmetric)
{
    struct di_receiver *receiver = &lane.side[1].receiver;
    uint64_t seed = 11;
    pthread_t thread;
    unsigned char byte;
    size_t size;

    lane_open(&lane, 64, 512, 16384, 0, 64);
    rounds = count;
    /* The kernel's barrier takes some 10 microseconds, and what counts comes after it. */
    late = asymmetric ? 40000 : 20;
    atomic_store_explicit(&turn, 0, memory_order_relaxed);
    atomic_store_explicit(&done, 0, memory_order_relaxed);
    MUST(pthread_create(&thread, NULL, publishes, NULL) == 0);
    for (uint64_t i = 1; i <= rounds; i++) {
        if (asymmetric)
            di_sleeper_stay_awake(&receiver->sleeper);
        atomic_store_explicit(&turn, i, memory_order_release);
        jitter(&seed, 300);
        uint32_t bell = di_sleeper_arm(&receiver->sleeper, DI_WANT_DATA, DI_DOORBELL_FUTEX, false);
        bool ready = di_receiver_ready(receiver);
        while (atomic_load_explicit(&done, memory_order_acquire) != i)
            continue;
        MUST(ready || di_sleeper_bell(&receiver->sleeper) != bell);
        di_sleeper_disarm(&receiver->sleeper);
        MUST(di_receiver_read(receiver, &byte, 1, &size, NULL) == DUCT_OK);
    }
    MUST(pthread_join(thread, NULL) == 0);
    lane_close(&lane);
}

int main(void)
{
    static const uint32_t slots[] = {2, 8, 64};

    for (unsigned i = 0; i < 3; i++) {
        run(slots[i], 40000, 0);
        if (di_asymmetric_available()) {
            run(slots[i], 20000, 1);
            run(slots[i], 20000, 16);
        }
    }
    dekker(DEKKER, false);
    if (di_asymmetric_available())
        dekker(ASYMMETRIC, true);
    return 0;
}
