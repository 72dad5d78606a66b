/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/core/pipe.h"

/*
 * The calls that move messages. Each tries once, at full speed; only where that gives AGAIN does it
 * go the slow way through di_pipe_wait(), with its arguments in a struct of its own.
 */

#define likely(condition) __builtin_expect((condition), 1)

struct transfer {
    struct duct_msg *msgs;
    const struct duct_view *views;
    struct duct_buffer *buffers;
    const void *in;
    void *out;
    const struct iovec *pieces;
    size_t count;
    size_t size;
    size_t *result;
    uint64_t tag;
    uint64_t *tag_out;
};

static enum duct_err missing(const char *call, const char *what)
{
    return di_fail(DUCT_EINVAL, "%s: %s is NULL", call, what);
}

static enum duct_err again_leave(struct duct_pipe *pipe, void *args)
{
    (void)args;
    return pipe->ops->ready(pipe, DI_READY_LEFT) != 0 ? DUCT_OK : DUCT_EAGAIN;
}

/*
 * The message is the pipe's, but the kernel may not have taken all of it. A caller that gave time waits for that:
 * it may go on to something that never runs this loop again. Whatever ends the wait, the send was a success.
 */
static enum duct_err left(struct duct_pipe *pipe, enum duct_err err, int64_t timeout_ns)
{
    if (err != (enum duct_err)DI_LEFT)
        return err;
    if (timeout_ns > 0 && !pipe->context->running) {
        enum duct_err ignored = di_pipe_wait(pipe, DI_READY_LEFT, timeout_ns, again_leave, NULL);
        (void)ignored;
    }
    return DUCT_OK;
}

/* What follows a first try that was not simply OK: the wait for a turn, and for the kernel, both within the time that was
 * given. Apart, so that the way of most calls is short. */
static __attribute__((noinline)) enum duct_err slowly(struct duct_pipe *pipe, enum duct_err err,
                                                      unsigned want, int64_t timeout_ns,
                                                      di_try_fn *again, struct transfer *args)
{
    if (err == DUCT_EAGAIN) {
        int64_t deadline = timeout_ns > 0 ? di_context_deadline(pipe->context, timeout_ns) : 0;
        err = di_pipe_wait(pipe, want, timeout_ns, again, args);
        if (err == (enum duct_err)DI_LEFT && timeout_ns > 0)
            timeout_ns = deadline - di_io_now(pipe->context->io);
    }
    return left(pipe, err, timeout_ns);
}

static enum duct_err again_send(struct duct_pipe *pipe, void *args)
{
    return pipe->ops->send(pipe, ((struct transfer *)args)->msgs);
}

enum duct_err duct_send(struct duct_pipe *pipe, struct duct_msg *msg, int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    if (msg == NULL)
        return missing("duct_send", "msg");
    err = pipe->ops->send(pipe, msg);
    if (likely(err == DUCT_OK))
        return err;
    struct transfer args = {.msgs = msg};
    return slowly(pipe, err, DI_READY_NEED, timeout_ns, again_send, &args);
}

static enum duct_err again_recv(struct duct_pipe *pipe, void *args)
{
    return pipe->ops->recv(pipe, ((struct transfer *)args)->msgs);
}

enum duct_err duct_recv(struct duct_pipe *pipe, struct duct_msg *msg, int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check(pipe, DI_CAN_RECV);

    if (err != DUCT_OK)
        return err;
    if (msg == NULL)
        return missing("duct_recv", "msg");
    err = pipe->ops->recv(pipe, msg);
    if (likely(err != DUCT_EAGAIN))
        return err;
    struct transfer args = {.msgs = msg};
    return di_pipe_wait(pipe, DI_READY_RECV, timeout_ns, again_recv, &args);
}

static enum duct_err again_write(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;

    return pipe->ops->write(pipe, transfer->in, transfer->size, transfer->tag);
}

