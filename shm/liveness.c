/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/liveness.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/system.h"

#define JANITOR_BYTES 1

/*
 * A janitor holds a lock for the time of some twenty system calls; whoever starts just then should not have
 * to be started again. Past this time it is stopped, or is not what it says.
 */
#define JANITOR_NS_MAX 200000000

/* bytes: 0: all of it, however long it becomes. */
static enum duct_err take(int fd, off_t bytes, bool *taken)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = bytes};

    *taken = fcntl(fd, F_OFD_SETLK, &lock) == 0;
    return *taken || errno == EAGAIN || errno == EACCES
               ? DUCT_OK
               : di_fail_os(errno, "taking the lock of a file");
}

enum duct_err di_lock_take(int fd, bool *taken)
{
    enum di_holder holder;
    int64_t since = di_coarse_now();
    enum duct_err err;

    while ((err = take(fd, 0, taken)) == DUCT_OK && !*taken) {
        if ((err = di_lock_ask(fd, &holder)) != DUCT_OK || holder == DI_HELD_BY_OWNER ||
            di_coarse_now() - since > JANITOR_NS_MAX)
            break;
        sched_yield();
    }
    return err;
}

enum duct_err di_lock_outlast_janitor(int fd, bool *gone)
{
    enum di_holder holder;
    int64_t since = di_coarse_now();
    enum duct_err err;

    while ((err = di_lock_ask(fd, &holder)) == DUCT_OK && holder == DI_HELD_BY_JANITOR &&
           di_coarse_now() - since <= JANITOR_NS_MAX)
        sched_yield();
    *gone = err == DUCT_OK && holder != DI_HELD_BY_JANITOR;
    return err;
}

enum duct_err di_lock_take_as_janitor(int fd, bool *taken)
{
    return take(fd, JANITOR_BYTES, taken);
}

enum duct_err di_lock_ask(int fd, enum di_holder *holder)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        return di_fail_os(errno, "looking at the lock of a file");
    *holder = lock.l_type == F_UNLCK        ? DI_HELD_BY_NOBODY
              : lock.l_len == JANITOR_BYTES ? DI_HELD_BY_JANITOR
                                            : DI_HELD_BY_OWNER;
    return DUCT_OK;
}

enum duct_err di_lock_held(int fd, bool *held)
{
    enum di_holder holder = DI_HELD_BY_NOBODY;
    enum duct_err err = di_lock_ask(fd, &holder);

    if (err == DUCT_OK)
        *held = holder != DI_HELD_BY_NOBODY;
    return err;
}

bool di_names_this(int directory, const char *path, int fd)
{
    struct stat named, open;

    return fstatat(directory, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &open) == 0 &&
           named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}
