/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_EPOLL_H
#define DI_IO_EPOLL_H

#include <duct/error.h>

#include "lib/io/due.h"
#include "lib/io/io.h"
#include "lib/io/wake.h"

/*
 * For a backend that hands over to epoll: a loop that is woken by the caller's wake, which must
 * outlive it, and that is exported from the start; *fd is its descriptor.
 */
enum duct_err di_epoll_open_exported(struct di_io **io, struct di_wake *wake,
                                     int *fd) DUCT_NODISCARD;

/* The loop goes on with the results and timers there are. */
void di_epoll_inherit(struct di_io *io, struct di_due *due);

#endif
