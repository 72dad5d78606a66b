/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_ACCEPTED_H
#define DI_IO_ACCEPTED_H

#include "lib/io/io.h"

/*
 * Connections that were accepted for an ACCEPT and wait to be taken, in the order in which they came. As with what was
 * received (lib/io/received.h), an operation is in the loop's list while there is any, so that none is left behind.
 */

/* fd is the operation's now; where there is no memory to keep it, it is closed and counted. */
void di_accepted(struct di_io *io, struct di_list *list, struct di_io_op *op, int fd);

/* As di_io_accept() gives it; -EAGAIN: none waits. */
int di_accepted_next(struct di_io_op *op);

/* Closes those that wait. */
void di_accepted_drop(struct di_io *io, struct di_io_op *op);

#endif
