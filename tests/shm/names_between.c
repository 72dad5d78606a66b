/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "shm/names.h"
#include "tests/race/lane.h"

/*
 * What others do between two steps of ours, hit every time by a system call that lets them act first.
 *
 * open(): a lock file is unlinked by its last owner just between a successor's opening it and locking it: the
 * successor then holds a lock on a file without a name, and a third one would make another.
 * bind(): a program that keeps no lock binds the path just after it was seen to be free. Its socket stays.
 */
static struct di_bound owner;
static bool stranger_binds;
static int stranger = -1;

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    int fd = __real_open(path, flags, flags & O_CREAT ? va_arg(args, mode_t) : 0);
    va_end(args);
    size_t length = strlen(path);
    if (owner.lock >= 0 && length > 5 && strcmp(path + length - 5, ".lock") == 0)
        di_names_unbind(&owner);
    return fd;
}

int __real_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size);
int __wrap_bind(int fd, const struct sockaddr *address, socklen_t size)
{
    if (stranger_binds) {
        stranger = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        MUST(__real_bind(stranger, address, size) == 0);
    }
    return __real_bind(fd, address, size);
}

static void strangers_socket_stays(const char *path)
{
    struct di_bound bound;

    stranger_binds = true;
    MUST(di_names_bind(&bound, path, false, 1) == DUCT_EINUSE);
    stranger_binds = false;
    MUST(unlink(path) == 0);
    close(stranger);
}

int main(void)
{
    char folder[] = "/tmp/duct-between-XXXXXX", path[64], lock_path[80];
    struct di_bound successor, third;
    struct stat held, named;

    owner.lock = owner.socket = -1;
    MUST(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/name", folder);
    snprintf(lock_path, sizeof(lock_path), "%s.lock", path);
    struct di_bound first;
    MUST(di_names_bind(&first, path, false, 1) == DUCT_OK);
    owner = first;
    MUST(di_names_bind(&successor, path, false, 1) == DUCT_OK);
    MUST(owner.lock == -1);
    MUST(fstat(successor.lock, &held) == 0 && stat(lock_path, &named) == 0);
    MUST(held.st_ino == named.st_ino && held.st_nlink == 1);
    MUST(di_names_bind(&third, path, false, 1) == DUCT_EINUSE);
    di_names_unbind(&successor);
    strangers_socket_stays(path);
    return rmdir(folder);
}
