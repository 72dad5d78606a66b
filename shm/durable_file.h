/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DURABLE_FILE_H
#define DI_SHM_DURABLE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/durable_layout.h"

/*
 * Where the files of durable pipes are, how they are named, opened and made. What is in them is not
 * looked at here.
 *
 * The directory is /dev/shm/duct-UID, made when first needed, or the one given, which must be there. It
 * must be a directory of this user that others may not enter, and no link. From then on everything goes
 * by its descriptor. A file is accepted if it is regular, no link, of this user and mode 0600.
 */
#define DI_DURABLE_DIR_MAX  400
#define DI_DURABLE_FILE_MAX (DI_DURABLE_NAME_MAX + 24)

struct di_durable_dir {
    int fd;
    char path[DI_DURABLE_DIR_MAX + 1];
};

/* given: NULL or "" for the default, of the user uid. create: makes the default one. Errors: DENIED,
 * NOTFOUND, INVALID, OS. */
enum duct_err di_durable_dir_open(struct di_durable_dir *dir, const char *given, uint32_t uid,
                                  bool create) DUCT_NODISCARD;
void di_durable_dir_close(struct di_durable_dir *dir);

/* The name of an end's outbox. */
void di_durable_outbox_name(char out[DI_DURABLE_FILE_MAX + 1], const char *name, enum di_end end);
/* And of its pool. */
void di_durable_pool_name(char out[DI_DURABLE_FILE_MAX + 1], const char *name, enum di_end end);

/* The other way: whether a file is called as one of ours, and then of which pipe and end. name has
 * DI_DURABLE_NAME_MAX + 1 bytes. */
bool di_durable_parse(const char *file, char *name, enum di_end *end, bool *pool);

/* "listen", "dial". */
const char *di_end_name(enum di_end end);
static inline enum di_end di_end_other(enum di_end end)
{
    return end == DI_END_LISTEN ? DI_END_DIAL : DI_END_LISTEN;
}

/* Opens a file there is; *size is what it had when it was checked. Errors: NOTFOUND (without a
 * sentence), DENIED, CORRUPT (no regular file, or sparse), OS. */
enum duct_err di_durable_file_open(int *fd, uint64_t *size, const struct di_durable_dir *dir,
                                   const char *file, bool writable) DUCT_NODISCARD;

/* A file without a name, of that size, every page of it allocated. Errors: NOSPACE, NOTSUP, LIMIT, OS. */
enum duct_err di_durable_file_make(int *fd, const struct di_durable_dir *dir,
                                   uint64_t size) DUCT_NODISCARD;

/* Gives it a name. *there: another file has it already; nothing was done. */
enum duct_err di_durable_file_link(const struct di_durable_dir *dir, int fd, const char *file,
                                   bool *there) DUCT_NODISCARD;

/* Reads size bytes from offset into a private copy. CORRUPT if there are fewer. */
enum duct_err di_durable_file_read(int fd, void *to, size_t size, uint64_t offset) DUCT_NODISCARD;

#endif
