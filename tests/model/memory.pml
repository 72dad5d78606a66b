/* SPDX-License-Identifier: Apache-2.0
 *
 * The machine under the protocol: two processors, one memory, one futex each.
 *
 * Each location has one writer, as in the outboxes, and one reader, the peer. A store goes into the
 * writer's list of pending stores; a separate process per writer commits them to memory whenever it
 * likes. What it may commit next is the whole difference between the machines:
 *
 *   TSO    a store waits for every older store of its processor (a FIFO store buffer)
 *   WEAK   a store waits for older stores to the same location only; a release store for all of
 *          them. A later store may still overtake a release.
 *
 * Nobody loads a location of his own here (he knows what he wrote), so forwarding needs no model.
 *
 * Under WEAK loads may also be satisfied early. Reading ahead matters only if the location changes
 * before the program gets to the load. So it is modelled at the commit: the value replaced may turn
 * out to have been loaded already, and the reader's next load of the location then returns that one.
 * A full fence voids what was loaded ahead, and so does an acquire load for the loads after it.
 */
#define S 0 /* the sending side */
#define R 1 /* the receiving side */
#define PEER(p) (1 - (p))

/* S's outbox */
#define PAYLOAD(i) (i)
#define STAMP(i)   (RING + (i))
#define WORD_S     (2 * RING)
#define BELL_S     (2 * RING + 1)
/* R's outbox */
#define WORD_R     (2 * RING + 2)
#define BELL_R     (2 * RING + 3)
#define INDEX      (2 * RING + 4)
#define LOCATIONS  (2 * RING + 5)
/* either side's */
#define WORD(p)    (WORD_S + 2 * (p))
#define BELL(p)    (BELL_S + 2 * (p))

/* More pending stores than the protocol can pile up: store() asserts it, so nothing is cut off. */
#define DEPTH 6
#define FOR_EACH_PENDING(X) X(0) X(1) X(2) X(3) X(4) X(5)

typedef Stores {
    byte count;
    byte location[DEPTH]; /* oldest first */
    byte value[DEPTH];
    byte after[DEPTH];    /* bit i: the i-th store must be committed first */
}

byte memory[LOCATIONS];
Stores pending[2];
#ifdef WEAK
bool ahead[LOCATIONS]; /* the reader has loaded, but not yet used, … */
byte old[LOCATIONS];   /* … this */
#endif
bool asleep[2];
byte spurious = SPURIOUS; /* wake-ups without a ring that may still happen */

hidden byte k, older; /* scratch inside one step */

#define RELAXED false
#define RELEASE true
#ifdef WEAK
#define IN_ORDER(release) (release)
#else
#define IN_ORDER(release) true
#endif

inline store(p, where, what, release) {
    d_step {
        assert(pending[p].count < DEPTH);
        older = 0;
        k = 0;
        do
        :: k < pending[p].count ->
            if
            :: IN_ORDER(release) || pending[p].location[k] == where -> older = older | (1 << k)
            :: else
            fi;
            k++
        :: else -> break
        od;
        pending[p].location[k] = where;
        pending[p].value[k] = what;
        pending[p].after[k] = older;
        pending[p].count++
    }
}

/* Takes the i-th pending store out of the list and renumbers the younger ones. */
inline commit(p, i) {
    memory[pending[p].location[i]] = pending[p].value[i];
    pending[p].count--;
    k = i;
    do
    :: k < pending[p].count ->
        pending[p].location[k] = pending[p].location[k + 1];
        pending[p].value[k] = pending[p].value[k + 1];
        older = pending[p].after[k + 1];
        pending[p].after[k] = (older & ((1 << i) - 1)) | ((older >> (i + 1)) << i);
        k++
    :: else -> break
    od;
    pending[p].location[k] = 0; /* unused entries are all alike: fewer states */
    pending[p].value[k] = 0;
    pending[p].after[k] = 0
}

#define MAY_COMMIT(i) (pending[me].count > (i) && !pending[me].after[i])
#define COMMIT(i) :: d_step { MAY_COMMIT(i) -> commit(me, i) }
#ifdef WEAK
#define COMMIT_BEHIND_READER(i) \
    :: d_step { MAY_COMMIT(i) -> \
        older = pending[me].location[i]; \
        ahead[older] = true; \
        old[older] = memory[older]; \
        commit(me, i) }
#else
#define COMMIT_BEHIND_READER(i)
#endif

proctype StoreBuffer(bit me) {
end:
    do
    FOR_EACH_PENDING(COMMIT)
    FOR_EACH_PENDING(COMMIT_BEHIND_READER)
    od
}

#ifdef WEAK
/* Nothing that p loaded ahead counts any more. R reads S's outbox and the other way round. */
inline void_ahead(p) {
    k = (p == R -> 0 : WORD_R);
    do
    :: k < (p == R -> WORD_R : LOCATIONS) -> ahead[k] = false; old[k] = 0; k++
    :: else -> break
    od;
    k = 0
}
#else
#define void_ahead(p) skip
#endif

inline load_now(where, into) {
#ifdef WEAK
    if
    :: ahead[where] -> into = old[where]; ahead[where] = false; old[where] = 0
    :: else -> into = memory[where]
    fi;
    skip /* a d_step must not end in a jump */
#else
    into = memory[where]
#endif
}

inline load(where, into) { d_step { load_now(where, into) } }

inline load_acquire(p, where, into) { d_step { load_now(where, into); void_ahead(p) } }

/* A fence is the moment when nothing is pending; the store buffer gets there in its own time. */
inline fence(p) { d_step { pending[p].count == 0 -> void_ahead(p) } }

/* MEMBARRIER_CMD_GLOBAL_EXPEDITED: between call and return every running thread of the registered
 * processes passes a full fence, wherever in its program it is, and so does the caller. */
inline membarrier() {
    d_step { pending[S].count == 0 && pending[R].count == 0 -> void_ahead(S); void_ahead(R) }
}

/* FUTEX_WAIT compares and queues under one lock. No fence is assumed: weaker than the kernel. */
inline futex_wait(p, where, value) {
    d_step { asleep[p] = (memory[where] == value) };
    if
    :: !asleep[p]
    :: d_step { asleep[p] && spurious > 0 -> asleep[p] = false; spurious-- }
    fi
}

/* FUTEX_WAKE has a full fence before it looks for sleepers (hb_waiters_pending in the kernel), and
 * the protocol needs it: the doorbell word is stored relaxed. */
inline futex_wake(p) {
    d_step { pending[p].count == 0 -> void_ahead(p); asleep[PEER(p)] = false }
}
