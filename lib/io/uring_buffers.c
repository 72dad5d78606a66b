/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/uring_buffers.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "lib/io/uring_ops.h"

/* The one group of a ring. */
enum { GROUP = 0 };

/* mmap rounds it up to whole pages, which is what the kernel wants. */
static size_t queue_size(void)
{
    return DI_URING_BUFFERS_MOST * sizeof(struct io_uring_buf);
}

/* Not in a child: after a fork one of both would have a copy that the kernel does not look at. */
static struct io_uring_buf_ring *map_queue(void)
{
    void *at = mmap(NULL, queue_size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (at == MAP_FAILED)
        return NULL;
    (void)madvise(at, queue_size(), MADV_DONTFORK);
    return at;
}

static int register_queue(struct di_ring *ring, struct io_uring_buf_ring *queue)
{
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)queue, .ring_entries = DI_URING_BUFFERS_MOST, .bgid = GROUP};

    return io_uring_register_buf_ring(&ring->u, &reg, 0);
}

/*
 * A ring that only its thread moves on, or a kernel that does all work of a ring under the ring's lock: so that
 * di_uring_buffers_seal() may be relied on.
 */
static bool can_be_sealed(const struct di_ring *ring)
{
    return (ring->u.flags & IORING_SETUP_DEFER_TASKRUN) != 0 ||
           (ring->u.features & DI_FEAT_RECVSEND_BUNDLE) != 0;
}

bool di_uring_buffers_known(struct di_ring *ring)
{
    /* SEND_ZC came with the same release as receives that go on, and can be asked for. */
    if (!can_be_sealed(ring) || !di_ring_knows(ring, IORING_OP_SEND_ZC))
        return false;
    struct io_uring_buf_ring *queue = map_queue();
    if (queue == NULL)
        return false;
    bool known = register_queue(ring, queue) == 0;
    if (known)
        (void)io_uring_unregister_buf_ring(&ring->u, GROUP);
    munmap(queue, queue_size());
    return known;
}

struct di_uring_buffers *di_uring_buffers_open(struct di_ring *ring, struct di_buffers *pool)
{
    struct di_uring_buffers *group = calloc(1, sizeof(*group));

    if (group == NULL)
        return NULL;
    group->queue = map_queue();
    if (group->queue == NULL || register_queue(ring, group->queue) != 0) {
        if (group->queue != NULL)
            munmap(group->queue, queue_size());
        free(group);
        return NULL;
    }
    group->pool = pool;
    group->wanted = DI_URING_BUFFERS_LEAST;
    return group;
}

void di_uring_buffers_close(struct di_uring_buffers *group)
{
    if (group == NULL)
        return;
    for (unsigned i = 0; i < DI_URING_BUFFERS_MOST; i++) {
        if (group->slots[i] != NULL)
            di_buffer_release(group->slots[i]);
    }
    munmap(group->queue, queue_size());
    free(group);
}

/* Half of them will do, if half of them lay unused all the while. */
static void judge(struct di_uring_buffers *group)
{
    if (group->used < DI_URING_BUFFERS_WINDOW)
        return;
    if (group->lowest > group->wanted / 2 && group->wanted > DI_URING_BUFFERS_LEAST)
        group->wanted /= 2;
    group->used = 0;
    group->lowest = group->offered;
}

struct di_buffer *di_uring_buffers_used(struct di_uring_buffers *group, unsigned id)
{
    struct di_buffer *buffer = group->slots[id];

    group->slots[id] = NULL;
    group->offered--;
    group->used++;
    if (group->offered < group->lowest)
        group->lowest = group->offered;
    return buffer;
}

bool di_uring_buffers_fill(struct di_uring_buffers *group)
{
    uint16_t before = group->tail;

    if (group->starved && group->wanted < DI_URING_BUFFERS_MOST)
        group->wanted *= 2;
    group->starved = false;
    judge(group);
    while (group->offered < group->wanted) {
        unsigned id = group->tail % DI_URING_BUFFERS_MOST;
        struct di_buffer *buffer = di_buffers_take(group->pool);
        if (buffer == NULL)
            break;
        struct io_uring_buf *entry = &group->queue->bufs[id];
        entry->addr = (uintptr_t)buffer->bytes;
        entry->len = (uint32_t)buffer->capacity;
        entry->bid = (uint16_t)id;
        group->slots[id] = buffer;
        group->tail++;
        group->offered++;
    }
    if (group->tail != before)
        atomic_store_explicit((_Atomic uint16_t *)&group->queue->tail, group->tail,
                              memory_order_release); /* [offer] */
    return group->offered > 0;
}

/*
 * The former thread may be on its way out, and have the kernel do the ring's work there. From now on that finds no
 * buffer it could write to: it fails, and the bytes stay in the socket. Unregistering is refused to us, but only
 * once the ring's lock was had: so what was under way is over.
 */
void di_uring_buffers_seal(struct di_uring_buffers *group, struct di_ring *ring)
{
    for (unsigned i = 0; i < DI_URING_BUFFERS_MOST; i++)
        /* Relaxed: the kernel's lock orders it. */
        atomic_store_explicit((_Atomic uint64_t *)&group->queue->bufs[i].addr, UINT64_MAX,
                              memory_order_relaxed);
    (void)io_uring_unregister_buf_ring(&ring->u, GROUP);
}
