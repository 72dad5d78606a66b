/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>

#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "transports/stream.h"

/*
 * How a stream's handle sleeps. The loop receives by itself, into buffers of its own (RECV_ANY, CALL_ANY): the bytes
 * are there when it wakes, without another system call, and an idle pipe has no buffer. Where it cannot, or a pipe
 * moves so much that it had better receive into its own memory, a call that waits for this pipe alone has the loop
 * receive there (RECV, CALL), and everybody else has it poll: so it is, too, where a program watches the socket.
 */

/* Without a descriptor to wait for room with: when to look for some, and for room. */
#define LOOK_AGAIN_NS (10 * DUCT_MILLISECOND)

void stream_submit(struct stream_pipe *sp, enum stream_op which)
{
    sp->in_flight++;
    di_io_submit(sp->pipe.context->io, &sp->ops[which].op);
}

/* ---- What another thread posts ---- */

void stream_stir(struct di_post *post)
{
    struct stream_pipe *sp = di_container(post, struct stream_pipe, stir);

    if (sp->closing || sp->detaching)
        return;
    enum duct_err why = stream_ended(sp->stream);
    if (why != DUCT_OK)
        di_pipe_end(&sp->pipe, why);
    else if (sp->sends)
        stream_push(sp);
    di_pipe_activate(&sp->pipe);
}

/* ---- Readiness ---- */

static bool has_room(struct stream *stream, size_t size)
{
    stream_lock(stream);
    bool room = di_sendq_room(&stream->queue, size);
    stream_unlock(stream);
    return room;
}

/* The peer has come to a DRAIN, and has taken less than what was before it: it takes nothing any more. */
static bool peer_discards(struct stream *stream)
{
    /* Relaxed: the number alone. */
    uint64_t answered = atomic_load_explicit(&stream->answered, memory_order_relaxed);

    return answered != 0 && (int32_t)((uint32_t)answered - stream->drain_first) < 0;
}

/* Who lingers has nothing to wait for from a peer that does so, too. */
static bool drained(const struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;
    bool ends = sp->in != NULL && sp->in->discarding;

    /* Relaxed: the number alone. */
    return stream->queue.bytes == 0 &&
           (atomic_load_explicit(&stream->acked, memory_order_relaxed) == stream->seq ||
            (ends && stream->drain_asked && peer_discards(stream)));
}

unsigned stream_pipe_ready(struct duct_pipe *pipe, unsigned want)
{
    struct stream_pipe *sp = stream_of(pipe);
    unsigned ready = 0;

    if ((want & DI_READY_RECV) && sp->in != NULL) {
        /* One that never sleeps has nobody else to look at the socket for it. */
        if (!stream_parse(sp) && pipe->wait == DUCT_WAIT_SPIN)
            stream_pull(sp);
        ready |= sp->in->whole ? DI_READY_RECV : 0;
    }
    if ((want & (DI_READY_SEND | DI_READY_NEED)) && sp->sends &&
        has_room(sp->stream, sp->stream->need))
        ready |= want & (DI_READY_SEND | DI_READY_NEED);
    if ((want & DI_READY_LEFT) && (sp->stream->queue.bytes == 0 || sp->stream->held_back))
        ready |= DI_READY_LEFT;
    if ((want & DI_READY_DRAINED) && drained(sp))
        ready |= DI_READY_DRAINED;
    return ready;
}

void stream_pipe_look(struct duct_pipe *pipe)
{
    struct stream_pipe *sp = stream_of(pipe);

    if (sp->in != NULL && !stream_parse(sp))
        stream_pull(sp);
    if (sp->sends && sp->stream->queue.bytes > 0 && !sp->stream->held_back)
        stream_push(sp);
}

bool stream_pipe_spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first)
{
    struct stream_pipe *sp = stream_of(pipe);

    /* Who waits has no more to say for now. */
    if (first && sp->sends && sp->stream->held_back)
        stream_push(sp);
    /* Each look is a system call, as dear as some sixty looks at memory. */
    for (unsigned i = 0; i < polls; i += 64) {
        stream_pipe_look(pipe);
        if (stream_pipe_ready(pipe, want) != 0 || pipe->end != DUCT_OK)
            return true;
    }
    return false;
}

/* Has the loop tell of what arrives: by receiving itself, else for a call that waits for it, else a poll. What it
 * receives by itself comes before anything else. */
