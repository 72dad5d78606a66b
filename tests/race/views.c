/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers of a pool, filled by its thread and read and released by another, which goes on when the pool's thread has
 * let go of it. What is read is what was written.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/io/buffer.h"
#include "tests/must.h"

enum { ROUNDS = 20000, POOLS = 20, SLOTS = 8, BYTES = 200 };

static _Atomic(struct di_buffer *) slots[SLOTS];

/* Whether the pool's thread lets go of it by itself: of every other pool of all, nearly always as the last. */
static bool lets_go(unsigned i)
{
    return i / ROUNDS % 2 == 1 || i % 3 != 0;
}

static void *read_all(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < ROUNDS * POOLS; i++) {
        struct di_buffer *buffer;
        while ((buffer = atomic_exchange_explicit(&slots[i % SLOTS], NULL, memory_order_acquire)) ==
               NULL)
            sched_yield();
        for (unsigned at = 0; at < BYTES; at++)
            MUST(buffer->bytes[at] == (unsigned char)i);
        di_buffer_release(buffer);
        if (!lets_go(i))
            di_buffer_release(buffer);
    }
    return NULL;
}

/* Its own reference goes with the next buffer in that slot: so now the one thread is the last to let go, now the other. */
static struct di_buffer *late[SLOTS];

static void let_go(unsigned slot)
{
    if (late[slot] != NULL)
        di_buffer_release(late[slot]);
    late[slot] = NULL;
}

static void hand_over(struct di_buffers *pool, unsigned i)
{
    struct di_buffer *buffer = di_buffers_take(pool);
    MUST(buffer != NULL);
    memset(buffer->bytes, (int)(unsigned char)i, BYTES);
    di_buffer_hold(buffer);
    while (atomic_load_explicit(&slots[i % SLOTS], memory_order_relaxed) != NULL)
        sched_yield();
    atomic_store_explicit(&slots[i % SLOTS], buffer, memory_order_release);
    let_go(i % SLOTS);
    if (lets_go(i))
        late[i % SLOTS] = buffer;
}

int main(void)
{
    pthread_t reader;

    MUST(pthread_create(&reader, NULL, read_all, NULL) == 0);
    for (unsigned i = 0; i < POOLS; i++) {
        struct di_buffers *pool = di_buffers_open();
        MUST(pool != NULL);
        for (unsigned j = 0; j < ROUNDS; j++)
            hand_over(pool, i * ROUNDS + j);
        for (unsigned slot = 0; slot < SLOTS; slot++)
            let_go(slot);
        di_buffers_close(pool); /* the last ones are still out */
    }
    MUST(pthread_join(reader, NULL) == 0);
    return 0;
}
