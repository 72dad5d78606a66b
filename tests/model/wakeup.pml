/* SPDX-License-Identifier: Apache-2.0
 *
 * One direction of a pipe: S sends MESSAGES through a ring of RING slots, R receives them, and
 * either may sleep while it can do nothing. README.md says what is proved and what is not; the
 * edges [slot], [space] and [park] are those of the C code.
 *
 * Machine:  -DWEAK          else TSO
 * Modes:    -DASYMMETRIC_R  R may switch its park word to asymmetric and back
 *           -DASYMMETRIC_S  S may do the same with its own
 * Mistakes: -DMISTAKE_…, the table in CMakeLists.txt; each must be caught.
 *
 * One step of a side is one access to shared memory and the private work around it. A store only
 * enters the side's own list, which nobody else sees, so it may share a step with a load before it.
 */
#ifndef RING
#define RING 2
#endif
#ifndef MESSAGES
#define MESSAGES 4
#endif
#ifndef SPURIOUS
#define SPURIOUS 1
#endif

#include "memory.pml"

/* The park word: epoch, mode, interest. Only R waits for DATA and only S for SPACE, so one bit of
 * interest does. Nobody parks with epoch 0. */
#define WANTS         1
#define ASYMMETRIC    2
#define PARKED(epoch) (4 * (epoch) + WANTS)
#define AWAKE(epoch)  (4 * (epoch) + ASYMMETRIC)
#define EPOCH(word)   ((word) >> 2)
#define EPOCH_LAST    63

/* What each side keeps to itself. */
#define PRIVATE \
    byte rung;       /* last epoch of the peer that we rang for */ \
    byte bell;       /* rings so far: the value of our doorbell */ \
    byte epoch;      /* of our own park word */ \
    byte bell_seen;  /* the peer's doorbell, read before the last look */ \
    bool armed;      /* our word stands, its epoch unspent, bell_seen goes with it */ \
    bool asymmetric; /* our word says so */ \
    byte word, value /* one load each */

bool sent_all, received_all;

#ifdef LIVENESS
ltl every_message_arrives { <> (sent_all && received_all) }
#endif

/* ---- the ringer: after each publication, of slots or of the index ---- */

#ifdef MISTAKE_RUNG_PER_WORD
#define SPENT(word) (rung != 0)
#else
#define SPENT(word) (EPOCH(word) == rung)
#endif

inline fence_ringer(p) {
#ifdef MISTAKE_NO_FENCE_RINGER
    if
    :: p == MISTAKE_NO_FENCE_RINGER
    :: else -> fence(p)
    fi
#else
    fence(p)
#endif
}

inline ring_if_wanted(p) {
    load(WORD(PEER(p)), word); /* relaxed: a compiler barrier keeps it after the publication */
    if
    :: d_step { word & ASYMMETRIC -> word = 0 } /* awake, and fences for us before it sleeps */
    :: atomic { !(word & ASYMMETRIC) ->
        word = 0;
        fence_ringer(p); /* [park] publication before the look at the word */
        load(WORD(PEER(p)), word);
        if
        :: (word & WANTS) && !SPENT(word) ->
            rung = EPOCH(word);
            word = 0;
            bell++;
            store(p, BELL(p), bell, RELAXED);
            futex_wake(p)
        :: else -> word = 0
        fi }
    fi
}

/* ---- the sleeper ---- */

/* Something happened, so the epoch may be spent: the next sleep needs a new one. The word stays as it
 * is, and a ring for it may still come and does no harm. */
inline disarm() { d_step { armed = false; bell_seen = 0 } }

inline read_doorbell(p) { load_acquire(p, BELL(PEER(p)), bell_seen) }

inline store_parked(p) {
#ifdef MISTAKE_EPOCH_KEPT
    if
    :: armed /* no message came since, so why store it again? Because bell_seen is new. */
    :: else ->
#endif
        d_step { epoch++; assert(epoch <= EPOCH_LAST); armed = true }
        store(p, WORD(p), PARKED(epoch), RELAXED)
#ifdef MISTAKE_EPOCH_KEPT
    fi
#endif
}

inline fence_sleeper(p) {
#ifdef MISTAKE_NO_FENCE_SLEEPER
    if
    :: p == MISTAKE_NO_FENCE_SLEEPER
    :: else -> fence(p)
    fi
#else
    fence(p)
#endif
}

/* Read the doorbell, store the word, fence, look a last time at `where`, sleep if `nothing`. The C
 * code publishes what is due in between; here the receive that found nothing has just done so. */
