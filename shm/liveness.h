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
 *
 * A janitor (shm/leftover.h) locks one byte where an owner locks all of it. Each keeps the other out, and
 * whoever is refused can tell which of the two it was: a janitor is gone in no time, and is waited for.
 */

enum di_holder { DI_HELD_BY_NOBODY, DI_HELD_BY_OWNER, DI_HELD_BY_JANITOR };

/* Takes the lock, without waiting but for a janitor. *taken: false where somebody else has it. Errors: OS,
 * LIMIT. */
enum duct_err di_lock_take(int fd, bool *taken) DUCT_NODISCARD;

/* Waits until no janitor holds it. *gone: false where one still does after a time that none needs. Errors: OS. */
enum duct_err di_lock_outlast_janitor(int fd, bool *gone) DUCT_NODISCARD;

/* Takes it as a janitor, without waiting. Errors as above. */
enum duct_err di_lock_take_as_janitor(int fd, bool *taken) DUCT_NODISCARD;

/* Who holds it, apart from us, without taking it. fd needs no right to write. */
enum duct_err di_lock_ask(int fd, enum di_holder *holder) DUCT_NODISCARD;

/* Whether somebody else, who lives, holds the lock. fd needs no right to write. */
enum duct_err di_lock_held(int fd, bool *held) DUCT_NODISCARD;

/* Whether path, below directory, still names the file that fd is open on, and it is no link. */
bool di_names_this(int directory, const char *path, int fd);

#endif
