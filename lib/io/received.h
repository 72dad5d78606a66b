/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_RECEIVED_H
#define DI_IO_RECEIVED_H

#include "lib/io/io.h"

/*
 * What was received for an operation and waits to be taken: buffers in the order in which they came, and behind them
 * the end. An operation is in the loop's list as long as there is any, or the kernel receives for it, so that a loop
 * that is closed finds what to give up.
 */

/* What a receive gave: so many bytes in buffer, whose reference this takes; 0: the end; a negative errno. */
void di_received(struct di_list *list, struct di_io_op *op, int64_t result,
                 struct di_buffer *buffer);

/* Whether something waits. */
static inline bool di_received_any(const struct di_io_op *op)
{
    return op->received_count > 0 || op->ended;
}

/* As di_io_take() gives it; -EAGAIN: nothing waits. */
int64_t di_received_next(struct di_io_op *op, struct di_buffer **buffer);

/* Gives up what waits, connections too. */
void di_received_drop(struct di_io *io, struct di_io_op *op);
void di_received_drop_all(struct di_io *io, struct di_list *list);

/* Receives what is there into a buffer of the pool, which is made if need be: as di_io_take() gives it. */
int64_t di_receive_now(struct di_io *io, struct di_buffers **pool, int fd,
                       struct di_buffer **buffer);

#endif
