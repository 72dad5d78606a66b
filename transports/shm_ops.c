/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/error.h"
#include "transports/shm_pipe.h"

/* The operations of a pipe over shared memory: thin, since they are the hot path. What they call is
 * in shm/sender.h and shm/receiver.h; how they sleep, in shm_wait.c. */

static struct shm_pipe *shm_of(struct duct_pipe *pipe)
{
    return (struct shm_pipe *)pipe;
}

/*
 * Tells the peer that there is something for it. One that is not known to be awake may be dead: a
 * caller that only ever sends would not learn of it before the ring is full, so the kernel is asked
 * for news, once a millisecond at most.
 */
static inline void tell(struct shm_pipe *shm)
{
    if (di_sender_flush(shm->sender))
        di_context_glance(shm->pipe.context);
}

enum duct_err shm_pipe_loan(struct duct_pipe *pipe, size_t size, size_t align, struct duct_msg *msg)
{
    struct shm_pipe *shm = shm_of(pipe);

    return shm_pipe_result(shm, di_sender_loan(shm->sender, size, align, msg));
}

enum duct_err shm_pipe_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                  size_t count, size_t *done)
{
    struct shm_pipe *shm = shm_of(pipe);

    return shm_pipe_result(shm, di_sender_loan_batch(shm->sender, size, msgs, count, done));
}

enum duct_err shm_pipe_send(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct shm_pipe *shm = shm_of(pipe);
    bool more = (msg->flags & DUCT_MSG_MORE) != 0;
    enum duct_err err = di_sender_publish(shm->sender, msg);

    if (__builtin_expect(err == DUCT_OK && !more, 1))
        tell(shm);
    return shm_pipe_result(shm, err);
}

enum duct_err shm_pipe_write(struct duct_pipe *pipe, const void *data, size_t size, uint64_t tag)
{
    struct shm_pipe *shm = shm_of(pipe);
    enum duct_err err = di_sender_put(shm->sender, data, size, tag);

    if (__builtin_expect(err == DUCT_OK, 1))
        tell(shm);
    return shm_pipe_result(shm, err);
}

enum duct_err shm_pipe_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                              size_t size, uint64_t tag)
{
    struct shm_pipe *shm = shm_of(pipe);
    enum duct_err err = di_sender_put_pieces(shm->sender, pieces, count, size, tag);

    if (err == DUCT_OK)
        tell(shm);
    return shm_pipe_result(shm, err);
}

/* A receive found a block in a segment it does not know: the announcement is on the control socket
 * already, since it was sent before. True if the segment is known now. */
static bool learn_segment(struct shm_pipe *shm)
{
    struct di_receiver *receiver = shm->receiver;
    uint32_t known = receiver->segment_count;

    receiver->unknown_segment = false;
    shm_pipe_look(&shm->pipe);
    if (link_adopt_pools(shm->link) == DUCT_OK && receiver->segment_count > known)
        return true;
    if (shm->pipe.end == DUCT_OK)
        shm_pipe_corrupt(shm,
                         di_fail(DUCT_ECORRUPT, "the peer sent a block of a segment that it never "
                                                "announced; its pipe is closed"));
    return false;
}

enum duct_err shm_pipe_recv(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct shm_pipe *shm = shm_of(pipe);
    enum duct_err err = di_receiver_recv(shm->receiver, msg);

    if (__builtin_expect(err == DUCT_EAGAIN, 0)) {
        di_receiver_collect(shm->receiver);
        if (shm->receiver->unknown_segment && learn_segment(shm))
            err = di_receiver_recv(shm->receiver, msg);
    }
    return shm_pipe_result(shm, err);
}

enum duct_err shm_pipe_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                            uint64_t *tag)
{
    struct shm_pipe *shm = shm_of(pipe);

    if (__builtin_expect(di_receiver_read_fast(shm->receiver, data, capacity, size, tag), 1))
        return DUCT_OK;
    enum duct_err err = di_receiver_read(shm->receiver, data, capacity, size, tag);

    if (__builtin_expect(err == DUCT_EAGAIN, 0)) {
        di_receiver_collect(shm->receiver);
        if (shm->receiver->unknown_segment && learn_segment(shm))
            err = di_receiver_read(shm->receiver, data, capacity, size, tag);
    }
    return shm_pipe_result(shm, err);
}

/* ---- Batches: one fence and at most one wake-up each ---- */

enum duct_err shm_pipe_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                  size_t *done)
{
    struct shm_pipe *shm = shm_of(pipe);
    enum duct_err err = di_sender_publish_batch(shm->sender, msgs, count, done);

    if (*done > 0)
        tell(shm);
    return shm_pipe_result(shm, err);
}

enum duct_err shm_pipe_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                   size_t count, size_t *done)
{
    struct shm_pipe *shm = shm_of(pipe);
    enum duct_err err = di_sender_put_batch(shm->sender, views, count, done);

    if (*done > 0)
        tell(shm);
    return shm_pipe_result(shm, err);
}

enum duct_err shm_pipe_recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                  size_t *done)
{
    struct di_receiver *receiver = shm_of(pipe)->receiver;
    enum duct_err err = DUCT_OK;
    size_t i = di_receiver_recv_run(receiver, msgs, count);

    /* What stopped the run: nothing more, or a message of another kind. */
    while (i < count && (i == 0 || di_receiver_ready(receiver))) {
        if ((err = shm_pipe_recv(pipe, &msgs[i])) != DUCT_OK)
            break;
        i++;
        i += di_receiver_recv_run(receiver, msgs + i, count - i);
    }
    *done = i;
    return err;
}

enum duct_err shm_pipe_read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers, size_t count,
                                  size_t *done)
{
    struct di_receiver *receiver = shm_of(pipe)->receiver;
    enum duct_err err = DUCT_OK;
    size_t i = di_receiver_read_run(receiver, buffers, count);

    /* What stopped the run: nothing more, or a message of another kind. */
    while (i < count && (i == 0 || di_receiver_ready(receiver))) {
        err = shm_pipe_read(pipe, buffers[i].data, buffers[i].capacity, &buffers[i].size,
                            &buffers[i].tag);
        if (err != DUCT_OK)
            break;
        i++;
        i += di_receiver_read_run(receiver, buffers + i, count - i);
    }
    *done = i;
    return err;
}

void shm_pipe_flush(struct duct_pipe *pipe)
{
    tell(shm_of(pipe));
}
