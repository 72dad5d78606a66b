/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_CORE_SWEEP_H
#define DI_CORE_SWEEP_H

#include <stdint.h>

#include "lib/base/list.h"
#include "lib/core/context.h"

/*
 * Deadlines of pipes that are idle: any number of them, one timer of the loop's. They lie in a list in the order of
 * time, so that a sweep costs what has expired, and taking one back costs nothing, not even a word to the kernel. One
 * that is added belongs near the end, where most have the same patience, and is looked for from there.
 *
 * The owner's thread, all of it.
 */
struct di_sweep_entry {
    struct di_list link;
    int64_t deadline;
    /* It is out of the list, and may add itself again. */
    void (*expired)(struct di_sweep_entry *entry, int64_t now);
};

void di_sweep_init(struct duct_context *context);

/* Expires at deadline, and no longer when it did. */
void di_sweep_add(struct duct_context *context, struct di_sweep_entry *entry, int64_t deadline);

/* Harmless if it is not there. */
static inline void di_sweep_remove(struct di_sweep_entry *entry)
{
    di_list_remove(&entry->link);
}

#endif
