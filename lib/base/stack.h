/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_STACK_H
#define DI_BASE_STACK_H

#include <stdatomic.h>
#include <stddef.h>

/*
 * A stack that any thread pushes to and one takes whole. The nodes lie in what is pushed, so it is
 * never full and needs no memory. Nothing is popped one at a time, so a node that comes back between a
 * pusher's look and its swap does no harm: the top it saw is still what goes below it.
 *
 * Concurrency Kit's ck_stack does the same, with a plain read of the top. That is a data race to C11,
 * and to ThreadSanitizer, which would have to be told to look away from all of it.
 *
 * Edges of this file:
 *   [pushed]  what the pusher did before, top swapped with release | top taken with acquire
 */
struct di_node {
    struct di_node *next;
};

struct di_stack {
    _Atomic(struct di_node *) top;
};

static inline void di_stack_init(struct di_stack *stack)
{
    atomic_init(&stack->top, NULL);
}

static inline void di_stack_push(struct di_stack *stack, struct di_node *node)
{
    /* Relaxed, here and where the swap fails: the top is stored, and not followed. */
    struct di_node *top = atomic_load_explicit(&stack->top, memory_order_relaxed);

    do {
        node->next = top;
        /* [pushed] publishes: the node, and what its pusher did with what it lies in. */
    } while (!atomic_compare_exchange_weak_explicit(&stack->top, &top, node, memory_order_release,
                                                    memory_order_relaxed));
}

/* All of it, the last one pushed first; NULL if there is none. */
static inline struct di_node *di_stack_take(struct di_stack *stack)
{
    /* [pushed] observes: every pusher's, since each swap continues the release of the one below. */
    return atomic_exchange_explicit(&stack->top, NULL, memory_order_acquire);
}

#endif
