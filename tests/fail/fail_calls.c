/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fail/fail_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* What each can fail with, as far as somebody looks at it, up to a 0. */
static const int memory[] = {ENOMEM, 0};
static const int opening[] = {ENOENT, EACCES, EPERM, EMFILE, ENFILE, ENOMEM, EIO, ELOOP, ESRCH, 0};
static const int looking[] = {ENOENT, EACCES, EPERM, EIO, 0};
static const int reading[] = {EACCES, EPERM, EIO, ESRCH, 0};
static const int locking[] = {EAGAIN, EACCES, EINVAL, EIO, 0};
static const int removing[] = {ENOENT, EACCES, EIO, 0};
static const int attaching[] = {EINVAL, EIDRM, EACCES, 0};
static const int connecting[] = {EACCES, EAGAIN, ECONNREFUSED, 0};

/* A call that returns `bad` when it fails, and the library's otherwise. */
#define FAILS(type, name, parameters, arguments, errors, bad)             \
    type __real_##name parameters;                                        \
    type __wrap_##name parameters;                                        \
    type __wrap_##name parameters                                         \
    {                                                                     \
        return fail_now(#name, errors) ? (bad) : __real_##name arguments; \
    }

/* One that returns a block of memory, which is counted. */
#define TAKES(name, parameters, arguments)                                      \
    void *__real_##name parameters;                                             \
    void *__wrap_##name parameters;                                             \
    void *__wrap_##name parameters                                              \
    {                                                                           \
        void *block = fail_now(#name, memory) ? NULL : __real_##name arguments; \
                                                                                \
        fail_count_block(block != NULL);                                        \
        return block;                                                           \
    }

TAKES(malloc, (size_t size), (size))
TAKES(calloc, (size_t count, size_t size), (count, size))
TAKES(aligned_alloc, (size_t alignment, size_t size), (alignment, size))

void *__real_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_realloc(void *block, size_t size)
{
    void *moved = fail_now("realloc", memory) ? NULL : __real_realloc(block, size);

    fail_count_block(block == NULL && moved != NULL);
    return moved;
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
    char *copy = fail_now("strdup", memory) ? NULL : __real_strdup(text);

    fail_count_block(copy != NULL);
    return copy;
}

void __real_free(void *block);
void __wrap_free(void *block);
void __wrap_free(void *block)
{
    fail_count_block(-(block != NULL));
    __real_free(block);
}

/* Takes a block of its own, which its caller frees. An optimised build has getline() as the other. */
#define TAKES_A_LINE(name, parameters, arguments) \
    ssize_t __real_##name parameters;             \
    ssize_t __wrap_##name parameters;             \
    ssize_t __wrap_##name parameters              \
    {                                             \
        bool had = *line != NULL;                 \
        ssize_t got = __real_##name arguments;    \
                                                  \
        fail_count_block(!had && *line != NULL);  \
        return got;                               \
    }

TAKES_A_LINE(getline, (char **line, size_t *room, FILE *file), (line, room, file))
TAKES_A_LINE(__getdelim, (char **line, size_t *room, int end, FILE *file), (line, room, end, file))

/* ---- Files ---- */

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fail_now("open", opening) ? -1 : __real_open(path, flags, mode);
}

int __real_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...);
int __wrap_openat(int directory, const char *path, int flags, ...)
{
    va_list args;

    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    return fail_now("openat", opening) ? -1 : __real_openat(directory, path, flags, mode);
}

int __real_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...);
int __wrap_fcntl(int fd, int command, ...)
{
    va_list args;

    va_start(args, command);
    void *argument = va_arg(args, void *); /* an int, too, is passed in a register */
    va_end(args);
    return fail_now("fcntl", locking) ? -1 : __real_fcntl(fd, command, argument);
}

/* As of the kernel's include/linux/proc_ns.h: where processes are that are in no container. */
#define OUTERMOST 0xEFFFFFFCu

bool fail_outermost;

int __real_stat(const char *path, struct stat *status);
int __wrap_stat(const char *path, struct stat *status);
int __wrap_stat(const char *path, struct stat *status)
{
    if (fail_now("stat", looking) || __real_stat(path, status) != 0)
        return -1;
    if (fail_outermost && strcmp(path, "/proc/self/ns/pid") == 0)
        status->st_ino = OUTERMOST;
    return 0;
}

FAILS(DIR *, opendir, (const char *path), (path), opening, NULL)
FAILS(DIR *, fdopendir, (int fd), (fd), memory, NULL)
FAILS(struct dirent *, readdir, (DIR * stream), (stream), reading, NULL)
FAILS(FILE *, fopen, (const char *path, const char *mode), (path, mode), opening, NULL)
FAILS(FILE *, fdopen, (int fd, const char *mode), (fd, mode), memory, NULL)
FAILS(int, fstat, (int fd, struct stat *status), (fd, status), looking, -1)
FAILS(int, fstatat, (int directory, const char *path, struct stat *status, int flags),
      (directory, path, status, flags), looking, -1)
FAILS(int, statx, (int directory, const char *path, int flags, unsigned mask, struct statx *status),
      (directory, path, flags, mask, status), looking, -1)
FAILS(ssize_t, readlinkat, (int directory, const char *path, char *to, size_t size),
      (directory, path, to, size), looking, -1)
FAILS(ssize_t, read, (int fd, void *to, size_t size), (fd, to, size), reading, -1)
FAILS(ssize_t, pread, (int fd, void *to, size_t size, off_t at), (fd, to, size, at), reading, -1)
FAILS(int, unlinkat, (int directory, const char *path, int flags), (directory, path, flags),
      removing, -1)
FAILS(int, renameat, (int from, const char *path, int to, const char *name), (from, path, to, name),
      removing, -1)
FAILS(int, shmctl, (int id, int command, struct shmid_ds *status), (id, command, status), attaching,
      -1)
FAILS(int, socket, (int domain, int type, int protocol), (domain, type, protocol), opening, -1)
FAILS(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
      connecting, -1)
