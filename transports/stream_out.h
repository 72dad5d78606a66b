/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_OUT_H
#define DI_TRANSPORTS_STREAM_OUT_H

#include "transports/stream.h"

/* Counts a message above the limit: TOOBIG. */
enum duct_err stream_too_big(struct stream *stream, size_t size) DUCT_NODISCARD;

/* What sends a single message, for those that send many. Under the stream's lock; more: others follow at once. */
enum duct_err stream_send_one(struct stream_pipe *sp, struct duct_msg *msg,
                              bool more) DUCT_NODISCARD;
enum duct_err stream_write_one(struct stream_pipe *sp, const void *data, size_t size, uint64_t tag,
                               bool more) DUCT_NODISCARD;

/* What a send returns to core: DI_LEFT if it was taken and waits for the kernel. Under the lock. */
static inline enum duct_err stream_left(const struct stream_pipe *sp, enum duct_err err)
{
    bool waits = sp->stream->queue.bytes > 0 && !sp->stream->held_back;

    return err == DUCT_OK && waits ? (enum duct_err)DI_LEFT : err;
}

/*
 * A message, framed where it lies: its loan's place in the table, which is the stream's from here on, and the bytes
 * that are to leave from DI_WIRE_HEADER before its data. It is counted as sent. Errors as stream_send_one(), where it
 * stays the caller's. size must be within one frame.
 */
enum duct_err stream_take_loan(struct stream_pipe *sp, struct duct_msg *msg, uint32_t *place,
                               size_t *size) DUCT_NODISCARD;

/* Queues it from `done` bytes on, which ends the loan. */
void stream_queue_loan(struct stream_pipe *sp, uint32_t place, size_t done, size_t size);

enum duct_err stream_push_locked(struct stream_pipe *sp) DUCT_NODISCARD;

/* Queues the notes that found no room when they were due. Under the lock. */
void stream_send_owed(struct stream_pipe *sp);

#endif
