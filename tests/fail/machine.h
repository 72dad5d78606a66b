/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAIL_MACHINE_H
#define TESTS_FAIL_MACHINE_H

#include <stdbool.h>
#include <sys/types.h>

/* A machine of a test's own, in namespaces: nothing in /tmp, /run and /dev/shm, no other process. Whatever cannot be
 * made ends the program. */

/* Becomes its first process. Ends the program with 77 where that is not allowed. */
void machine_enter(void);

void machine_directory(const char *path, mode_t mode);
/* In that directory; until the next call. */
const char *machine_path(const char *directory, const char *name);
void machine_file(const char *directory, const char *name, const char *text, uid_t owner);
/* What a killed listener leaves. */
void machine_socket(const char *directory, const char *name, bool with_lock);
bool machine_has(const char *directory, const char *name);

#endif
