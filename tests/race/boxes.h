/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_RACE_BOXES_H
#define TESTS_RACE_BOXES_H

#include <stdatomic.h>

#include <duct/message.h>

/* Mailboxes of one message each, from the thread that received it to one of two that release it; the release and acquire
 * here are the application's own. Needs the includer's MUST(), and its HANDOVER boxes. */
static struct duct_msg box[HANDOVER];
static _Atomic int full[HANDOVER];
static _Atomic int stop;

/* A thread for the boxes of one parity. */
static void *releases(void *arg)
{
    unsigned parity = *(unsigned *)arg;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        for (unsigned i = parity; i < HANDOVER; i += 2) {
            if (!atomic_load_explicit(&full[i], memory_order_acquire))
                continue;
            MUST(duct_msg_release(&box[i]) == DUCT_OK);
            atomic_store_explicit(&full[i], 0, memory_order_release);
        }
    }
    return NULL;
}

/* Puts the message in its box, or releases it where that is full. */
static void hand_over(struct duct_msg *msg, uint64_t number)
{
    unsigned place = (unsigned)(number % HANDOVER);

    if (atomic_load_explicit(&full[place], memory_order_acquire)) {
        MUST(duct_msg_release(msg) == DUCT_OK);
        return;
    }
    box[place] = *msg;
    atomic_store_explicit(&full[place], 1, memory_order_release);
}

/* Until every box is empty. */
static void boxes_empty(void)
{
    for (int i = 0; i < HANDOVER; i++) {
        while (atomic_load_explicit(&full[i], memory_order_acquire))
            continue;
    }
}

#endif
