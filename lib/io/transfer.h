/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_TRANSFER_H
#define DI_IO_TRANSFER_H

#include <stdint.h>

#include "lib/io/io.h"

/*
 * Sockets, and moving bytes at once, by plain system calls that do not wait: what both backends of this kernel
 * share. All give a number of bytes, a descriptor, or a negative errno; EINTR is tried again here, and nowhere else.
 */
int64_t di_transfer_send(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count);
int64_t di_transfer_recv(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count);
int di_transfer_accept(struct di_io *io, int fd);

/* Sockets of the kernel. One that is to be connected does not block until it is: di_transfer_connected() ends
 * that, since io_uring takes a descriptor that does not block at its word. */
int di_transfer_open(struct di_io *io, int family);
int di_transfer_dup(struct di_io *io, int fd);
void di_transfer_shut(struct di_io *io, int fd);
void di_transfer_close(struct di_io *io, int fd);
void di_transfer_connected(int fd);

/*
 * As much of a CONNECT, RECV or CALL as can be done now: its result, or -EAGAIN. connecting: its connect()
 * was made before. A CALL adds to op->sent, and gives -EPROTO where not all of its data went; a CONNECT gives it
 * where the listener's queue is full. Both are to end with the error EAGAIN.
 */
int64_t di_transfer_attempt(struct di_io_op *op, bool connecting);

/* The sending half of a CALL or CALL_ANY: as much as goes at once. False, with op->error, if that is not all. */
bool di_transfer_ask(struct di_io_op *op);

/* What the descriptor of such an operation is watched for. */
uint32_t di_transfer_events(const struct di_io_op *op);

static inline bool di_transfer_kind(enum di_io_kind kind)
{
    return kind >= DI_IO_CONNECT && kind <= DI_IO_CALL;
}

#endif
