/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_IO_ENTERS_H
#define TESTS_LIB_IO_ENTERS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <time.h>

/*
 * Every entering of the kernel by a loop passes through here: for programs of one source whose linker wraps
 * io_uring_enter2, epoll_wait and epoll_pwait2. The program defines both functions, called before and after each; sleeps:
 * the call could.
 */
static void entering(bool sleeps);
static void entered(bool sleeps);

int __real_io_uring_enter2(unsigned fd, unsigned submit, unsigned least, unsigned flags, void *arg,
                           size_t size);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned least, unsigned flags, void *arg,
                           size_t size);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned least, unsigned flags, void *arg,
                           size_t size)
{
    entering(least > 0);
    int result = __real_io_uring_enter2(fd, submit, least, flags, arg, size);
    entered(least > 0);
    return result;
}

int __real_epoll_wait(int set, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout);
int __wrap_epoll_wait(int set, struct epoll_event *events, int most, int timeout)
{
    entering(timeout != 0);
    int result = __real_epoll_wait(set, events, most, timeout);
    entered(timeout != 0);
    return result;
}

int __real_epoll_pwait2(int set, struct epoll_event *events, int most,
                        const struct timespec *timeout, const sigset_t *mask);
int __wrap_epoll_pwait2(int set, struct epoll_event *events, int most,
                        const struct timespec *timeout, const sigset_t *mask);
int __wrap_epoll_pwait2(int set, struct epoll_event *events, int most,
                        const struct timespec *timeout, const sigset_t *mask)
{
    entering(true);
    int result = __real_epoll_pwait2(set, events, most, timeout, mask);
    entered(true);
    return result;
}

#endif
