/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "transports/durable.h"

/*
 * The handle of a durable pipe: messages, waiting, what can be asked about it. What lies in the files is
 * the business of shm/durable.h, who is at the other end that of durable_link.c.
 */

/* ---- Sending ---- */

/* Whether a call that found no room should try again: some came back. */
static bool room_again(struct durable_pipe *self, enum duct_err *err)
{
    bool more = false;

    if (*err != DUCT_EAGAIN)
        return false;
    enum duct_err reclaimed = di_durable_reclaim(self->durable, &more);
    if (reclaimed != DUCT_OK)
        *err = reclaimed;
    return reclaimed == DUCT_OK && more;
}

static void tell(struct durable_pipe *self)
{
    /* As of other pipes: a caller that only sends learns of its peer's coming and going here. */
    if (di_sender_flush(&self->durable->out.sender))
        di_context_glance(self->pipe.context);
}

static enum duct_err durable_loan(struct duct_pipe *pipe, size_t size, size_t align,
                                  struct duct_msg *msg)
{
    enum duct_err err = di_sender_loan(sender_of(pipe), size, align, msg);

    if (room_again(durable_of(pipe), &err))
        err = di_sender_loan(sender_of(pipe), size, align, msg);
    return durable_result(durable_of(pipe), err);
}

static enum duct_err loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                size_t count, size_t *done)
{
    return durable_result(durable_of(pipe),
                          di_sender_loan_batch(sender_of(pipe), size, msgs, count, done));
}

static enum duct_err durable_send(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct durable_pipe *self = durable_of(pipe);
    bool more = (msg->flags & DUCT_MSG_MORE) != 0;
    enum duct_err err = di_sender_publish(sender_of(pipe), msg);

    if (room_again(self, &err))
        err = di_sender_publish(sender_of(pipe), msg);
    if (err == DUCT_OK && !more)
        tell(self);
    return durable_result(self, err);
}

static enum duct_err durable_write(struct duct_pipe *pipe, const void *data, size_t size,
                                   uint64_t tag)
{
    struct durable_pipe *self = durable_of(pipe);
    enum duct_err err = di_sender_put(sender_of(pipe), data, size, tag);

    if (room_again(self, &err))
        err = di_sender_put(sender_of(pipe), data, size, tag);
    if (err == DUCT_OK)
        tell(self);
    return durable_result(self, err);
}

static enum duct_err durable_writev(struct duct_pipe *pipe, const struct iovec *pieces,
                                    size_t count, size_t size, uint64_t tag)
{
    struct durable_pipe *self = durable_of(pipe);
    enum duct_err err = di_sender_put_pieces(sender_of(pipe), pieces, count, size, tag);

    if (room_again(self, &err))
        err = di_sender_put_pieces(sender_of(pipe), pieces, count, size, tag);
    if (err == DUCT_OK)
        tell(self);
    return durable_result(self, err);
}

static enum duct_err send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                size_t *done)
{
    struct durable_pipe *self = durable_of(pipe);
    enum duct_err err = di_sender_publish_batch(sender_of(pipe), msgs, count, done);
    size_t further = 0;

    if (room_again(self, &err)) {
        err = di_sender_publish_batch(sender_of(pipe), msgs + *done, count - *done, &further);
        *done += further;
    }
    if (*done > 0)
        tell(self);
    return durable_result(self, err);
}

static enum duct_err write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                 size_t count, size_t *done)
{
    struct durable_pipe *self = durable_of(pipe);
    enum duct_err err = di_sender_put_batch(sender_of(pipe), views, count, done);
    size_t further = 0;

    if (room_again(self, &err)) {
        err = di_sender_put_batch(sender_of(pipe), views + *done, count - *done, &further);
        *done += further;
    }
    if (*done > 0)
        tell(self);
    return durable_result(self, err);
}

static void durable_flush(struct duct_pipe *pipe)
{
    tell(durable_of(pipe));
}

/* ---- Receiving ---- */

static enum duct_err durable_recv(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct durable_pipe *self = durable_of(pipe);
    enum duct_err err = di_durable_recv(self->durable, msg);

    if (err == DUCT_EAGAIN)
        di_durable_collect(self->durable);
    return durable_result(self, err);
}

static enum duct_err durable_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                                  uint64_t *tag)
{
    struct durable_pipe *self = durable_of(pipe);
    enum duct_err err = di_durable_read(self->durable, data, capacity, size, tag);

    if (err == DUCT_EAGAIN)
        di_durable_collect(self->durable);
    return durable_result(self, err);
}

static enum duct_err recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                size_t *done)
{
    enum duct_err err = DUCT_OK;

