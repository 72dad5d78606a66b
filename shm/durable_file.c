/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/durable_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/memory.h"

/* ---- The directory ---- */

static enum duct_err check_directory(const struct di_durable_dir *dir, uint32_t uid)
{
    struct stat status;

    if (fstat(dir->fd, &status) != 0)
        return di_fail_os(errno, "%s", dir->path);
    if (status.st_uid != uid)
        return di_fail(DUCT_EDENIED,
                       "%s, for the files of durable pipes, belongs to uid %u and not to uid %u; "
                       "remove it, or name another with the option dir",
                       dir->path, (unsigned)status.st_uid, (unsigned)uid);
    if ((status.st_mode & 077) != 0)
        return di_fail(DUCT_EDENIED,
                       "%s, for the files of durable pipes, is open to others (mode %03o); chmod "
                       "700 it",
                       dir->path, (unsigned)(status.st_mode & 0777));
    return DUCT_OK;
}

enum duct_err di_durable_dir_open(struct di_durable_dir *dir, const char *given, uint32_t uid,
                                  bool create)
{
    bool standard = given == NULL || given[0] == '\0';
    int length = standard
                     ? snprintf(dir->path, sizeof(dir->path), "/dev/shm/duct-%u", (unsigned)uid)
                     : snprintf(dir->path, sizeof(dir->path), "%s", given);

    dir->fd = -1;
    if (length < 0 || (size_t)length >= sizeof(dir->path) || dir->path[0] != '/')
        return di_fail(DUCT_EINVAL, "dir=%s: expected an absolute path of at most %d bytes", given,
                       DI_DURABLE_DIR_MAX);
    if (standard && create && mkdir(dir->path, 0700) != 0 && errno != EEXIST)
        return di_fail_os(errno, "making the directory %s for durable pipes", dir->path);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir->fd < 0 && (errno == ELOOP || errno == ENOTDIR))
        return di_fail(DUCT_EDENIED,
                       "%s, for the files of durable pipes, is a link or no directory; remove it, "
                       "or name another with the option dir",
                       dir->path);
    if (dir->fd < 0)
        return di_fail_os(errno, "opening the directory %s for durable pipes", dir->path);
    enum duct_err err = check_directory(dir, uid);
    if (err != DUCT_OK)
        di_durable_dir_close(dir);
    return err;
}

void di_durable_dir_close(struct di_durable_dir *dir)
{
    if (dir->fd >= 0)
        close(dir->fd);
    dir->fd = -1;
}

/* ---- Names ---- */

#define POOL_SUFFIX ".pool0"

const char *di_end_name(enum di_end end)
{
    return end == DI_END_LISTEN ? "listen" : "dial";
}

void di_durable_outbox_name(char out[DI_DURABLE_FILE_MAX + 1], const char *name, enum di_end end)
{
    snprintf(out, DI_DURABLE_FILE_MAX + 1, "%.64s.%s", name, di_end_name(end));
}

void di_durable_pool_name(char out[DI_DURABLE_FILE_MAX + 1], const char *name, enum di_end end)
{
    snprintf(out, DI_DURABLE_FILE_MAX + 1, "%.64s.%s" POOL_SUFFIX, name, di_end_name(end));
}

/* Whether text ends in suffix, before its first `length` bytes are over; then how long the rest is. */
static bool ends_in(const char *text, size_t *length, const char *suffix)
{
    size_t size = strlen(suffix);

    if (*length <= size || memcmp(text + *length - size, suffix, size) != 0)
        return false;
    *length -= size;
    return true;
}

bool di_durable_parse(const char *file, char *name, enum di_end *end, bool *pool)
{
    size_t length = strlen(file);

    *pool = ends_in(file, &length, POOL_SUFFIX);
    if (ends_in(file, &length, ".listen"))
        *end = DI_END_LISTEN;
    else if (ends_in(file, &length, ".dial"))
        *end = DI_END_DIAL;
    else
        return false;
    if (length > DI_DURABLE_NAME_MAX || file[0] == '.')
        return false;
    memcpy(name, file, length);
    name[length] = '\0';
    return true;
}

/* ---- Files ---- */