inline park(p, where, into, nothing) {
#ifdef MISTAKE_MEMBARRIER_FIRST
    if
    :: asymmetric -> membarrier(); asymmetric = false
    :: else
    fi;
#endif
    atomic {
#if defined(MISTAKE_DOORBELL_AFTER_LOOK)
        store_parked(p)
#elif defined(MISTAKE_DOORBELL_RELAXED)
        store_parked(p)
    }
    atomic {
        read_doorbell(p) /* nothing keeps a load before a younger store */
#else
        read_doorbell(p); /* acquire: a ring for the new epoch must not be in bell_seen */
        store_parked(p)
#endif
    }
    if
    :: asymmetric -> membarrier(); asymmetric = false /* [park] the ringer's fence and ours */
    :: else -> fence_sleeper(p)                       /* [park] word before the last look */
    fi;
    load_acquire(p, where, into);
#ifdef MISTAKE_DOORBELL_AFTER_LOOK
    read_doorbell(p);
#endif
    if
    :: nothing -> sleep(p)
    :: else -> disarm()
    fi
}

/* Also entered without park(): an idle pipe stays armed while its owner wakes and sleeps again for
 * other reasons. Only a doorbell still at bell_seen says that the epoch is unspent. */
inline sleep(p) {
    futex_wait(p, BELL(PEER(p)), bell_seen);
    atomic {
        load(BELL(PEER(p)), value);
        if
        :: value == bell_seen
        :: else -> disarm()
        fi;
        value = 0
    }
}

/* Thousands of messages without a sleep, in the C code; here, whenever it likes while awake. */
inline go_asymmetric(p) {
    atomic {
        asymmetric = true;
        disarm();
        store(p, WORD(p), AWAKE(epoch), RELAXED)
    }
}

/* ---- the two sides ---- */

#define FULL (sent - index_seen == RING)

#ifdef MISTAKE_SLEEP_BEFORE_RING
#define CHECKED true
#else
#define CHECKED (!unchecked)
#endif

#ifdef MISTAKE_NO_RELEASE_SLOT
#define STAMP_ORDER RELAXED
#else
#define STAMP_ORDER RELEASE
#endif

proctype Sender() {
    PRIVATE;
    byte sent;
    byte index_seen; /* R's consumer index, as last read */
    bool unchecked;  /* published and not yet looked at the word */

    do
    :: atomic { sent < MESSAGES && !FULL ->
        store(S, PAYLOAD(sent % RING), sent + 1, RELAXED);
        store(S, STAMP(sent % RING), sent + 1, STAMP_ORDER); /* [slot] payload before stamp */
        sent++;
        unchecked = true } /* another may follow: one look for the whole batch */
#ifdef ASYMMETRIC_S
    :: sent < MESSAGES && !FULL && !asymmetric -> go_asymmetric(S)
#endif
    :: unchecked -> ring_if_wanted(S); unchecked = false
    :: CHECKED && sent < MESSAGES && FULL ->
        load_acquire(S, INDEX, index_seen); /* [space] index before the slot is written again */
        if
        :: !FULL -> disarm()
        :: FULL /* spin */
        :: FULL && armed -> sleep(S)
        :: FULL -> park(S, INDEX, index_seen, FULL)
        fi
    :: !unchecked && sent == MESSAGES -> break
    od;
    sent_all = true
}

#define NOTHING (value != received + 1)

#ifdef MISTAKE_NO_ACQUIRE_SLOT
#define load_stamp() load(STAMP(received % RING), value)
#else
#define load_stamp() load_acquire(R, STAMP(received % RING), value)
#endif

inline publish_index() {
    atomic {
        published = received;
        store(R, INDEX, received, RELEASE) /* [space] payload read before index */
    }
    ring_if_wanted(R)
}

inline receive() {
#ifdef MISTAKE_NO_RELEASE_SPACE
    atomic {
        published = received + 1;
        store(R, INDEX, received + 1, RELAXED) /* overtakes the payload's load below */
    }
#endif
    atomic {
        value = 0;
        load(PAYLOAD(received % RING), value);
        assert(value == received + 1);
        value = 0;
        received++;
        disarm()
    }
    load(WORD(S), word); /* relaxed: a hint, index publication does not rest on it */
    if
    :: d_step { word & WANTS -> word = 0 } publish_index()
    :: d_step { !(word & WANTS) -> word = 0 }
        if
        :: publish_index() /* the lazy index is due; leaving it open stands for every interval */
        :: skip
        fi
    fi
}

proctype Receiver() {
    PRIVATE;
    byte received;
    byte published; /* our consumer index, as last stored */

    do
    :: received == MESSAGES -> break
#ifdef ASYMMETRIC_R
    :: received < MESSAGES && !asymmetric -> go_asymmetric(R)
#endif
    :: received < MESSAGES ->
        load_stamp(); /* [slot] stamp before payload */
        if
        :: !NOTHING -> receive()
        :: d_step { NOTHING -> value = 0 }
#ifndef MISTAKE_INDEX_KEPT
            if
            :: published != received -> publish_index()
            :: else
            fi;
#endif
            if
            :: skip /* spin */
            :: armed -> sleep(R)
            :: park(R, STAMP(received % RING), value, NOTHING); value = 0
            fi
        fi
    od;
    received_all = true
}

init {
    atomic {
        run Sender();
        run Receiver();
        run StoreBuffer(S);
        run StoreBuffer(R)
    }
}
