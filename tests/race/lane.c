/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/race/lane.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/list.h"
#include "lib/base/thread.h"

static void on_post(struct di_receiver *receiver)
{
    struct lane_side *side = di_container(receiver, struct lane_side, receiver);

    atomic_fetch_add_explicit(&side->posts, 1, memory_order_relaxed);
}

static void on_freed(struct di_receiver *receiver)
{
    struct lane_side *side = di_container(receiver, struct lane_side, receiver);

    atomic_fetch_add_explicit(&side->freed, 1, memory_order_relaxed);
}

static void on_awake(struct di_receiver *receiver)
{
    (void)receiver;
}

static void *zeroed(size_t bytes)
{
    void *memory = aligned_alloc(DI_PAGE, bytes);

    MUST(memory != NULL);
    memset(memory, 0, bytes);
    return memory;
}

static void make_memory(struct lane_side *own, const struct lane_side *peer, uint64_t start)
{
    di_geometry_set_returns(&own->geometry, peer->geometry.blocks_max);
    own->outbox = zeroed(own->geometry.header.outbox_bytes);
    own->pool = zeroed(own->geometry.header.pool_bytes);
    memcpy(own->outbox, &own->geometry.header, sizeof(own->geometry.header));
    di_ring_format((void *)(own->outbox + DI_OUTBOX_SLOTS_AT), own->geometry.header.slots, start);
    struct di_receiver_page *page = (void *)(own->outbox + DI_OUTBOX_RECEIVER_AT);
    atomic_init(&page->consumed, start);
}

/* What one half owns, as the other half sees it. */
static const DI_PEER void *as_peer(const unsigned char *memory)
{
    return (const DI_PEER void *)(uintptr_t)memory;
}

static void start_halves(struct lane_side *own, struct lane_side *peer, uint32_t cells_max)
{
    const struct di_sender_parts sending = {.outbox = own->outbox,
                                            .geometry = &own->geometry,
                                            .peer_outbox = as_peer(peer->outbox),
                                            .peer_geometry = &peer->geometry,
                                            .pool = own->pool,
                                            .cells_max = cells_max,
                                            .socket = own->socket};
    const struct di_receiver_parts receiving = {.outbox = own->outbox,
                                                .geometry = &own->geometry,
                                                .peer_outbox = as_peer(peer->outbox),
                                                .peer_geometry = &peer->geometry,
                                                .peer_pool = as_peer(peer->pool),
                                                .cells_max = cells_max,
                                                .socket = own->socket};

    MUST(di_sender_init(&own->sender, &sending) == DUCT_OK);
    MUST(di_receiver_init(&own->receiver, &receiving) == DUCT_OK);
    own->receiver.post = on_post;
    own->receiver.freed = on_freed;
    own->receiver.awake = on_awake;
    lane_receive_here(own);
}

void lane_open(struct lane *lane, uint32_t slots, uint32_t max_msg, uint64_t pool, uint64_t start,
               uint32_t cells_max)
{
    int sockets[2];

    memset(lane, 0, sizeof(*lane));
    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0);
    for (int i = 0; i < 2; i++) {
        di_geometry_plan(&lane->side[i].geometry, slots, max_msg, pool, pool);
        lane->side[i].geometry.header.start = start;
        lane->side[i].socket = sockets[i];
    }
    for (int i = 0; i < 2; i++)
        make_memory(&lane->side[i], &lane->side[1 - i], start);
    for (int i = 0; i < 2; i++)
        start_halves(&lane->side[i], &lane->side[1 - i], cells_max);
}

void lane_close(struct lane *lane)
{
    for (int i = 0; i < 2; i++) {
        di_sender_fini(&lane->side[i].sender);
        di_receiver_fini(&lane->side[i].receiver);
        free(lane->side[i].outbox);
        free(lane->side[i].pool);
        close(lane->side[i].socket);
    }
}

void lane_receive_here(struct lane_side *side)
{
    atomic_store_explicit(&side->receiver.thread, di_thread_self(), memory_order_relaxed);
}

bool lane_sleep(const struct di_sleeper *sleeper, uint32_t bell)
{
    const struct timespec patience = {.tv_sec = 10};

    return syscall(SYS_futex, di_peer_address(sleeper->bell), FUTEX_WAIT, bell, &patience, NULL,
                   0) == 0 ||
           errno != ETIMEDOUT;
}

void lane_fill(void *data, size_t size, uint64_t seed)
{
    unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(seed * 31 + i);
}

bool lane_filled(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != (unsigned char)(seed * 31 + i))
            return false;
    }
    return true;
}

unsigned lane_rings(const struct lane_side *side)
{
    unsigned char byte;
    unsigned count = 0;

    while (recv(side->socket, &byte, 1, MSG_DONTWAIT) == 1)
        count++;
    return count;
}
