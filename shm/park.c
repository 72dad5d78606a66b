/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "shm/asymmetric.h"

/*
 * Edges of this file, explained in park.h:
 *   [park]  Dekker pair: park word stored, fence, look  |  published, fence, park word loaded
 *   [bell]  park word seen, bell bumped with release    |  bell loaded, acquire, next word stored
 *   [bellfd] the descriptor received, its number stored with release (transports/link.c)
 *                                                       |  number loaded with acquire
 *   [bells] bells page mapped, its word's address       |  address loaded with acquire, word stored
 */

/* Of a byte that rings the socket. A sleeper that it does not reach sleeps on. */
#define SEND_TRIES 3u

uint32_t di_sleeper_bell(const struct di_sleeper *sleeper)
{
    return di_peer_load32(sleeper->bell);
}

uint32_t di_sleeper_arm(struct di_sleeper *sleeper, unsigned want, enum di_doorbell doorbell,
                        bool sole)
{
    /* [bell] observes: before the word, since a ring for the new epoch must change the value we are
     * going to sleep on; the acquire keeps the word's store below. */
    uint32_t bell = di_peer_load32(sleeper->bell);
    atomic_thread_fence(memory_order_acquire);

    DI_CRASH_POINT("park.due");
    sleeper->epoch++;
    uint64_t word = (uint64_t)want | (uint64_t)doorbell << DI_PARK_DOORBELL_SHIFT |
                    (sole ? DI_PARK_SOLE : 0) | (sleeper->bells ? DI_PARK_BELLS : 0) |
                    sleeper->epoch << DI_PARK_EPOCH_SHIFT;
    /* Relaxed: ordered by the fence below. */
    atomic_store_explicit(sleeper->word, word, memory_order_relaxed);
    sleeper->armed = true;
    if (sleeper->asymmetric) {
        sleeper->asymmetric = false;
        /* [park] fence: the kernel's, on behalf of a ringer that leaves out its own. After the
         * store, before the look. */
        di_asymmetric_barrier();
    }
    /* [park] fence: the word is visible before we look. */
    atomic_thread_fence(memory_order_seq_cst);
    DI_CRASH_POINT("park.armed");
    return bell;
}

void di_sleeper_disarm(struct di_sleeper *sleeper)
{
    if (!sleeper->armed)
        return;
    sleeper->armed = false;
    /* Relaxed: seeing the old word a little longer costs the peer a ring, no more. */
    atomic_store_explicit(sleeper->word, sleeper->epoch << DI_PARK_EPOCH_SHIFT,
                          memory_order_relaxed);
}

void di_sleeper_stay_awake(struct di_sleeper *sleeper)
{
    sleeper->asymmetric = true;
    sleeper->armed = false;
    sleeper->switches++;
    /* Relaxed: seeing the old word a little longer costs the peer a fence, no more. */
    atomic_store_explicit(sleeper->word, DI_PARK_ASYMMETRIC | sleeper->epoch << DI_PARK_EPOCH_SHIFT,
                          memory_order_relaxed);
}

/* Wakes the sleeper in the way its word asks for. Apart, as most fences find nobody asleep. */
static __attribute__((noinline)) void ring(struct di_ringer *ringer, uint64_t word)
{
    enum di_doorbell doorbell = (enum di_doorbell)(word >> DI_PARK_DOORBELL_SHIFT & 3);
    const uint64_t one = 1;
    const unsigned char byte = DI_SOCKET_RING;
    int saved = errno;
    /* [bellfd] observes: the descriptor behind the number, which the other half may have received. */
    int eventfd = atomic_load_explicit(&ringer->eventfd, memory_order_acquire);
    _Atomic uint32_t *bell = ringer->bell;

    if (word & DI_PARK_BELLS) {
        /* [bells] observes: the mapping. */
        bell = atomic_load_explicit(&ringer->shared, memory_order_acquire);
        if (bell == NULL)
            doorbell = DI_DOORBELL_SOCKET; /* the page is announced and not yet read */
    }
    ringer->rings++;
    ringer->last = doorbell;
    ringer->count++;
    /* [bell] publishes: that the word was seen. Whatever the doorbell: the sleeper may have changed
     * its mind. */
    if (bell != NULL)
        atomic_store_explicit(bell, ringer->count, memory_order_release);
    DI_CRASH_POINT("bell.counted");
    if (doorbell == DI_DOORBELL_FUTEX) {
        syscall(SYS_futex, bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    } else if (doorbell == DI_DOORBELL_EVENTFD && eventfd >= 0) {
        if (write(eventfd, &one, sizeof(one)) < 0) {
            /* A full eventfd is readable: its sleeper is awake. */
        }
    } else {
        /* Also the way out for a doorbell we were never given. A full queue, or a peer that is
         * gone, is readable at the other end; the kernel's want of memory is nothing of the kind. */
        for (unsigned i = 0; i < SEND_TRIES; i++) {
            if (send(ringer->socket, &byte, sizeof(byte), MSG_DONTWAIT | MSG_NOSIGNAL) > 0 ||
                (errno != ENOBUFS && errno != ENOMEM))
                break;
        }
    }
    DI_CRASH_POINT("bell.rung");
    errno = saved;
}

void di_ringer_share(struct di_ringer *ringer, _Atomic uint32_t *word)
{
    /* [bells] publishes: the mapping. */
    atomic_store_explicit(&ringer->shared, word, memory_order_release);
}

void di_ringer_notify_fenced(struct di_ringer *ringer, unsigned published)
{
    /* We may be about to write the doorbell word, whose line the sleeper has: fetched while the fence waits
     * for the line of what was published. Relaxed: only an address to prefetch. */
    _Atomic uint32_t *shared = atomic_load_explicit(&ringer->shared, memory_order_relaxed);
    __builtin_prefetch(shared != NULL ? shared : ringer->bell, 1);
    /* [park] fence: what was published is visible before we look for a sleeper. */
    atomic_thread_fence(memory_order_seq_cst);
    ringer->fences++;
    uint64_t word = di_peer_load(ringer->word);
    uint64_t epoch = word >> DI_PARK_EPOCH_SHIFT;
    if ((word & DI_PARK_WANT & published) == 0 || epoch == ringer->rung)
        return;
    DI_CRASH_POINT("bell.due");
    ringer->rung = epoch;
    ring(ringer, word);
}
