/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libqb: its ring buffer in shared memory, one each way, made by the parent. Chunks are built in the
 * ring and read there. It wakes readers by a semaphore; a writer that finds it full has to try
 * again.
 */
#include <qb/qbdefs.h>
#include <qb/qbrb.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "bench/peer.h"

enum { RING_BYTES = 8 << 20 };

/* there: first's messages; back: second's. Made before the fork, so neither has to be found. */
static qb_ringbuffer_t *there;
static qb_ringbuffer_t *back;

static qb_ringbuffer_t *ring_create(const char *address, const char *suffix)
{
    char name[PEER_ADDRESS_BYTES + 8];
    const char *base = strrchr(address, '/') + 1;
    snprintf(name, sizeof(name), "%s-%s", base, suffix);
    return qb_rb_open(name, RING_BYTES, QB_RB_FLAG_CREATE | QB_RB_FLAG_SHARED_PROCESS, 0);
}

static bool rings_setup(const char *address)
{
    there = ring_create(address, "t");
    back = ring_create(address, "b");
    return there != NULL && back != NULL;
}

static void rings_teardown(const char *address)
{
    (void)address;
    if (there != NULL)
        qb_rb_close(there);
    if (back != NULL)
        qb_rb_close(back);
}

static bool rings_open(struct peer *peer)
{
    peer->handle = peer->is_first ? there : back;
    return true;
}

static bool ring_put(struct peer *peer)
{
    qb_ringbuffer_t *ring = peer->is_first ? there : back;
    uint64_t deadline_ns = 0;
    void *chunk;

    while ((chunk = qb_rb_chunk_alloc(ring, peer->size)) == NULL) {
        uint64_t now_ns = machine_now_ns();
        if (deadline_ns == 0)
            deadline_ns = now_ns + PEER_WAIT_MS * 1000000ull;
        if (now_ns > deadline_ns)
            return false;
        sched_yield();
    }
    payload_fill_any(chunk, peer->size, ++peer->sent);
    return qb_rb_chunk_commit(ring, peer->size) == 0;
}

static bool ring_get(struct peer *peer)
{
    qb_ringbuffer_t *ring = peer->is_first ? back : there;
    void *chunk;
    ssize_t length = qb_rb_chunk_peek(ring, &chunk, PEER_WAIT_MS);
    if (length != (ssize_t)peer->size)
        return false;
    peer->sum += payload_consume(chunk, peer->size);
    qb_rb_chunk_reclaim(ring);
    return true;
}

void peer_qb_cases(struct cases *cases)
{
    static const struct peer_ops ops = {
        .pingpong = "qb.pingpong",
        .stream = "qb.stream",
        .about = "libqb ring buffers of 8 MiB in shared memory",
        .setup = rings_setup,
        .teardown = rings_teardown,
        .open = rings_open,
        .put = ring_put,
        .get = ring_get,
    };
    peer_add(cases, &ops);
}
