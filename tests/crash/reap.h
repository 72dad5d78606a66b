/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_REAP_H
#define TESTS_CRASH_REAP_H

/* A role for crash_spawn(): removes all that is left over in that directory, as shmreap --reap does. The exit status is
 * the number of leftovers seen, or 100 and more if something failed. */
int crash_reap(void *directory);

/* An empty directory of that name, 0700. */
void crash_new_directory(const char *path);

#endif