enum duct_err duct_write(struct duct_pipe *pipe, const void *data, size_t size, uint64_t tag,
                         int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    if (data == NULL && size != 0)
        return missing("duct_write", "data");
    err = pipe->ops->write(pipe, data, size, tag);
    if (likely(err == DUCT_OK))
        return err;
    struct transfer args = {.in = data, .size = size, .tag = tag};
    return slowly(pipe, err, DI_READY_NEED, timeout_ns, again_write, &args);
}

static enum duct_err again_writev(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;

    return pipe->ops->writev(pipe, transfer->pieces, transfer->count, transfer->size,
                             transfer->tag);
}

enum duct_err duct_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                          uint64_t tag, int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check_send(pipe);
    size_t size = 0;

    if (err != DUCT_OK)
        return err;
    if (pieces == NULL && count != 0)
        return missing("duct_writev", "pieces");
    for (size_t i = 0; i < count; i++) {
        if (pieces[i].iov_base == NULL && pieces[i].iov_len != 0)
            return missing("duct_writev", "a piece's iov_base");
        if (__builtin_add_overflow(size, pieces[i].iov_len, &size))
            return di_fail(DUCT_ETOOBIG, "duct_writev: the pieces are longer than any memory");
    }
    err = pipe->ops->writev(pipe, pieces, count, size, tag);
    if (likely(err == DUCT_OK))
        return err;
    struct transfer args = {.pieces = pieces, .count = count, .size = size, .tag = tag};
    return slowly(pipe, err, DI_READY_NEED, timeout_ns, again_writev, &args);
}

static enum duct_err again_read(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;

    return pipe->ops->read(pipe, transfer->out, transfer->size, transfer->result,
                           transfer->tag_out);
}

enum duct_err duct_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                        uint64_t *tag, int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check(pipe, DI_CAN_RECV);

    if (err != DUCT_OK)
        return err;
    if ((data == NULL && capacity != 0) || size == NULL)
        return missing("duct_read", size == NULL ? "size" : "data");
    err = pipe->ops->read(pipe, data, capacity, size, tag);
    if (likely(err != DUCT_EAGAIN))
        return err;
    struct transfer args = {.out = data, .size = capacity, .result = size, .tag_out = tag};
    return di_pipe_wait(pipe, DI_READY_RECV, timeout_ns, again_read, &args);
}

/*
 * Batches report an error only when nothing went; what went before it is a success, and the error
 * comes again with the next call.
 */
static enum duct_err batch_result(enum duct_err err, size_t done)
{
    return done > 0 && err != (enum duct_err)DI_LEFT ? DUCT_OK : err;
}

static enum duct_err again_send_batch(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;
    enum duct_err err =
        pipe->ops->send_batch(pipe, transfer->msgs, transfer->count, transfer->result);

    return batch_result(err, *transfer->result);
}

static enum duct_err again_recv_batch(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;
    enum duct_err err =
        pipe->ops->recv_batch(pipe, transfer->msgs, transfer->count, transfer->result);

    return batch_result(err, *transfer->result);
}

static enum duct_err again_write_batch(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;
    enum duct_err err =
        pipe->ops->write_batch(pipe, transfer->views, transfer->count, transfer->result);

    return batch_result(err, *transfer->result);
}

static enum duct_err again_read_batch(struct duct_pipe *pipe, void *args)
{
    struct transfer *transfer = args;
    enum duct_err err =
        pipe->ops->read_batch(pipe, transfer->buffers, transfer->count, transfer->result);

    return batch_result(err, *transfer->result);
}

/* The frame of all four: checks, first try, slow way. */
static enum duct_err batch(struct duct_pipe *pipe, unsigned want, int64_t timeout_ns,
                           di_try_fn *try, struct transfer *args)
{
    enum duct_err err =
        want == DI_READY_RECV ? di_pipe_check(pipe, DI_CAN_RECV) : di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    if (args->result == NULL)
        return missing("a batch", "done");
    *args->result = 0;
    if (args->count == 0)
        return DUCT_OK;
    if (args->msgs == NULL && args->views == NULL && args->buffers == NULL)
        return missing("a batch", "the array");
    err = try(pipe, args);
    if (likely(err == DUCT_OK))
        return err;
    return slowly(pipe, err, want, timeout_ns, try, args);
}