static void arm_in(struct stream_pipe *sp, bool receive)
{
    struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;
    struct stream_in *in = sp->in;
    uint32_t count = 0;

    if (op->in_flight || in->finished)
        return;
    if (stream_may_take(sp) || stream_taking(sp)) {
        stream_in_rest(in);
        in->dry = false;
        op->kind = DI_IO_RECV_ANY;
        stream_submit(sp, STREAM_OP_IN);
        if (!stream_may_take(sp))
            di_io_cancel(sp->pipe.context->io, op);
        return;
    }
    if (receive)
        count = stream_in_room(in, sp->pieces);
    else
        stream_in_rest(in);
    /* The socket may have more: ask anew, or an edge-triggered loop says nothing of it. */
    if (count == 0 && !in->dry)
        di_io_forget(sp->pipe.context->io, op);
    in->dry = false;
    op->kind = count > 0 ? DI_IO_RECV : DI_IO_POLL;
    op->pieces = sp->pieces;
    op->piece_count = count;
    stream_submit(sp, STREAM_OP_IN);
}

static unsigned arm_receiver(struct stream_pipe *sp, unsigned want, bool blocking)
{
    if (stream_parse(sp)) {
        /* There is something that nobody asked for: nothing more is read before it was taken. */
        return want & DI_READY_RECV;
    }
    bool receive = blocking && (want & DI_READY_RECV);
    /* Before a poll the socket is read until it has nothing: an edge-triggered loop tells only of what is new. */
    if (!receive && !sp->in->dry && !sp->ops[STREAM_OP_IN].op.in_flight)
        stream_pull(sp);
    if (sp->in->whole)
        return want & DI_READY_RECV;
    if (sp->pipe.end == DUCT_OK)
        arm_in(sp, receive);
    return 0;
}

/* Asks the peer to say when everything was taken; if this is the end, what it sends meanwhile nobody will receive. */
static void ask_to_drain(struct stream_pipe *sp, bool end)
{
    struct stream *stream = sp->stream;

    if (sp->in != NULL && end)
        sp->in->discarding = true;
    if (!stream->drain_asked || stream->drain_seq != stream->seq) {
        /* Relaxed: the number alone. */
        uint64_t answered = atomic_load_explicit(&stream->answered, memory_order_relaxed);
        if (!stream->drain_asked || answered == (STREAM_ANSWERED | stream->drain_seq))
            stream->drain_first = stream->seq;
        stream->drain_asked = true;
        stream->drain_seq = stream->seq;
        stream_send_note(sp, DI_FRAME_DRAIN, 0);
    }
}

unsigned stream_pipe_arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err)
{
    struct stream_pipe *sp = stream_of(pipe);
    unsigned ready = 0;

    (void)err;
    if (pipe->end == DUCT_OK && stream_ended(sp->stream) != DUCT_OK)
        di_pipe_end(pipe, stream_ended(sp->stream));
    if (pipe->end != DUCT_OK)
        return want;
    if (sp->sends && sp->stream->held_back)
        stream_push(sp);
    if (want & DI_READY_DRAINED)
        ask_to_drain(sp, !blocking);
    if ((want & DI_READY_PARTED) && sp->stream->queue.bytes == 0)
        stream_shut(sp);
    if (sp->in != NULL)
        ready |= arm_receiver(sp, want, blocking);
    if (pipe->end != DUCT_OK)
        return want;
    ready |= stream_pipe_ready(pipe, want & ~(unsigned)DI_READY_RECV);
    if (ready == 0 && (want & (DI_READY_SEND | DI_READY_NEED | DI_READY_LEFT | DI_READY_PARTED)))
        stream_push(sp);
    if (ready == 0)
        sp->parks++;
    return pipe->end != DUCT_OK ? want : ready;
}

/* The wait is over: no question is in flight any more, and nothing takes bytes that nobody waits for, but the loop. */
void stream_pipe_disarm(struct duct_pipe *pipe, unsigned want)
{
    struct stream_pipe *sp = stream_of(pipe);
    struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;

    (void)want;
    while (op->in_flight && op->kind != DI_IO_POLL && op->kind != DI_IO_RECV_ANY) {
        di_io_cancel(pipe->context->io, op);
        if (di_io_wait(pipe->context->io, INT64_MAX) == DUCT_EOS)
            break;
    }
}

