/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [parts], [bytes]: messages of a stream, handed out by its thread, released by it and by others. A buffer that
 * nobody reads any more is written again, else there is another; at the end the receiver goes while others hold what
 * they have. What is read is what was written, and a message is released once.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "lib/base/thread.h"
#include "tests/must.h"
#include "transports/stream_held.h"

enum { TABLES = 40, ROUNDS = 3000, RELEASERS = 3, BUFFER = 1024, BYTES = 64, OUT = 16 };

/* A message on its way to a releaser: full says whose the slot is. */
struct slot {
    _Atomic bool full;
    struct duct_msg msg;
};
static struct slot slots[RELEASERS][OUT];

static void release(struct duct_msg *msg)
{
    const unsigned char *bytes = msg->data;

    for (size_t i = 0; i < msg->size; i++)
        MUST(bytes[i] == (unsigned char)msg->tag);
    MUST(duct_msg_release(msg) == DUCT_OK);
    MUST(msg->owner == NULL);
}

static void *releases(void *arg)
{
    struct slot *mine = arg;

    for (unsigned i = 0; i < TABLES * (ROUNDS / (RELEASERS + 1)); i++) {
        struct slot *slot = &mine[i % OUT];
        while (!atomic_load_explicit(&slot->full, memory_order_acquire))
            sched_yield();
        struct duct_msg msg = slot->msg;
        atomic_store_explicit(&slot->full, false, memory_order_release);
        release(&msg);
    }
    return NULL;
}

static void hand_over(struct slot *slot, const struct duct_msg *msg)
{
    while (atomic_load_explicit(&slot->full, memory_order_acquire))
        sched_yield();
    slot->msg = *msg;
    atomic_store_explicit(&slot->full, true, memory_order_release);
}

/* The buffer from its front, or another one if somebody still reads in it. */
static struct di_buffer *next_buffer(struct stream_held *held, struct di_buffer *buffer)
{
    if (buffer != NULL && stream_held_alone(held, buffer))
        return buffer;
    if (buffer != NULL)
        stream_held_leave(held, buffer);
    buffer = di_buffer_alloc(BUFFER);
    MUST(buffer != NULL);
    return buffer;
}

/* Every fourth message is released here, by the thread that receives; each of the others by its releaser. */
static void receive(unsigned table, unsigned *handed)
{
    struct stream_held *held = stream_held_open(1u << 20);
    struct di_buffer *buffer = NULL;
    struct duct_msg kept = {0};
    size_t at = BUFFER;

    MUST(held != NULL);
    stream_held_belongs(held, di_thread_self());
    for (unsigned i = 0; i < ROUNDS; i++, at += BYTES) {
        struct di_frame frame = {.whole = BYTES, .tag = table + i};
        struct duct_msg msg;

        if (at == BUFFER) {
            buffer = next_buffer(held, buffer);
            at = 0;
        }
        memset(buffer->bytes + at, (int)(unsigned char)frame.tag, BYTES);
        /* Now and then the receiver's reference goes with the message. */
        bool last = i % 5 == 0 && at == BUFFER - BYTES;
        MUST(stream_held_give(held, buffer, last, &frame, buffer->bytes + at, &msg) == DUCT_OK);
        buffer = last ? NULL : buffer;
        unsigned whose = i % (RELEASERS + 1);
        if (i == ROUNDS - 1) {
            kept = msg;
        } else if (whose == RELEASERS) {
            struct duct_msg copy = msg;
            release(&msg);
            MUST(duct_msg_release(&copy) == DUCT_EINVAL);
        } else {
            hand_over(&slots[whose][handed[whose]++ % OUT], &msg);
        }
    }
    if (buffer != NULL)
        stream_held_leave(held, buffer);
    stream_held_close(held);
    release(&kept); /* like anybody else */
}

int main(void)
{
    pthread_t threads[RELEASERS];
    unsigned handed[RELEASERS] = {0};

    for (unsigned i = 0; i < RELEASERS; i++)
        MUST(pthread_create(&threads[i], NULL, releases, slots[i]) == 0);
    for (unsigned i = 0; i < TABLES; i++)
        receive(i, handed);
    for (unsigned i = 0; i < RELEASERS; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    return 0;
}
