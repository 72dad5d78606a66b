/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_LIVENESS_H
#define DI_SHM_LIVENESS_H

#include <stdbool.h>

#include <duct/error.h>

/*
 * Whether the owner of a file lives: it does as long as somebody holds the write lock on it.
 *
 * OFD locks: they belong to the open file description, not to a process's number, and are gone with its
 * last descriptor, whatever ended the process. A write lock needs a descriptor that can write, so that
 * nobody to whom a read-only one was passed can take or hold it. The descriptor that holds a lock is
 * never passed on, and closed in children made by fork().
 */

/* Takes the lock, without waiting. *taken: false where somebody else has it. Errors: OS, LIMIT. */
enum duct_err di_lock_take(int fd, bool *taken) DUCT_NODISCARD;

/* Whether somebody else, who lives, holds the lock. fd needs no right to write. */
enum duct_err di_lock_held(int fd, bool *held) DUCT_NODISCARD;

/* Whether path, below directory, still names the file that fd is open on, and it is no link. */
bool di_names_this(int directory, const char *path, int fd);

#endif