void stream_wait_for_room(struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;
    struct di_io_op *op = &sp->ops[STREAM_OP_OUT].op;

    if (op->in_flight || sp->closing || sp->detaching)
        return;
    if (stream->out_fd < 0) {
        int made = di_io_dup_socket(sp->pipe.context->io, stream->fd);
        if (made < 0) {
            /* Descriptors are short, which is no fault of this pipe: it looks again by the clock. */
            op->kind = DI_IO_TIMER;
            op->deadline = di_context_deadline(sp->pipe.context, LOOK_AGAIN_NS);
            stream_submit(sp, STREAM_OP_OUT);
            return;
        }
        stream->out_fd = made;
    }
    op->kind = DI_IO_POLL;
    op->fd = stream->out_fd;
    op->events = POLLOUT;
    stream_submit(sp, STREAM_OP_OUT);
}

/* ---- The loop's side ---- */

static void free_handle(struct stream_pipe *sp)
{
    for (unsigned i = 0; i < STREAM_OPS; i++)
        di_io_forget(sp->pipe.context->io, &sp->ops[i].op);
    di_fork_close(sp->exported);
    di_fork_close(sp->bell);
    if (sp->in != NULL)
        stream_in_close(sp->in);
    stream_release(sp->stream, sp->pipe.context->io);
    di_pipe_free(&sp->pipe);
}

static void cancel_all(struct stream_pipe *sp)
{
    for (unsigned i = 0; i < STREAM_OPS; i++)
        di_io_cancel(sp->pipe.context->io, &sp->ops[i].op);
}

/* It is closed: what is with the loop comes back, and then it is gone. False: not yet. */
static bool recall(struct stream_pipe *sp)
{
    struct di_io_op *op = &sp->ops[STREAM_OP_IN].op;

    if (op->receiving && !op->in_flight) {
        op->kind = DI_IO_RECV_ANY;
        stream_submit(sp, STREAM_OP_IN);
    }
    cancel_all(sp);
    if (sp->in_flight > 0)
        return false;
    free_handle(sp);
    return true;
}

/* The loop cannot wait for this socket: to ask again at once would go round for ever. */
static void unwatched(struct stream_pipe *sp)
{
    enum duct_err why = di_fail(DUCT_ELIMIT, "%s", DI_IO_FAILED_TEXT);

    stream_end(sp->stream, why);
    di_pipe_end(&sp->pipe, why);
}

/* The loop has received by itself, or a question of ours did not all go. */
static void arrived_any(struct stream_pipe *sp, const struct di_io_op *op, int result)
{
    bool unsent = op->kind == DI_IO_CALL_ANY && op->sent < op->size;

    if (result == DI_IO_FAILED && !unsent) {
        unwatched(sp);
        return;
    }
    if (sp->calling != 0)
        stream_call_over(sp);
    if (!sp->detaching)
        stream_pull(sp);
}

/* What a completion of the receiving operation brought, also while the handle moves: bytes are bytes. */
static void arrived(struct stream_pipe *sp, struct di_io_op *op, int result)
{
    bool unsent = op->kind == DI_IO_CALL && op->sent < op->size;

    if (di_io_takes(op->kind)) {
        arrived_any(sp, op, result);
        return;
    }
    if (result == DI_IO_FAILED && !unsent &&
        (op->kind == DI_IO_POLL || !stream_line_failed(op->error))) {
        unwatched(sp);
        return;
    }
    if (op->kind == DI_IO_POLL) {
        if (result > 0 && !sp->detaching)
            stream_pull(sp);
        return;
    }
    if (result > 0)
        stream_in_arrived(sp->in, (size_t)result, op->pieces, op->piece_count);
    else if (result == 0 || (result == DI_IO_FAILED && !unsent)) { /* else it was the sending */
        sp->in->finished = true;
        sp->in->error = result == DI_IO_FAILED ? op->error : sp->in->error;
    }
    if (sp->calling != 0)
        stream_call_over(sp);
    stream_settle(sp);
}

