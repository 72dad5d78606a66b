/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_POINT_H
#define TESTS_CRASH_POINT_H

#include <stdbool.h>
#include <stdint.h>

/*
 * The driver's side of lib/base/crash.h. A plan lies in memory that the driver shares with its victim; a
 * victim that is a program of its own takes it from the environment instead: DUCT_CRASH_AT=k.
 */
struct crash_plan {
    uint64_t die_at;   /* the number of the point, from 1; 0: none */
    char die_name[32]; /* or the name, the first time it is passed; empty: none */
    uint64_t passed;
    char last[32]; /* the name of the point passed last */
};

/* A plan in shared memory, all zero. */
struct crash_plan *crash_plan_new(void);
void crash_plan_free(struct crash_plan *plan);

/* From now on this process counts in plan, and dies as it says. NULL: no more. */
void crash_arm(struct crash_plan *plan);

/* The names of all points in this program, each once, by number; NULL past the last. */
const char *crash_point_name(unsigned number);

/* Notes that a victim died where plan says: for crash_untried(). */
void crash_tried(const struct crash_plan *plan);

/* Prints each point in this program that begins with prefix and where nobody has died yet; returns how
 * many these are. A test that ends with it cannot lose a point without a word. */
unsigned crash_untried(const char *prefix);

#endif
