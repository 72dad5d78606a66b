/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_RECEIVER_H
#define DI_SHM_RECEIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <duct/message.h>

#include "lib/base/crash.h"
#include "lib/base/msg_owner.h"
#include "lib/base/stack.h"
#include "shm/cells.h"
#include "shm/distance.h"
#include "shm/geometry.h"
#include "shm/park.h"
#include "shm/returns.h"
#include "shm/ring.h"

/*
 * The receiving half of a lane: the peer's ring and pool, its own return ring and park word, for
 * the one thread that receives. Nothing here waits or calls the kernel, except to ring the peer's
 * doorbell.
 *
 * Publication is lazy but never late: consumed slots and returned blocks are shown to the peer
 * every `batch` of them, whenever a receive finds nothing, before any wait, and at once while the
 * peer's park word says that it waits for them.
 *
 * Messages may be released by any thread, and after the pipe was closed: the receiver is therefore
 * counted. It lives until di_receiver_close() was called and the last message held came back.
 *
 * Edges of this file:
 *   [release]  a message's last read, its node pushed by another thread | the stack taken by the
 * owner [orphan]   closed stored, pins read  |  pins raised, closed read
 */

/* The peer's block, as this side knows it. */
struct di_arrived {
    const DI_PEER void *data;
    uint32_t size;
    uint32_t generation;
    struct di_node posted; /* for a release by another thread */
    bool held;
    _Atomic bool claimed; /* another thread released it, and the owner does not know yet */
};

struct di_receiver {
    struct di_msg_owner owner; /* first: messages held point here */
    struct di_ring_in ring;
    struct di_ringer ringer; /* wakes the peer's sender */
    uint32_t immediate_max;
    uint32_t max_msg;
    uint32_t batch;
    uint32_t returns_batch;
    uint64_t msgs;
    uint64_t bytes;
    struct di_returns_out returns;
    struct di_arrived *blocks;
    _Atomic uint32_t block_count; /* in the segments known so far; see cells.chunk_count */
    bool unknown_segment; /* a descriptor named a segment the peer has not announced to us yet */
    struct di_cells cells;
    uint64_t handed_out; /* messages ever given to the application as views */
    uint64_t given_back; /* and released by the owner thread */

    struct di_distance distance;
    struct di_sleeper sleeper; /* for DATA */
    uint64_t awake_since;      /* msgs at the last sleep */
    uint64_t asymmetric_after; /* 0: never */
    struct di_receiver_page *page;
    const struct di_geometry *peer_geometry;
    uint32_t segment_count;
    uint64_t full_held;

    /* Releases by other threads. */
    _Atomic uintptr_t thread; /* the owner: di_thread_self() of it; here, and not in its
                                 context, since a release may come when that is gone */
    void *user;               /* for post() */
    void (*post)(struct di_receiver *receiver);  /* tells the owner that something was posted */
    void (*freed)(struct di_receiver *receiver); /* the last message is back, and it is closed */
    void (*awake)(
        struct di_receiver *receiver); /* it went asymmetric: arm again before any sleep */
    struct di_stack posted;            /* of di_cell.posted and di_arrived.posted */
    _Atomic uint32_t posted_any;
    _Atomic uint32_t pins; /* other threads inside a release right now */
    _Atomic bool closed;
    _Atomic int64_t
        balance; /* messages released by others, less, once closed, those to be released */
};

struct di_receiver_parts {
    unsigned char *outbox; /* own, writable */
    const struct di_geometry *geometry;
    const DI_PEER void *peer_outbox;
    const struct di_geometry *peer_geometry; /* must outlive the receiver */
    const DI_PEER void *peer_pool;           /* first segment */
    uint32_t cells_max;
    int socket;
};

enum duct_err di_receiver_init(struct di_receiver *receiver,
                               const struct di_receiver_parts *parts) DUCT_NODISCARD;

/*
 * The owner receives no more. When no message is held any more, which may be now, freed() is
 * called, by the thread that released the last; it calls di_receiver_fini().
 */
void di_receiver_close(struct di_receiver *receiver);
void di_receiver_fini(struct di_receiver *receiver);

/* Learns one more segment of the peer's pool. */
enum duct_err di_receiver_add_segment(struct di_receiver *receiver,
                                      const DI_PEER void *base) DUCT_NODISCARD;

/*
 * Receives a view. EAGAIN: nothing there (what was due is then published), or unknown_segment is
 * set and the control socket must be read first. LIMIT: no cell for one more. CORRUPT.
 */
enum duct_err di_receiver_recv(struct di_receiver *receiver, struct duct_msg *msg);

/* Copies out. TOOBIG sets *size and leaves the message where it is. */
enum duct_err di_receiver_read(struct di_receiver *receiver, void *data, size_t capacity,
                               size_t *size, uint64_t *tag);