enum duct_err duct_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                              size_t *done, int64_t timeout_ns)
{
    struct transfer args = {.msgs = msgs, .count = count, .result = done};

    return batch(pipe, DI_READY_NEED, timeout_ns, again_send_batch, &args);
}

enum duct_err duct_recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                              size_t *done, int64_t timeout_ns)
{
    struct transfer args = {.msgs = msgs, .count = count, .result = done};

    return batch(pipe, DI_READY_RECV, timeout_ns, again_recv_batch, &args);
}

enum duct_err duct_write_batch(struct duct_pipe *pipe, const struct duct_view *views, size_t count,
                               size_t *done, int64_t timeout_ns)
{
    struct transfer args = {.views = views, .count = count, .result = done};

    return batch(pipe, DI_READY_NEED, timeout_ns, again_write_batch, &args);
}

enum duct_err duct_read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers, size_t count,
                              size_t *done, int64_t timeout_ns)
{
    struct transfer args = {.buffers = buffers, .count = count, .result = done};

    return batch(pipe, DI_READY_RECV, timeout_ns, again_read_batch, &args);
}

enum duct_err duct_call(struct duct_pipe *pipe, struct duct_msg *out, struct duct_msg *in,
                        int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check(pipe, DI_CAN_SEND | DI_CAN_RECV);

    if (err != DUCT_OK)
        return err;
    if (out == NULL || in == NULL)
        return missing("duct_call", out == NULL ? "out" : "in");
    if (pipe->ops->call != NULL && timeout_ns > 0 && !pipe->context->running &&
        pipe->end == DUCT_OK) {
        struct transfer args = {.msgs = in};
        err = pipe->ops->call(pipe, out);
        if (err != DUCT_EAGAIN)
            return err != DUCT_OK
                       ? err
                       : di_pipe_wait(pipe, DI_READY_RECV, timeout_ns, again_recv, &args);
    }
    if (timeout_ns <= 0 || timeout_ns == DUCT_FOREVER) {
        err = duct_send(pipe, out, timeout_ns);
        return err != DUCT_OK ? err : duct_recv(pipe, in, timeout_ns);
    }
    int64_t deadline = di_context_deadline(pipe->context, timeout_ns);
    err = duct_send(pipe, out, timeout_ns);
    if (err != DUCT_OK)
        return err;
    int64_t left = deadline - di_io_now(pipe->context->io);
    return duct_recv(pipe, in, left > 0 ? left : 0);
}

/* A pipe whose peer has to be asked is asked by arming it. */
static enum duct_err again_drained(struct duct_pipe *pipe, void *args)
{
    enum duct_err err = DUCT_OK;

    (void)args;
    if (pipe->ops->ready(pipe, DI_READY_DRAINED) != 0)
        return DUCT_OK;
    if (pipe->ops->pulled && pipe->ops->arm(pipe, DI_READY_DRAINED, true, &err) != 0 &&
        pipe->end == DUCT_OK)
        return DUCT_OK;
    return err != DUCT_OK ? err : DUCT_EAGAIN;
}

enum duct_err duct_pipe_drain(struct duct_pipe *pipe, int64_t timeout_ns)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    err = again_drained(pipe, NULL);
    return err == DUCT_EAGAIN
               ? di_pipe_wait(pipe, DI_READY_DRAINED, timeout_ns, again_drained, NULL)
               : err;
}

enum duct_err duct_flush(struct duct_pipe *pipe)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err == DUCT_OK)
        pipe->ops->flush(pipe);
    return err;
}
