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

void di_ring_put_more(struct di_ring_out *ring, const unsigned char *bytes, uint32_t size)
{
    for (uint64_t position = ring->tail + 1; size > 0; position++) {
        struct di_slot_more *more = (struct di_slot_more *)&ring->slots[position & ring->mask];
        uint32_t here = size < DI_MORE_BYTES ? size : DI_MORE_BYTES;

        di_copy_small(more->bytes, bytes, here);
        /* Relaxed: never polled; published by the stamp of the first slot. */
        atomic_store_explicit(&more->stamp, position + 1, memory_order_relaxed);
        bytes += here;
        size -= here;
    }
}

void di_ring_get_more(const struct di_ring_in *ring, unsigned char *bytes, uint32_t size)
{
    for (uint64_t position = ring->head + 1; size > 0; position++) {
        const DI_PEER void *more = di_ring_slot(ring, position);
        uint32_t here = size < DI_MORE_BYTES ? size : DI_MORE_BYTES;

        di_copy_small(bytes, di_peer_address(di_peer_field(more, struct di_slot_more, bytes)),
                      here);
        bytes += here;
        size -= here;
    }
}
