/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/inject_errors.h"

#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>

/* What calls can give, by their manual pages and the kernel's sources. A call that is not listed cannot
 * fail, or not without leaving things as they are not: munmap, exit. brk tells its failure by the old break, which a
 * negative number is not. EAGAIN is listed where it means a limit;
 * where it means that a queue is empty or full, it is no fault, and a lie if there is something in it. */
#define ERRORS(...)    \
    {                  \
        __VA_ARGS__, 0 \
    }

static const struct inject_call calls[] = {
    {SYS_openat, "openat", ERRORS(EMFILE, ENFILE, ENOENT, EACCES, ENOMEM, EROFS)},
    {SYS_newfstatat, "fstatat", ERRORS(ENOMEM, EACCES)},
    {SYS_mkdirat, "mkdirat", ERRORS(ENOSPC, EACCES, EROFS)},
    {SYS_unlinkat, "unlinkat", ERRORS(EACCES, EROFS, ENOENT)},
    {SYS_fchmodat, "fchmodat", ERRORS(EPERM, EROFS)},
    {SYS_fchmod, "fchmod", ERRORS(EPERM)},
    {SYS_fcntl, "fcntl", ERRORS(EAGAIN, ENOLCK, EINTR, EPERM, EMFILE)},
    {SYS_fstat, "fstat", ERRORS(ENOMEM)},
    {SYS_socket, "socket", ERRORS(EMFILE, ENFILE, ENOMEM, EACCES)},
    {SYS_bind, "bind", ERRORS(EADDRINUSE, EACCES, ENOMEM, ENOSPC)},
    {SYS_listen, "listen", ERRORS(EADDRINUSE)},
    {SYS_connect, "connect", ERRORS(ECONNREFUSED, ENOENT, EACCES, EAGAIN, EPROTOTYPE)},
    {SYS_accept4, "accept4", ERRORS(EMFILE, ENFILE, ENOMEM, ECONNABORTED, EINTR, EPERM)},
    {SYS_setsockopt, "setsockopt", ERRORS(ENOPROTOOPT, ENOMEM)},
    {SYS_getsockopt, "getsockopt", ERRORS(ENOPROTOOPT)},
    {SYS_sendmsg, "sendmsg", ERRORS(EAGAIN, EINTR, ENOBUFS, EPIPE, ETOOMANYREFS, ENOMEM)},
    {SYS_sendto, "sendto", ERRORS(ENOBUFS, ENOMEM)},
    {SYS_recvmsg, "recvmsg", ERRORS(EINTR, ECONNRESET, ENOMEM)},
    {SYS_shutdown, "shutdown", ERRORS(ENOTCONN)},
    {SYS_memfd_create, "memfd_create", ERRORS(EMFILE, ENFILE, ENOMEM, EINVAL)},
    {SYS_ftruncate, "ftruncate", ERRORS(EINTR, EPERM)},
    {SYS_fallocate, "fallocate", ERRORS(ENOSPC, ENOMEM, EINTR)},
    {SYS_mmap, "mmap", ERRORS(ENOMEM, EAGAIN)},
    {SYS_madvise, "madvise", ERRORS(EINVAL, ENOMEM)},
    {SYS_io_uring_setup, "io_uring_setup", ERRORS(ENOSYS, EPERM, ENOMEM, EMFILE)},
    {SYS_io_uring_register, "io_uring_register", ERRORS(EINVAL, ENOMEM)},
    {SYS_io_uring_enter, "io_uring_enter", ERRORS(EINTR, EAGAIN, EBUSY)},
    {SYS_epoll_create1, "epoll_create1", ERRORS(EMFILE, ENFILE, ENOMEM)},
    {SYS_epoll_ctl, "epoll_ctl", ERRORS(ENOMEM, ENOSPC)},
    {SYS_epoll_pwait, "epoll_pwait", ERRORS(EINTR)},
    {SYS_epoll_pwait2, "epoll_pwait2", ERRORS(EINTR, ENOSYS)},
    {SYS_eventfd2, "eventfd2", ERRORS(EMFILE, ENFILE, ENOMEM)},
    {SYS_timerfd_create, "timerfd_create", ERRORS(EMFILE, ENFILE, ENOMEM)},
    {SYS_pidfd_open, "pidfd_open", ERRORS(EMFILE, ENFILE, ENOMEM)},
    {SYS_futex, "futex", ERRORS(EINTR, EAGAIN)},
    {SYS_membarrier, "membarrier", ERRORS(EINVAL, ENOSYS, EPERM)},
    {SYS_getrandom, "getrandom", ERRORS(EINTR, ENOSYS)},
    {SYS_read, "read", ERRORS(EINTR)},
    {SYS_pread64, "pread", ERRORS(EINTR, EIO)},
    {SYS_linkat, "linkat", ERRORS(ENOSPC, EACCES, EMLINK, ENOENT)},
    {SYS_renameat, "renameat", ERRORS(EACCES, EROFS, ENOSPC)},
    {SYS_getdents64, "getdents64", ERRORS(EINVAL, EIO)},
    {SYS_inotify_init1, "inotify_init1", ERRORS(EMFILE, ENFILE, ENOMEM)},
    {SYS_inotify_add_watch, "inotify_add_watch", ERRORS(ENOSPC, ENOMEM, ENOENT)},
    {SYS_utimensat, "utimensat", ERRORS(EACCES, EROFS)},
    {SYS_preadv2, "preadv2", ERRORS(EAGAIN, EOPNOTSUPP)},
#ifdef SYS_open
    {SYS_open, "open", ERRORS(EMFILE, ENFILE, ENOENT, EACCES, ENOMEM)},
    {SYS_mkdir, "mkdir", ERRORS(ENOSPC, EACCES, EROFS)},
    {SYS_unlink, "unlink", ERRORS(EACCES, EROFS, ENOENT)},
    {SYS_chmod, "chmod", ERRORS(EPERM, EROFS)},
    {SYS_poll, "poll", ERRORS(EINTR, ENOMEM)},
    {SYS_epoll_wait, "epoll_wait", ERRORS(EINTR)},
#endif
};

const struct inject_call *inject_call(long number)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        if (calls[i].number == number)
            return &calls[i];
    }
    return NULL;
}
