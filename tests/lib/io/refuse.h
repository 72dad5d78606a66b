/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_LIB_IO_REFUSE_H
#define TESTS_LIB_IO_REFUSE_H

#include <stddef.h>

/* A kernel that takes nothing: for programs of one source whose linker wraps io_uring_enter2. */
static int refusal; /* a negative errno, or 0 */

int __real_io_uring_enter2(unsigned fd, unsigned submit, unsigned least, unsigned flags, void *arg,
                           size_t size);
int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned least, unsigned flags, void *arg,
                           size_t size);

int __wrap_io_uring_enter2(unsigned fd, unsigned submit, unsigned least, unsigned flags, void *arg,
                           size_t size)
{
    return refusal != 0 ? refusal : __real_io_uring_enter2(fd, submit, least, flags, arg, size);
}

#endif