/* Runs of messages, for batches: as many as are alike and at hand. Return how many; 0 says nothing
 * about why. The first copies small ones out into buffers that are large enough, the second gives
 * views, the third takes views of this receiver back, in its thread. */
size_t di_receiver_read_run(struct di_receiver *receiver, struct duct_buffer *buffers,
                            size_t count);
size_t di_receiver_recv_run(struct di_receiver *receiver, struct duct_msg *msgs, size_t count);
size_t di_receiver_release_run(struct di_receiver *receiver, struct duct_msg *msgs, size_t count);

/* Sets up the releases; part of di_receiver_init(), in a file of their own. */
void di_receiver_release_init(struct di_receiver *receiver);

/* Parts of a release, for whoever has more to do in one. The cell or block that ref names; both NULL if
 * there is none, or it is not held. */
static inline void di_receiver_find(struct di_receiver *receiver, uint64_t ref,
                                    struct di_cell **cell, struct di_arrived **block)
{
    uint32_t index = di_ref_index(ref);

    *cell = NULL;
    *block = NULL;
    if (index & DI_REF_CELL) {
        *cell = di_cells_find(&receiver->cells, index & ~DI_REF_CELL, di_ref_generation(ref));
        /* Relaxed: a message that is held was handed over after its segment was learnt. */
    } else if (index < atomic_load_explicit(&receiver->block_count, memory_order_relaxed)) {
        struct di_arrived *named = &receiver->blocks[index];
        if (named->held && named->generation == di_ref_generation(ref))
            *block = named;
    }
}
/* Another thread's release, of a receiver that is open or not; the caller has claimed cell or block. */
void di_receiver_release_elsewhere(struct di_receiver *receiver, struct di_cell *cell,
                                   struct di_arrived *block);

/* Takes in what other threads released. */
void di_receiver_collect(struct di_receiver *receiver);

/* Shows the peer what was consumed and returned, and wakes it if it waits for that. */
void di_receiver_publish(struct di_receiver *receiver);

/* A message was taken; part of every receive. */
static inline void di_receiver_taken(struct di_receiver *receiver)
{
    struct di_ring_in *ring = &receiver->ring;

    if (__builtin_expect(ring->head - ring->published >= receiver->batch, 0)) {
        di_receiver_publish(receiver);
        if (ring->mask >= 2 * DI_DISTANCE_AHEAD)
            di_ring_look_ahead(ring, DI_DISTANCE_AHEAD);
    } else if (__builtin_expect(di_ringer_wanted(&receiver->ringer) != 0, 0)) {
        di_receiver_publish(receiver);
    }
}

/* The fast path of di_receiver_read(): a message of one slot that fits. False: take the other. */
static inline bool di_receiver_read_fast(struct di_receiver *receiver, void *data, size_t capacity,
                                         size_t *size_out, uint64_t *tag)
{
    const DI_PEER void *slot = di_ring_slot(&receiver->ring, receiver->ring.head);

    if (di_ring_look(&receiver->ring) != DI_RING_READY)
        return false;
    uint64_t head = di_peer_load(di_peer_field(slot, struct di_slot, head));
    uint32_t size = (uint32_t)head;
    if (head != di_head_make(size, DI_KIND_IMMEDIATE) || size > DI_SLOT_BYTES || size > capacity)
        return false;
    di_copy_small(data, di_peer_address(di_peer_field(slot, struct di_slot, bytes)), size);
    *size_out = size;
    if (tag != NULL)
        *tag = di_peer_load(di_peer_field(slot, struct di_slot, tag));
    DI_CRASH_POINT("recv.read_fast");
    di_ring_fetch_ahead(&receiver->ring);
    receiver->ring.head++;
    receiver->msgs++;
    receiver->bytes += size;
    di_receiver_taken(receiver);
    return true;
}

/* Blocks were put into the return ring; part of every release. */
static inline void di_receiver_returned(struct di_receiver *receiver)
{
    if (receiver->returns.put - receiver->returns.published >= receiver->returns_batch ||
        (di_ringer_wanted(&receiver->ringer) & DI_WANT_BLOCKS))
        di_receiver_publish(receiver);
}

/* Publishes if anything is due. */
static inline void di_receiver_publish_due(struct di_receiver *receiver)
{
    if (receiver->ring.head != receiver->ring.published ||
        receiver->returns.put != receiver->returns.published)
        di_receiver_publish(receiver);
}

/* Whether a receive would not return AGAIN. A corrupt stamp counts: the receive will say so. */
static inline bool di_receiver_ready(const struct di_receiver *receiver)
{
    return di_ring_look(&receiver->ring) != DI_RING_EMPTY;
}

#endif
