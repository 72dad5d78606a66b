/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_JANITOR_H
#define DUCT_JANITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

/*
 * The janitor: finds what crashed programs left behind, says why it counts as left over, and removes it
 * when asked. shmreap(1) is a command line around these calls.
 *
 *     struct duct_janitor *janitor;
 *     enum duct_err err = duct_janitor_open(&janitor, NULL);        // looks; changes nothing
 *     for (size_t i = 0; err == DUCT_OK && i < duct_janitor_count(janitor); i++)
 *         if (duct_janitor_at(janitor, i)->state == DUCT_LEFTOVER_EMPTY)
 *             err = duct_janitor_remove(janitor, i, false);         // judges it again, under its lock
 *     duct_janitor_close(janitor);
 *
 * An owner is whoever holds the lock; a pid or an age decides nothing. Before anything is removed its
 * lock is taken and the file held is compared with the name, so that of two janitors, or of a janitor
 * and an owner that comes back, exactly one acts. Links are not followed, and nothing outside the
 * directory in question is touched. As root, other users' directories are entered with their owner's
 * rights in the file system, and no more.
 *
 * Threads: one janitor belongs to one thread at a time; many may be open. Calls block for as long as the
 * file system takes, and wait for nobody.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct duct_janitor;

enum duct_leftover_kind {
    DUCT_LEFTOVER_SOCKET = 1, /* a listener's socket and its lock */
    DUCT_LEFTOVER_LOCK,       /* a lock whose socket is gone */
    DUCT_LEFTOVER_SEGMENT,    /* one end of a durable pipe: outbox and pools */
    DUCT_LEFTOVER_STRAY,      /* lies in a directory of duct's, and is nothing that duct makes */
    DUCT_LEFTOVER_POSIX,      /* foreign: a POSIX shared memory segment */
    DUCT_LEFTOVER_SEMAPHORE,  /* foreign: a named semaphore */
    DUCT_LEFTOVER_SYSV        /* foreign: a System V segment */
};

enum duct_leftover_state {
    DUCT_LEFTOVER_LIVE = 1, /* somebody has it: never removed */
    DUCT_LEFTOVER_EMPTY,    /* left over; holds nothing undelivered. Foreign: nobody has it */
    DUCT_LEFTOVER_FULL,     /* left over; holds undelivered messages: removed if discarding */
    DUCT_LEFTOVER_DAMAGED,  /* left over; what it holds cannot be read: removed if discarding */
    DUCT_LEFTOVER_REFUSED,  /* not what its name says: never removed */
    DUCT_LEFTOVER_UNKNOWN   /* could not be judged from here, for want of rights: never removed */
};

/* A process that has a foreign segment open or mapped. */
struct duct_holder {
    int32_t pid; /* for display only; in this process's pid namespace */
    uint32_t uid;
    bool open, mapped;
    char command[16];
};

/* Read-only; all of it stays until the janitor is closed. Names have control characters escaped. */
struct duct_leftover {
    enum duct_leftover_kind kind;
    enum duct_leftover_state state;
    const char *name;     /* of the pipe, or of the file */
    const char *path;     /* "" for System V */
    const char *engine;   /* whose it looks like: "duct", "libqb", …; "" if nobody's we know */
    const char *reason;   /* why it is in that state, in words */
    uint32_t uid;         /* its owner */
    uint64_t bytes;       /* of memory or disk that it takes up */
    int64_t age_ns;       /* since it was last written to, by the wall clock; at least 0 */
    uint64_t undelivered; /* messages */
    const struct duct_holder *holders;
    size_t holder_count;
};

struct duct_janitor_options {
    size_t size;           /* sizeof(struct duct_janitor_options) */
    const char *directory; /* look only there; it must be closed to other users. NULL: everywhere */
    bool own;              /* only at what belongs to this process's user */
    bool foreign;          /* at everybody's shared memory instead of duct's leftovers */
};

#define DUCT_JANITOR_OPTIONS_INIT DUCT_SIZED(struct duct_janitor_options)

/*
 * Looks round, and judges what it finds; options may be NULL. What it could not see it counts:
 * duct_janitor_unseen(). The list is sorted by kind, then by path. Errors: DENIED (the directory given
 * is a link, or another's, or open to others), NOTFOUND (it is not there), INVALID, NOMEMORY, LIMIT, OS.
 */
DUCT_API enum duct_err duct_janitor_open(struct duct_janitor **janitor,
                                         const struct duct_janitor_options *options) DUCT_NODISCARD;

/* What was found. index is below count; NULL if not. */
DUCT_API size_t duct_janitor_count(const struct duct_janitor *janitor);
DUCT_API const struct duct_leftover *duct_janitor_at(const struct duct_janitor *janitor,
                                                     size_t index);

/*
 * What could not be looked at, one sentence each, and why. index is below unseen_count; NULL if not.
 */
DUCT_API size_t duct_janitor_unseen_count(const struct duct_janitor *janitor);
DUCT_API const char *duct_janitor_unseen(const struct duct_janitor *janitor, size_t index);

/*
 * Removes it, if it is left over still: it is judged again, under its lock. discard: also if it holds
 * undelivered messages, or cannot be read. OK says that this call removed it; of all that try, one is
 * told so. Errors: INUSE (it has an owner, or another janitor is at it), NOTFOUND (it is gone), INVALID
 * (it holds messages and discard is false, or index is wrong), DENIED (its state is REFUSED or UNKNOWN,
 * or the system does not allow it), OS. The list does not change.
 */
DUCT_API enum duct_err duct_janitor_remove(struct duct_janitor *janitor, size_t index,
                                           bool discard) DUCT_NODISCARD;

/* NULL is allowed. */
DUCT_API void duct_janitor_close(struct duct_janitor *janitor);

/* "socket", "lock", … and "live", "empty", …: static storage. */
DUCT_API const char *duct_leftover_kind_name(enum duct_leftover_kind kind);
DUCT_API const char *duct_leftover_state_name(enum duct_leftover_state state);

#ifdef __cplusplus
}
#endif

#endif
