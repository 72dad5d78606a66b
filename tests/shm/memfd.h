/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SHM_MEMFD_H
#define TESTS_SHM_MEMFD_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

/* What a peer might pass off as its segment. */
static inline int memfd(off_t size, bool allocate, int seals)
{
    int fd = memfd_create("test", MFD_ALLOW_SEALING | MFD_CLOEXEC);

    cr_assert(fd >= 0 && ftruncate(fd, size) == 0);
    if (allocate && size > 0)
        cr_assert_eq(posix_fallocate(fd, 0, size), 0);
    if (seals != 0)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

#endif
