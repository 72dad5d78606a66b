/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "lib/base/error.h"

static enum duct_err check(const struct di_place *place, const struct stat *status, uint32_t uid,
                           bool shared)
{
    bool expected = uid == DI_PLACE_ANYBODY ? status->st_uid == geteuid() || geteuid() == 0
                                            : status->st_uid == uid;

    if (!expected)
        return di_fail(DUCT_EDENIED, "%s belongs to uid %u, and not to uid %u; left alone",
                       place->path, (unsigned)status->st_uid,
                       uid == DI_PLACE_ANYBODY ? (unsigned)geteuid() : (unsigned)uid);
    if (!shared && (status->st_mode & 022) != 0)
        return di_fail(
            DUCT_EDENIED,
            "%s is open to the writing of others (mode %03o), so that nobody can say whose "
            "its files are; chmod 700 it",
            place->path, (unsigned)(status->st_mode & 0777));
    return DUCT_OK;
}

enum duct_err di_place_open(struct di_place *place, const char *path, uint32_t uid, bool shared)
{
    struct stat status;
    int length = snprintf(place->path, sizeof(place->path), "%s", path);
    enum duct_err err;

    if (length < 0 || (size_t)length >= sizeof(place->path))
        return di_fail(DUCT_EINVAL, "the path of a directory has at most %d bytes, this one %d",
                       DI_PLACE_PATH_MAX - 1, length);
    place->fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place->fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return di_fail(DUCT_EDENIED, "%s is not a directory, or a link to one; left alone", path);
    if (place->fd < 0 && errno == ENOENT)
        return di_fail(DUCT_ENOTFOUND, "%s does not exist", path);
    if (place->fd < 0 || fstat(place->fd, &status) != 0) {
        err = di_fail_os(errno, "looking into %s", path);
    } else {
        err = check(place, &status, uid, shared);
        place->uid = status.st_uid;
        place->device = status.st_dev;
        place->inode = status.st_ino;
    }
    if (err != DUCT_OK)
        di_place_close(place);
    return err;
}

void di_place_close(struct di_place *place)
{
    if (place->fd >= 0)
        close(place->fd);
    place->fd = -1;
}

enum duct_err di_place_enter(uint32_t uid, uint32_t *before)
{
    /* Of this thread only, which is why it is not seteuid(). It reports no failure: a second call, which
     * changes nothing, tells what is in force. */
    *before = (uint32_t)setfsuid(uid);
    if ((uint32_t)setfsuid((uid_t)-1) == uid)
        return DUCT_OK;
    setfsuid(*before);
    return di_fail(DUCT_EDENIED, "no right to act for uid %u; run it as that user, or as root",
                   (unsigned)uid);
}

void di_place_leave(uint32_t before)
{
    setfsuid(before);
}

static int by_name(const void *left, const void *right)
{
    return strcmp(((const struct di_entry *)left)->name, ((const struct di_entry *)right)->name);
}

const struct di_entry *di_entry_find(const struct di_entry *entries, size_t count, const char *name)
{
    struct di_entry key;

    if (count == 0 || strlen(name) >= sizeof(key.name))
        return NULL;
    snprintf(key.name, sizeof(key.name), "%s", name);
    return bsearch(&key, entries, count, sizeof(*entries), by_name);
}

bool di_place_stat(const struct di_place *place, const char *name, struct stat *status)
{
    if (fstatat(place->fd, name, status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    errno = ENOENT;
    return status->st_nlink > 0;
}

static unsigned char type_of(int fd, const char *name)
{
    struct stat status;

    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return DT_UNKNOWN;
    return (unsigned char)IFTODT(status.st_mode);
}

static enum duct_err append(struct di_entry **entries, size_t *capacity, size_t count,
                            const struct dirent *entry)
{
    if (count == *capacity) {
        size_t wanted = *capacity == 0 ? 64 : 2 * *capacity;
        struct di_entry *larger = realloc(*entries, wanted * sizeof(*larger));
        if (larger == NULL)
            return di_fail_os(ENOMEM, "listing a directory of %zu files", count);
        *entries = larger;
        *capacity = wanted;
    }
    (*entries)[count].type = entry->d_type;
    snprintf((*entries)[count].name, sizeof((*entries)[count].name), "%s", entry->d_name);
    return DUCT_OK;
}

struct dirent *di_directory_next(DIR *stream)
{
    errno = 0;
    struct dirent *entry = readdir(stream);
    /* What was removed as a whole has nothing more in it. */
    if (entry == NULL && errno == ENOENT)
        errno = 0;
    return entry;
}

enum duct_err di_place_list(const struct di_place *place, struct di_entry **entries, size_t *count)
{
    size_t capacity = 0;
    struct dirent *entry;
    enum duct_err err = DUCT_OK;
    /* A description of its own, hence a position of its own. */
    int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;

    *entries = NULL;
    *count = 0;
    if (stream == NULL) {
        err = di_fail_os(errno, "reading the directory %s", place->path);
        if (fd >= 0)
            close(fd);
        return err;
    }
    while (err == DUCT_OK && (entry = di_directory_next(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (entry->d_type == DT_UNKNOWN)
            entry->d_type = type_of(place->fd, entry->d_name);
        if (*count == DI_PLACE_ENTRIES_MAX)
            err =
                di_fail(DUCT_ELIMIT, "%s holds more than %u files; look with find(1) what they are",
                        place->path, DI_PLACE_ENTRIES_MAX);
        else if ((err = append(entries, &capacity, *count, entry)) == DUCT_OK)
            ++*count;
    }
    if (err == DUCT_OK && errno != 0)
        err = di_fail_os(errno, "reading the directory %s", place->path);
    closedir(stream);
    if (err != DUCT_OK) {
        free(*entries);
        *entries = NULL;
        *count = 0;
    } else if (*count > 0) {
        qsort(*entries, *count, sizeof(**entries), by_name);
    }
    return err;
}
