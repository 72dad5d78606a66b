/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

bool di_futex_available(void)
{
    enum { UNKNOWN, YES, NO };
    static _Atomic int cached;
    /* relaxed: the number alone, and every thread finds out the same */
    int known = atomic_load_explicit(&cached, memory_order_relaxed);
    if (known == UNKNOWN) {
        /* No words is EINVAL to a kernel that has the call, ENOSYS or EPERM where it has not. */
        int saved = errno;
        known = syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0) < 0 && errno == EINVAL ? YES : NO;
        errno = saved;
        atomic_store_explicit(&cached, known, memory_order_relaxed);
    }
    return known == YES;
}

int di_futex_sleep(const _Atomic uint32_t *word, uint32_t expected, const unsigned *tail,
                   unsigned seen, int64_t timeout_ns)
{
    struct futex_waitv both[2] = {
        {.val = expected, .uaddr = (uintptr_t)word, .flags = FUTEX_32},
        {.val = seen, .uaddr = (uintptr_t)tail, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG},
    };
    struct timespec until;
    int saved = errno;
    int result = 0;

    if (timeout_ns >= 0) {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec +=
            timeout_ns / 1000000000 + (until.tv_nsec + timeout_ns % 1000000000) / 1000000000;
        until.tv_nsec = (until.tv_nsec + timeout_ns % 1000000000) % 1000000000;
    }
    if (syscall(SYS_futex_waitv, both, 2, 0, timeout_ns < 0 ? NULL : &until, CLOCK_MONOTONIC) < 0 &&
        errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT)
        result = -errno;
    errno = saved;
    return result;
}
