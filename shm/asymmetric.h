/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_ASYMMETRIC_H
#define DI_SHM_ASYMMETRIC_H

#include <stdbool.h>

/*
 * The sleeper-pays fence: membarrier(2), GLOBAL_EXPEDITED. See park.h for when and why.
 *
 * Costs some 11 microseconds where the peer is running, and interrupts every process that
 * registered. So a receiver enters asymmetric mode only after this many messages without a sleep,
 * which bounds the price to a few nanoseconds a message.
 */
#define DI_ASYMMETRIC_AFTER 4096u

/*
 * Registers this process as one whose CPUs answer the barrier, once. True if that and the barrier
 * itself work here: only then may the peer's receivers leave this process's fences out, and this
 * process's receivers ask for it. Any thread.
 */
bool di_asymmetric_available(void);

/* A full fence in every registered process. Only where di_asymmetric_available(). */
void di_asymmetric_barrier(void);

#endif
