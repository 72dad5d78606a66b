/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_PLACE_H
#define DI_SHM_PLACE_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <duct/error.h>

/*
 * A directory that the janitor looks into, open and checked: its owner is whom we expect, nobody else may
 * write to it, and it is no link. Everything in it is reached by name relative to the descriptor, so that
 * nothing that happens to the path afterwards leads anywhere else.
 */
#define DI_PLACE_PATH_MAX 512
#define DI_PLACE_ANYBODY  UINT32_MAX

struct di_place {
    int fd;
    uint32_t uid;
    dev_t device;
    ino_t inode;
    char path[DI_PLACE_PATH_MAX];
};

/* uid: whose it must be; DI_PLACE_ANYBODY: our own, or as root anybody's. shared: others may write to it,
 * as to /dev/shm. Errors: NOTFOUND, DENIED, INVALID (too long), OS. */
enum duct_err di_place_open(struct di_place *place, const char *path, uint32_t uid,
                            bool shared) DUCT_NODISCARD;
void di_place_close(struct di_place *place);

/*
 * As root in another user's files, that user may change what lies there at any moment. So this thread acts
 * with that user's rights in the file system, and can do no more to it than the user could. Both return the
 * identity to be restored by leave; DENIED: we may not become that user.
 */
enum duct_err di_place_enter(uint32_t uid, uint32_t *before) DUCT_NODISCARD;
void di_place_leave(uint32_t before);

/*
 * The names in it, sorted, without . and .., in one block to be freed; *count of them. entries[i].type is a
 * DT_ constant, looked up where the file system does not say. LIMIT: more than DI_PLACE_ENTRIES_MAX.
 */
#define DI_PLACE_ENTRIES_MAX (1u << 20)

struct di_entry {
    unsigned char type;
    char name[256];
};

/* readdir(3), whose end and failure look alike: after NULL errno is 0 at the end. */
struct dirent *di_directory_next(DIR *stream);

enum duct_err di_place_list(const struct di_place *place, struct di_entry **entries,
                            size_t *count) DUCT_NODISCARD;

/* What lies there under that name, no link being followed. False, with errno: nothing, or it cannot be told.
 * What is just being unlinked may still be found, with no name left: that is nothing, too. */
bool di_place_stat(const struct di_place *place, const char *name, struct stat *status);

/* The entry of that name in a sorted list, or NULL. */
const struct di_entry *di_entry_find(const struct di_entry *entries, size_t count,
                                     const char *name);

#endif