/* What is wrong with the file, or DUCT_OK. */
static enum duct_err check_file(int fd, const struct di_durable_dir *dir, const char *file,
                                uint64_t *size)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return di_fail_os(errno, "looking at %s/%s", dir->path, file);
    if (!S_ISREG(status.st_mode))
        return di_fail(DUCT_ECORRUPT, "%s/%s is not a regular file; remove it", dir->path, file);
    if (status.st_uid != geteuid())
        return di_fail(DUCT_EDENIED, "%s/%s belongs to uid %u and not to uid %u; remove it",
                       dir->path, file, (unsigned)status.st_uid, (unsigned)geteuid());
    if ((status.st_mode & 07777) != 0600)
        return di_fail(DUCT_EDENIED,
                       "%s/%s has mode %04o where 0600 was given to it; who else may have "
                       "written to it? Remove it, or chmod 600 it",
                       dir->path, file, (unsigned)(status.st_mode & 07777));
    if (status.st_nlink > 1)
        return di_fail(DUCT_EDENIED, "%s/%s has %lu names; remove the others, or it", dir->path,
                       file, (unsigned long)status.st_nlink);
    /* 512-byte units, whatever the file system's block size. */
    if ((uint64_t)status.st_blocks * 512 < (uint64_t)status.st_size)
        return di_fail(DUCT_ECORRUPT,
                       "%s/%s is sparse, so that using it could run out of space; it was not made "
                       "so, or was cut and copied; remove it",
                       dir->path, file);
    *size = (uint64_t)status.st_size;
    return DUCT_OK;
}

enum duct_err di_durable_file_open(int *out, uint64_t *size, const struct di_durable_dir *dir,
                                   const char *file, bool writable)
{
    /* O_NONBLOCK: a fifo in the file's place must not make us wait. */
    int fd =
        openat(dir->fd, file,
               (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

    if (fd < 0 && errno == ENOENT)
        return DUCT_ENOTFOUND;
    if (fd < 0 && (errno == ELOOP || errno == EISDIR || errno == ENXIO))
        return di_fail(DUCT_EDENIED, "%s/%s is a link, or no file; remove it", dir->path, file);
    if (fd < 0)
        return di_fail_os(errno, "opening %s/%s", dir->path, file);
    enum duct_err err = check_file(fd, dir, file, size);
    if (err != DUCT_OK) {
        close(fd);
        return err;
    }
    *out = fd;
    return DUCT_OK;
}

static enum duct_err allocate(int fd, const struct di_durable_dir *dir, uint64_t size)
{
    struct statfs system;
    bool memory = fstatfs(fd, &system) == 0 && system.f_type == TMPFS_MAGIC;
    uint64_t available = memory ? di_memory_available() : UINT64_MAX;
    int errnum;

    if (size > available)
        return di_fail(DUCT_ENOSPACE,
                       "a durable segment of %llu bytes in %s: only %llu are available, and taking "
                       "more would get some process killed; give a smaller pool, or more memory",
                       (unsigned long long)size, dir->path, (unsigned long long)available);
    if (fchmod(fd, 0600) != 0)
        return di_fail_os(errno, "setting the mode of a file in %s", dir->path);
    if ((errnum = posix_fallocate(fd, 0, (off_t)size)) != 0)
        return di_fail_os(errnum, "allocating %llu bytes in %s", (unsigned long long)size,
                          dir->path);
    return DUCT_OK;
}

enum duct_err di_durable_file_make(int *out, const struct di_durable_dir *dir, uint64_t size)
{
    int fd = openat(dir->fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR))
        return di_fail(DUCT_ENOTSUP,
                       "the file system of %s cannot make files without a name (O_TMPFILE); name "
                       "another directory with the option dir",
                       dir->path);
    if (fd < 0)
        return di_fail_os(errno, "making a file in %s", dir->path);
    enum duct_err err = allocate(fd, dir, size);
    if (err != DUCT_OK) {
        close(fd);
        return err;
    }
    *out = fd;
    return DUCT_OK;
}

enum duct_err di_durable_file_link(const struct di_durable_dir *dir, int fd, const char *file,
                                   bool *there)
{
    char self[32];

    *there = false;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, self, dir->fd, file, AT_SYMLINK_FOLLOW) == 0)
        return DUCT_OK;
    *there = errno == EEXIST;
    return *there ? DUCT_OK : di_fail_os(errno, "naming %s/%s", dir->path, file);
}

enum duct_err di_durable_file_read(int fd, void *to, size_t size, uint64_t offset)
{
    unsigned char *at = to;

    while (size > 0) {
        ssize_t got = pread(fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return di_fail_os(errno, "reading a durable segment");
        if (got == 0)
            return di_fail(DUCT_ECORRUPT, "a durable segment is shorter than it was");
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return DUCT_OK;
}