static void on_completion(struct di_io_op *op, int result)
{
    struct stream_op_slot *slot = (struct stream_op_slot *)op;
    struct stream_pipe *sp = slot->owner;

    sp->in_flight--;
    if (sp->closing) {
        (void)recall(sp);
        return;
    }
    if (slot == &sp->ops[STREAM_OP_IN])
        arrived(sp, op, result);
    else if (result == DI_IO_FAILED)
        unwatched(sp);
    else if (result != DI_IO_CANCELED && !sp->detaching)
        stream_push(sp);
    if (sp->detaching)
        return;
    stream_signal(sp);
    sp->heard++;
    di_pipe_activate(&sp->pipe);
}

void stream_pipe_adopted(struct duct_pipe *pipe)
{
    struct stream_pipe *sp = stream_of(pipe);

    /* Relaxed: who owns the context is settled between the threads before either goes on. */
    if (sp->in != NULL)
        stream_held_belongs(sp->in->held,
                            atomic_load_explicit(&pipe->context->thread, memory_order_relaxed));
}

void stream_pipe_attach(struct duct_pipe *pipe)
{
    struct stream_pipe *sp = stream_of(pipe);
    struct stream *stream = sp->stream;

    for (unsigned i = 0; i < STREAM_OPS; i++)
        sp->ops[i] = (struct stream_op_slot){.op = {.done = on_completion}, .owner = sp};
    sp->ops[STREAM_OP_IN].op.fd = stream->fd;
    sp->ops[STREAM_OP_IN].op.events = POLLIN | POLLRDHUP;
    if (stream->split) {
        enum stream_half half = sp->sends ? STREAM_SENDER : STREAM_RECEIVER;
        pthread_mutex_lock(&stream->lock);
        stream->stir_context[half] = pipe->context;
        stream->stir[half] = &sp->stir;
        pthread_mutex_unlock(&stream->lock);
    }
    stream_pipe_adopted(pipe);
    stream_life_start(sp);
    if (sp->sends && stream->queue.bytes > 0)
        stream_push(sp);
}

static void unstir(struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;
    enum stream_half half = sp->sends ? STREAM_SENDER : STREAM_RECEIVER;

    if (!stream->split)
        return;
    pthread_mutex_lock(&stream->lock);
    stream->stir[half] = NULL;
    stream->stir_context[half] = NULL;
    pthread_mutex_unlock(&stream->lock);
}

void stream_pipe_detach(struct duct_pipe *pipe)
{
    struct stream_pipe *sp = stream_of(pipe);

    sp->detaching = true;
    if (sp->in != NULL)
        stream_held_belongs(sp->in->held, 0);
    stream_life_stop(sp);
    unstir(sp);
    /* Cancelling does not wait for anybody but the kernel. */
    stream_stop_taking(sp);
    cancel_all(sp);
    while (sp->in_flight > 0) {
        if (di_io_wait(pipe->context->io, INT64_MAX) == DUCT_EOS)
            break;
    }
    di_context_signal(pipe->context);
    for (unsigned i = 0; i < STREAM_OPS; i++)
        di_io_forget(pipe->context->io, &sp->ops[i].op);
    /* What was posted to the old context refers to this handle, which may be gone when it gets there. */
    di_context_run_posts(pipe->context);
    sp->detaching = false;
}

void stream_pipe_close(struct duct_pipe *pipe, uint32_t code, const char *text)
{
    struct stream_pipe *sp = stream_of(pipe);
    struct duct_context *context = pipe->context;

    unstir(sp);
    stream_life_stop(sp);
    sp->closing = true;
    /* It is off its context's lists, and stays so. */
    if (pipe->end == DUCT_OK)
        pipe->end = DUCT_ECLOSED;
    /* What the peer sent and nobody took would have the kernel reset the connection, and what we sent with it. */
    if (sp->in != NULL) {
        sp->in->discarding = true;
        stream_pull_all(sp);
    }
    /* Whom we gave up may be there all the same, and is not to take that for an orderly end. */
    stream_send_close(sp, pipe->end, code, text);
    stream_shut(sp);
    stream_end(sp->stream, DUCT_ECLOSED);
    /* Nobody posts any more; what was posted refers to this handle. */
    di_context_run_posts(context);
    /* Reaps what was cancelled, so that descriptors do not wait for the caller's next wait. */
    if (!recall(sp) && di_context_reap(context) == DUCT_EOS)
        di_log(DUCT_LOG_ERROR,
               "the context's loop failed; a closed pipe stays until it is closed too");
}
