/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/ring.h"

/*
 * The slow paths of the descriptor ring. Edges, explained in ring.h:
 *   [slot]   stamp stored with release after payload and header  |  stamp loaded with acquire
 *   [space]  consumed stored with release after the reads        |  consumed loaded with acquire
 */

void di_ring_format(struct di_slot *slots, uint32_t count, uint64_t start)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t position = start + i;
        /* Relaxed: the peer maps the segment only after a message on the control socket. */
        atomic_store_explicit(&slots[position & (count - 1)].stamp, position + 1 - count,
                              memory_order_relaxed);
    }
}

bool di_ring_refresh(struct di_ring_out *ring, uint32_t count, bool *plausible)
{
    uint64_t slots = ring->mask + 1;
    /* [space] observes: the receiver's reads of the slots before it are over. */
    uint64_t consumed = di_peer_load_acquire(ring->consumed);

    /* It never passes us, is never a lap behind, and never goes back. */
    *plausible = ring->tail - consumed <= slots && consumed + slots - ring->limit <= slots;
    if (!*plausible)
        return false;
    ring->limit = consumed + slots;
    return ring->limit - ring->tail >= count;
}

uint64_t di_ring_untaken(struct di_ring_out *ring)
{
    uint64_t count = 0;
    bool plausible;

    di_ring_refresh(ring, 0, &plausible);
    /* Where it begins the peer says, and that may be amid a message: it ends at our tail in any case. */
    for (uint64_t at = ring->limit - (ring->mask + 1); (int64_t)(ring->tail - at) > 0; count++) {
        /* Relaxed: our own memory. */
        uint64_t head =
            atomic_load_explicit(&ring->slots[at & ring->mask].head, memory_order_relaxed);
        bool here = head == di_head_make((uint32_t)head, DI_KIND_IMMEDIATE);
        at += here ? di_slots_of((uint32_t)head) : 1;
    }
    return count;
}

void di_ring_put_more(struct di_ring_out *ring, uint64_t position, const unsigned char *bytes,
                      uint32_t size)
{
    for (; size > 0; position++) {
        uint32_t here = size < DI_MORE_BYTES ? size : DI_MORE_BYTES;

        di_ring_put_next(ring, position, bytes, here);
        bytes += here;
        size -= here;
    }
}

void di_ring_get_more(const struct di_ring_in *ring, uint64_t position, unsigned char *bytes,
                      uint32_t size)
{
    for (; size > 0; position++) {
        uint32_t here = size < DI_MORE_BYTES ? size : DI_MORE_BYTES;

        di_ring_get_next(ring, position, bytes, here);
        bytes += here;
        size -= here;
    }
}
