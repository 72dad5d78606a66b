/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_PARK_H
#define DI_SHM_PARK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/layout.h"
#include "shm/peer.h"

/*
 * Going to sleep without missing what is published meanwhile, and waking at the price of one load.
 *
 * Two halves meet here. The *sleeper* owns a park word in its own outbox, in which it says what it
 * waits for and by which doorbell it wants to be woken. The *ringer* publishes things (slots, an
 * index, returns), then looks at that word, and rings if it shows interest. Neither writes the
 * other's memory: the doorbell word that the sleeper watches belongs to the ringer. (Or it lies in a
 * page that both may write and that holds nothing else; shm/bells.h says why that is harmless.)
 *
 *   sleeper                                 ringer
 *   1 read the doorbell word: v             1 publish                       (release)
 *   2 store the park word, new epoch        2 full fence             [park]
 *   3 full fence                   [park]   3 load the park word; if it shows interest
 *   4 look at what it waits for               and its epoch was not rung yet: remember
 *   5 sleep while the doorbell is v           the epoch, bump the doorbell, wake
 *
 * Why none is lost: of the two fences one comes first. If the sleeper's does, the ringer's load
 * sees the interest and it rings; if the ringer's does, the sleeper's look sees what was published.
 * A ring between 1 and 5 makes the doorbell differ from v, so that 5 does not sleep: hence v is
 * read first.
 *
 * Why once per epoch: the ringer cannot clear a word that it may not write, so it remembers the
 * epoch it rang. The sleeper need not clear it either: an idle pipe stays armed, and a ring that
 * was not needed costs one look.
 *
 * Asymmetric mode. The ringer's fence on every message caps a stream. A sleeper that has been awake
 * for thousands of messages stores a word that says so; the ringer, after no more than a compiler
 * barrier, sees it and leaves out the fence. To leave the mode the sleeper stores its new word,
 * then has the kernel execute a barrier on every registered process's CPUs (membarrier), then
 * looks. That barrier stands in for the ringer's fence: the ringer's publication is either before
 * it, and the look sees it, or after it, and its load sees the new word. The order is essential:
 * barrier first, then the store, loses wake-ups (tests/model has the counterexample).
 *
 * Edges of this file:
 *   [park]  Dekker pair: park word stored, fence, look  |  published, fence, park word loaded
 *   [bell]  park word seen, bell bumped with release    |  bell loaded, acquire, next word stored
 *   [bells] bells page mapped, its word's address       |  address loaded with acquire, word stored
 */

/* What a sleeper waits for. */
enum { DI_WANT_DATA = 1, DI_WANT_SPACE = 2, DI_WANT_BLOCKS = 4 };

/* How it wants to be woken. */
enum di_doorbell { DI_DOORBELL_NONE, DI_DOORBELL_FUTEX, DI_DOORBELL_EVENTFD, DI_DOORBELL_SOCKET };

/* The park word; see layout.h. */
#define DI_PARK_WANT           7ull
#define DI_PARK_DOORBELL_SHIFT 3
#define DI_PARK_ASYMMETRIC     (1ull << 5)
#define DI_PARK_SOLE           (1ull << 6) /* nobody else receives on this side: see di_lane_both_full() */
#define DI_PARK_BELLS          (1ull << 7) /* the bell is a word of the sleeper's own bells page */
#define DI_PARK_EPOCH_SHIFT    16

/* Private handle of a half that sleeps. */
struct di_sleeper {
    _Atomic uint64_t *word; /* its park word, in its own outbox */
    const DI_PEER uint32_t
        *bell;        /* the doorbell word it watches: the peer's, or in its bells page */
    bool bells;       /* the latter */
    bool bells_asked; /* for such a page, once */
    uint64_t epoch;
    bool asymmetric; /* what the word says now */
    bool armed;      /* the word shows interest */
    uint64_t switches;
};

/* Private handle of the half that wakes it. */
struct di_ringer {
    const DI_PEER uint64_t *word; /* the peer's park word */
    _Atomic uint32_t *bell;       /* the doorbell word, in one's own outbox */
    uint32_t count;               /* what it says; never read back */
    _Atomic(_Atomic uint32_t *)
        shared;    /* the one in the sleeper's bells page, once it came, or NULL */
    uint64_t rung; /* the last epoch rung */
    uint64_t fences;
    uint64_t rings;
    _Atomic int eventfd; /* the peer's, or -1; another half's thread may bring it */
    int socket;          /* the control socket */
    enum di_doorbell last;
};

/*
 * Steps 1 to 3: says how and for what this half will sleep, and returns the value of the doorbell
 * word to sleep on. The caller must look (step 4) after it. May call membarrier(2).
 */
uint32_t di_sleeper_arm(struct di_sleeper *sleeper, unsigned want, enum di_doorbell doorbell,
                        bool sole);

/* Shows no interest any more; a ring that is under way still comes. */
void di_sleeper_disarm(struct di_sleeper *sleeper);

/* Enters asymmetric mode: promises not to sleep before the next di_sleeper_arm(). */
void di_sleeper_stay_awake(struct di_sleeper *sleeper);

/* The doorbell word as it is now. */
uint32_t di_sleeper_bell(const struct di_sleeper *sleeper);

/* The slow half of di_ringer_notify(): fence, look again, ring. */
void di_ringer_notify_fenced(struct di_ringer *ringer, unsigned published);

/* Steps 2 and 3 of the ringer, after something the sleeper may want was published. True if it took
 * the fence: the peer is not known to be awake. */
static inline bool di_ringer_notify(struct di_ringer *ringer, unsigned published)
{
    /* [park] fence: left out in asymmetric mode, where the sleeper's membarrier stands in for it;
     * the compiler must still not move the load above the publication. */
    atomic_signal_fence(memory_order_seq_cst);
    if (di_peer_load(ringer->word) & DI_PARK_ASYMMETRIC)
        return false;
    di_ringer_notify_fenced(ringer, published);
    return true;
}

/* What the peer's half waits for right now; a hint, without order. */
static inline unsigned di_ringer_wanted(const struct di_ringer *ringer)
{
    return (unsigned)(di_peer_load(ringer->word) & DI_PARK_WANT);
}

/* The sleeper's bells page has come. Any thread of this process. */
void di_ringer_share(struct di_ringer *ringer, _Atomic uint32_t *word);

/* Control message, of one byte, that is nothing but a doorbell. */
#define DI_SOCKET_RING 0x01u

#endif
