/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_LEFTOVER_H
#define DI_SHM_LEFTOVER_H

#include <stdarg.h>
#include <sys/stat.h>

#include <duct/janitor.h>

#include "shm/place.h"

/*
 * Inside the janitor (include/duct/janitor.h). leftover.c holds the list and the public calls; each other
 * file knows one kind of thing: how it is found, how it is judged, and how it is removed.
 *
 * Looking takes no lock, since an owner that starts just then would be refused: it asks the kernel who has
 * it. Removing takes it, as janitors do (shm/liveness.h), compares the file it holds
 * with the name, judges once more, and removes the name last that others wait at. Killed between any two
 * of these steps, it leaves what the next run finds, and takes from nobody what is theirs.
 */
#define DI_REASON_MAX 224

struct di_found {
    struct duct_leftover about;
    const struct di_place *place;
    enum duct_err (*remove)(struct di_found *found, bool discard);
    dev_t device; /* of the file measured last */
    ino_t inode;
    bool measured;
    int64_t made;                /* System V: when, by the wall clock, as its id is used again */
    size_t attached;             /* System V: how many times */
    const char *raw;             /* its name in the place, as the kernel knows it */
    struct duct_holder *holders; /* as many as a power of two has room for */
    char reason[DI_REASON_MAX];
    char text[]; /* raw, name and path */
};

struct duct_janitor {
    bool own, foreign;
    struct di_place **places;
    size_t place_count, place_capacity;
    struct di_found **found;
    size_t count, capacity;
    char **unseen;
    size_t unseen_count, unseen_capacity;
};

/* A new entry of the list, about raw in place; file, to be shown in its path, NULL: the same. place NULL: it
 * has no path. Its kind, state and reason are to be set. */
enum duct_err di_found_add(struct duct_janitor *janitor, struct di_found **found,
                           const struct di_place *place, const char *raw,
                           const char *file) DUCT_NODISCARD;

/* Sets state and reason. */
void di_found_judge(struct di_found *found, enum duct_leftover_state state, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds a file of it: owner, size, and age, which is that of the youngest. */
void di_found_measure(struct di_found *found, const struct stat *status);
void di_found_written(struct di_found *found, int64_t seconds); /* at that wall-clock time */

/* One link, of that type, of the place's owner: what duct makes, and nobody else could have. Else judged. */
bool di_found_is_ours(struct di_found *found, const struct stat *status, mode_t type,
                      const char *what);

/* Notes what could not be looked at. Does not fail: without memory for it, it is forgotten. */
void di_janitor_not_seen(struct duct_janitor *janitor, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The places to look at; leftover_places.c. */
enum duct_err di_janitor_place(struct duct_janitor *janitor, const char *path, uint32_t uid,
                               bool shared) DUCT_NODISCARD;
enum duct_err di_leftover_places(struct duct_janitor *janitor) DUCT_NODISCARD;

/* What lies in one; leftover_scan.c. */
enum duct_err di_leftover_scan(struct duct_janitor *janitor,
                               const struct di_place *place) DUCT_NODISCARD;

/* A listener's socket and lock, by the socket's name; leftover_socket.c. */
enum duct_err di_leftover_socket(struct duct_janitor *janitor, const struct di_place *place,
                                 const char *name) DUCT_NODISCARD;

/* Both ends of a durable pipe, by its name; leftover_durable.c. */
enum duct_err di_leftover_durable(struct duct_janitor *janitor, const struct di_place *place,
                                  const char *name) DUCT_NODISCARD;

/* ---- Foreign ---- */

/* System V segments are looked for by their ids, under a device number that no file has. */
#define DI_SYSV_DEVICE ((dev_t)-1)

/* Who has what: fills in the holders of each; leftover_holders.c. */
struct di_holders {
    struct di_found **wanted; /* gets sorted */
    size_t count;
    size_t hidden; /* processes that could not be looked into */
    bool partial;  /* there may be processes that are not even seen */
};

enum duct_err di_holders_find(struct di_holders *holders) DUCT_NODISCARD;

/* Whose a file looks like, by its name below /dev/shm; "". leftover_engine.c */
const char *di_engine_of(const char *name);

/* All of it, judged; leftover_foreign.c. */
enum duct_err di_leftover_foreign(struct duct_janitor *janitor) DUCT_NODISCARD;

/* System V segments, to be judged once their holders are known; leftover_sysv.c. */
enum duct_err di_leftover_sysv(struct duct_janitor *janitor) DUCT_NODISCARD;
void di_leftover_sysv_judge(struct di_found *found);

#endif
