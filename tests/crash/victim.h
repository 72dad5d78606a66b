/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_VICTIM_H
#define TESTS_CRASH_VICTIM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/crash/point.h"

/*
 * What the tests of this folder share: a directory of their own, processes that die, and what there was
 * before and is there afterwards.
 */

/* Fails the program at once, with a sentence on stderr. */
void crash_fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* A directory of this test's own becomes XDG_RUNTIME_DIR; removed, with all that is in it, at exit. */
void crash_world_open(void);

/* Number of entries where listeners have their sockets, by lstat of each. */
unsigned crash_world_names(void);

/* Descriptors of this process, and mappings of shared memory in it. */
unsigned crash_own_fds(void);
unsigned crash_own_shared_maps(void);

/* Runs role(user) in a child that is armed with plan (NULL: with none) and ends with role's result. The
 * child gets no descriptor of duct's, and dies with its parent. */
pid_t crash_spawn(int (*role)(void *user), void *user, struct crash_plan *plan);

/* Kills that child, and waits for it; fails if it ended before by itself. */
void crash_kill(pid_t child);

/* Waits for that child; its exit status, or -1 if it was killed by SIGKILL. Any other end fails. */
int crash_wait(pid_t child);

#endif