    for (*done = 0; *done < count && err == DUCT_OK;) {
        if ((err = durable_recv(pipe, &msgs[*done])) == DUCT_OK)
            ++*done;
    }
    return err;
}

static enum duct_err read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers, size_t count,
                                size_t *done)
{
    enum duct_err err = DUCT_OK;

    for (*done = 0; *done < count && err == DUCT_OK;) {
        struct duct_buffer *buffer = &buffers[*done];
        err = durable_read(pipe, buffer->data, buffer->capacity, &buffer->size, &buffer->tag);
        if (err == DUCT_OK)
            ++*done;
    }
    return err;
}

/* ---- Contexts and threads ---- */

static void look(struct duct_pipe *pipe)
{
    durable_link_read(durable_of(pipe));
}

static void run_post(struct di_post *post)
{
    struct durable_pipe *self = di_container(post, struct durable_pipe, post);

    /* Closed meanwhile, or moved to another thread, which looks for itself whenever it waits. */
    if (!self->closing && self->durable->met &&
        atomic_load_explicit(&self->durable->in.receiver.thread, memory_order_relaxed) ==
            di_thread_self())
        di_durable_collect(self->durable);
}

static void post(struct di_receiver *receiver)
{
    struct durable_pipe *self = receiver->user;

    di_context_post(self->pipe.context, &self->post);
}

void durable_pipe_adopted(struct duct_pipe *pipe)
{
    struct durable_pipe *self = durable_of(pipe);
    struct di_receiver *receiver = &self->durable->in.receiver;

    if (!self->durable->met)
        return;
    /* Once, before anything is received: threads that release read them, also while the two ends meet again. */
    if (receiver->user == NULL) {
        receiver->user = self;
        receiver->post = post;
    }
    /* Relaxed, both: who owns the context is settled between the threads before either goes on. */
    atomic_store_explicit(&receiver->thread,
                          atomic_load_explicit(&pipe->context->thread, memory_order_relaxed),
                          memory_order_relaxed);
}

static void attach(struct duct_pipe *pipe)
{
    struct durable_pipe *self = durable_of(pipe);

    self->post.run = run_post;
    for (unsigned i = 0; i < OP_DURABLE_COUNT; i++)
        self->ops[i] = (struct durable_op_slot){
            .op = {.done = durable_on_completion}, .owner = self, .retired = -1};
    durable_pipe_adopted(pipe);
    durable_link_submit_all(self);
}

static void cancel_all(struct durable_pipe *self)
{
    for (unsigned i = 0; i < OP_DURABLE_COUNT; i++) {
        self->ops[i].again = false;
        di_io_cancel(self->pipe.context->io, &self->ops[i].op);
    }
}

static void detach(struct duct_pipe *pipe)
{
    struct durable_pipe *self = durable_of(pipe);

    if (self->listener != NULL)
        durable_listener_forget(self->listener);
    self->listener = NULL;
    self->detaching = true;
    cancel_all(self);
    /* Cancelling does not wait for anybody but the kernel. */
    while (self->in_flight > 0) {
        if (di_io_wait(pipe->context->io, INT64_MAX) == DUCT_EOS)
            break;
    }
    for (unsigned i = 0; i < OP_DURABLE_COUNT; i++)
        di_io_forget(pipe->context->io, &self->ops[i].op);
    di_context_signal(pipe->context);
    di_context_run_posts(pipe->context);
    self->detaching = false;
}

static enum duct_err split(struct duct_pipe *pipe, struct duct_pipe **sender,
                           struct duct_pipe **receiver)
{
    (void)pipe;
    *sender = *receiver = NULL;
    return di_fail(DUCT_ENOTSUP, "a durable pipe cannot be split; its peer may come and go");
}

static enum duct_err fd(struct duct_pipe *pipe, int *out)
{
    (void)pipe;
    (void)out;
    return di_fail(DUCT_ENOTSUP, "a durable pipe has no descriptor of its own, since its peer may "
                                 "come and go; use duct_context_fd()");
}

static enum duct_err set_waiting(struct duct_pipe *pipe, const struct duct_waiting *waiting)
{
    (void)pipe;
    if (waiting->bell == DUCT_BELL_AUTO || waiting->bell == DUCT_BELL_SOCKET)
        return DUCT_OK;
    return di_fail(DUCT_ENOTSUP, "the bell of a durable pipe is the socket");
}

/* ---- What can be asked ---- */

