/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/liveness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"

enum duct_err di_lock_take(int fd, bool *taken)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
        *taken = true;
        return DUCT_OK;
    }
    if (errno != EAGAIN && errno != EACCES)
        return di_fail_os(errno, "taking the lock of a file");
    *taken = false;
    return DUCT_OK;
}

enum duct_err di_lock_held(int fd, bool *held)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_GETLK, &lock) != 0)
        return di_fail_os(errno, "looking at the lock of a file");
    *held = lock.l_type != F_UNLCK;
    return DUCT_OK;
}

bool di_names_this(int directory, const char *path, int fd)
{
    struct stat named, open;

    return fstatat(directory, path, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &open) == 0 &&
           named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}
