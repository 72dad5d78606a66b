/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_METER_H
#define TESTS_HOSTILE_METER_H

#include <duct/context.h>

/*
 * What something costs, by count: turns of the loop, and system calls of the calling thread. The turns
 * are counted by a table that stands before the loop's own; the system calls by a tracer, where there
 * can be one (not beside a sanitizer, which has business of its own with the kernel).
 */
struct cost {
    unsigned long steps;
    unsigned long calls;
};

/* Forks: the child returns and is metered, the parent counts, and ends as the child does. Before any
 * thread. Without a tracer it only returns. */
void meter_start(void);

/* Counts the turns of that context from now on; both backends, once a context. */
void meter_context(struct duct_context *context);

/* What is done before every turn of those contexts, by a peer that is always a little faster; NULL: no more. */
void meter_before_turns(void (*act)(void *arg), void *arg);

void meter_begin(void);
void meter_end(struct cost *cost);

#endif
