/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "transports/stream_loan.h"
#include "transports/stream_out.h"

/*
 * A question and its answer (duct_call): one operation of the loop, which sends the one and receives the other. On
 * io_uring that is one system call, where a send and a receive that has to wait are two.
 *
 * The message is the stream's as soon as the operation is submitted, and stays where it lies until that completes:
 * its loan is taken, so that nobody can send, discard or get it meanwhile.
 */

/* Only the plain case: nothing waits to be sent or taken, and the answer may well be slept for. */
static bool fits(struct stream_pipe *sp, const struct duct_msg *msg)
{
    struct stream *stream = sp->stream;
    struct stream_in *in = sp->in;

    if (stream->split || sp->pipe.wait == DUCT_WAIT_SPIN || sp->pipe.wait == DUCT_WAIT_YIELD ||
        sp->pipe.spin_ns != 0 || sp->pipe.context->io->spin_ns != 0)
        return false;
    if (stream->queue.bytes > 0 || (msg->flags & DUCT_MSG_MORE) || msg->size > stream->frame_max)
        return false;
    return !sp->ops[STREAM_OP_IN].op.in_flight && !in->finished && !stream_parse(sp) &&
           sp->pipe.end == DUCT_OK && stream_ended(stream) == DUCT_OK;
}

enum duct_err stream_pipe_call(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct stream_pipe *sp = stream_of(pipe);
    struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;
    uint32_t place, count = 0;
    size_t size;

    if (!fits(sp, msg))
        return DUCT_EAGAIN;
    bool take = stream_may_take(sp);
    if (!take && (stream_taking(sp) || (count = stream_in_room(sp->in, sp->pieces)) == 0))
        return DUCT_EAGAIN;
    enum duct_err err = stream_take_loan(sp, msg, &place, &size);
    if (err != DUCT_OK)
        return err;
    sp->calling = place + 1;
    sp->in->dry = false;
    op->kind = take ? DI_IO_CALL_ANY : DI_IO_CALL;
    op->data = sp->stream->loans.table[place].data - DI_WIRE_HEADER;
    op->size = size;
    op->pieces = sp->pieces;
    op->piece_count = count;
    stream_submit(sp, STREAM_OP_IN);
    return DUCT_OK;
}

void stream_call_over(struct stream_pipe *sp)
{
    const struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;
    struct stream *stream = sp->stream;
    uint32_t place = sp->calling - 1;

    sp->calling = 0;
    if (op->sent == op->size) {
        stream_give_back(&stream->loans, &stream->loans.table[place]);
        return;
    }
    stream_queue_loan(sp, place, op->sent, op->size);
    if (op->error != EAGAIN && op->error != 0) {
        enum duct_err ignored = stream_broken(sp, op->error); /* the pipe has ended, and says so */
        (void)ignored;
    } else if (!sp->detaching) {
        stream_push(sp);
    }
}
