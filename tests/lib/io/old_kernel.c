/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked into a test with -Wl,--wrap=io_uring_register_buf_ring, this makes the kernel one that does not know queues
 * of buffers: the loop must do without them.
 */
#include <errno.h>
#include <liburing.h>

int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags);

int __wrap_io_uring_register_buf_ring(struct io_uring *ring, struct io_uring_buf_reg *reg,
                                      unsigned flags)
{
    (void)ring;
    (void)reg;
    (void)flags;
    return -EINVAL;
}
