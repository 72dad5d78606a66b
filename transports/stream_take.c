/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream.h"

/* Taking what the loop receives by itself, and having it do so no more. */

bool stream_take_once(struct stream_pipe *sp)
{
    struct stream_in *in = sp->in;
    struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;
    struct di_buffer *buffer = NULL;

    if (!stream_in_got(in, di_io_take(sp->pipe.context->io, op, &buffer)))
        return false;
    in->more = op->received != NULL || buffer->size == buffer->capacity;
    if (stream_in_add(in, buffer))
        return true;
    enum duct_err err = di_fail(DUCT_ENOMEMORY, "no memory for what a peer sent");
    stream_end(sp->stream, err);
    di_pipe_end(&sp->pipe, err);
    in->finished = true;
    return false;
}

void stream_stop_taking(struct stream_pipe *sp)
{
    struct di_io *io = sp->pipe.context->io;
    struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;

    while (stream_taking(sp)) {
        while (di_io_receiving(op) && stream_take_once(sp))
            continue;
        if (!op->in_flight) {
            op->kind = DI_IO_RECV_ANY;
            stream_submit(sp, STREAM_OP_IN);
        }
        di_io_cancel(io, op);
        if (di_io_wait(io, INT64_MAX) == DUCT_EOS)
            break;
    }
}