static void info(struct duct_pipe *pipe, struct duct_pipe_info *all)
{
    struct durable_pipe *self = durable_of(pipe);
    const struct di_durable_end *end = &self->durable->end;

    all->durable = 1;
    all->name_lost = self->name_lost;
    all->close_code = self->close_code;
    memcpy(all->close_text, self->close_text, sizeof(all->close_text));
    /* Before what is undelivered: that is then all of it. */
    all->peer_closed =
        !durable_connected(self) && di_durable_end_peer_finished(end, &all->close_code) != 0;
    all->undelivered_out = di_durable_undelivered_out(self->durable);
    all->undelivered_in = di_durable_undelivered_in(self->durable);
    all->max_send = end->geometry.header.max_msg;
    all->slots_send = end->geometry.header.slots;
    all->shared_bytes = end->outbox.size + end->pool.size;
    if (end->met) {
        all->max_recv = end->peer_geometry.header.max_msg;
        all->slots_recv = end->peer_geometry.header.slots;
        all->peer_shared_bytes = end->peer_outbox.size + end->peer_pool.size;
    }
    all->bell = all->peer_bell = DUCT_BELL_SOCKET;
    if (!durable_connected(self))
        return;
    all->peer_pid = self->link.identity.pid;
    all->peer_uid = self->link.identity.uid;
    all->peer_gid = self->link.identity.gid;
    all->session_id = self->link.session;
}

static void stats(struct duct_pipe *pipe, struct duct_pipe_stats *all)
{
    struct durable_pipe *self = durable_of(pipe);
    const struct di_sender *sender = sender_of(pipe);
    const struct di_receiver *receiver = &self->durable->in.receiver;

    all->parks = self->parks;
    all->doorbells_heard = self->heard;
    all->sent_msgs = sender->msgs;
    all->sent_bytes = sender->bytes;
    all->received_msgs = receiver->msgs;
    all->received_bytes = receiver->bytes;
    all->doorbells_rung = sender->ringer.rings + receiver->ringer.rings;
    all->fences = sender->ringer.fences + receiver->ringer.fences;
    all->full_ring = sender->full_ring;
    all->full_pool = sender->full_pool;
    all->full_held = receiver->full_held;
    all->refused_too_big = sender->too_big;
    all->dropped_unsent = sender->discarded;
}

/* ---- The end ---- */

void durable_pipe_free(struct durable_pipe *self)
{
    struct di_io *io = self->pipe.context->io;

    for (unsigned i = 0; i < OP_DURABLE_COUNT; i++) {
        di_io_forget(io, &self->ops[i].op);
        di_fork_close(self->ops[i].retired);
    }
    di_fork_close(self->link.socket);
    di_fork_close(self->link.identity.pidfd);
    di_fork_close(self->meeting.socket);
    di_fork_close(self->meeting.identity.pidfd);
    di_fork_close(self->watch);
    if (self->spare >= 0)
        close(self->spare);
    if (self->listener != NULL)
        durable_listener_take_back(self->listener, &self->bound);
    else
        di_names_unbind(&self->bound);
    di_options_fini(&self->options);
    di_pipe_free(&self->pipe);
}

static void durable_close(struct duct_pipe *pipe, uint32_t code, const char *text)
{
    struct durable_pipe *self = durable_of(pipe);
    struct duct_context *context = pipe->context;

    di_durable_collect(self->durable);
    if (self->given && pipe->end == DUCT_OK)
        di_durable_finish(self->durable, code);
    durable_link_hang_up(self, DUCT_ECLOSED, code, text);
    self->closing = true;
    di_durable_close(self->durable);
    self->durable = NULL;
    /* Nobody posts any more; what was posted refers to this handle. */
    di_context_run_posts(context);
    cancel_all(self);
    if (self->in_flight == 0)
        durable_pipe_free(self);
    else if (di_context_reap(context) == DUCT_EOS)
        di_log(DUCT_LOG_ERROR,
               "the context's loop failed; a closed pipe stays until it is closed too");
}

const struct di_pipe_ops durable_pipe_ops = {
    .scheme = "shm",
    .loan = durable_loan,
    .loan_batch = loan_batch,
    .send = durable_send,
    .recv = durable_recv,
    .write = durable_write,
    .writev = durable_writev,
    .read = durable_read,
    .send_batch = send_batch,
    .recv_batch = recv_batch,
    .write_batch = write_batch,
    .read_batch = read_batch,
    .flush = durable_flush,
    .spin = durable_spin,
    .ready = durable_ready,
    .arm = durable_arm,
    .disarm = durable_disarm,
    .look = look,
    .detach = detach,
    .attach = attach,
    .adopted = durable_pipe_adopted,
    .split = split,
    .fd = fd,
    .set_waiting = set_waiting,
    .info = info,
    .stats = stats,
    .close = durable_close,
};
