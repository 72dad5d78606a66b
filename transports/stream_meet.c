/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_meet.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/crash.h"
#include "lib/base/random.h"

/* Least that a payload of CLOSE, and some room for what later versions add, ask of a frame. */
#define FRAME_LEAST 1024u

static void settle(struct stream_meet *meet)
{
    if (meet->in_flight > 0 || !meet->closed)
        return;
    if (meet->fd >= 0) {
        di_io_forget(meet->context->io, &meet->in);
        di_io_close_socket(meet->context->io, meet->fd);
        meet->fd = -1;
    }
    stream_quota_give(meet->quota);
    meet->quota = NULL;
    meet->freed(meet);
}

static void finish(struct stream_meet *meet, enum duct_err err)
{
    if (meet->finished)
        return;
    meet->finished = true;
    meet->result = err;
    if (err != DUCT_OK)
        snprintf(meet->detail, sizeof(meet->detail), "%s", duct_err_detail());
    di_io_cancel(meet->context->io, &meet->in);
    di_io_cancel(meet->context->io, &meet->timer);
    if (!meet->closed)
        meet->done(meet, err);
}

static enum duct_err hung_up(const struct stream_meet *meet, int error)
{
    if (error != 0 && error != ECONNRESET && error != EPIPE)
        return di_fail_os(error, "during the handshake");
    return di_fail(DUCT_EPEER, "the peer hung up during the handshake%s",
                   meet->filled > 0 || meet->shake.state != DI_SHAKE_HELLO
                       ? ""
                       : ", without a word; is it a duct listener?");
}

/* A HELLO is about to be answered: with a refusal, if whoever listens has reasons of its own. */
static enum duct_err admit(struct stream_meet *meet, unsigned char *reply, size_t *size)
{
    if (meet->admit == NULL || meet->shake.state != DI_SHAKE_READY || meet->shake.dialer ||
        meet->admitted)
        return DUCT_OK;
    enum duct_err err = meet->admit(meet);
    if (err != DUCT_OK)
        *size = di_shake_refuse(reply, err, duct_err_detail());
    meet->admitted = err == DUCT_OK;
    return err;
}

/* Sends what is to be said, as far as it goes. AGAIN: the rest waits for room, of which even a socket that was just
 * connected may have none when the kernel is short of memory. */
static enum duct_err push(struct stream_meet *meet)
{
    while (meet->unsaid > 0) {
        const struct iovec piece = {meet->out, meet->unsaid};
        int64_t sent = di_io_try_send(meet->context->io, meet->fd, &piece, 1);
        if (sent == -EAGAIN)
            return DUCT_EAGAIN;
        if (sent < 0)
            return hung_up(meet, (int)-sent);
        meet->unsaid -= (size_t)sent;
        memmove(meet->out, meet->out + sent, meet->unsaid);
    }
    return DUCT_OK;
}

/* As push(), with some more; a handshake says at most as much as there is room for. */
static enum duct_err say(struct stream_meet *meet, const unsigned char *bytes, size_t size)
{
    if (size > sizeof(meet->out) - meet->unsaid)
        return di_fail(DUCT_ECORRUPT, "the peer takes nothing of the handshake, and goes on");
    if (size > 0)
        memcpy(meet->out + meet->unsaid, bytes, size);
    meet->unsaid += size;
    DI_CRASH_POINT("stream.say_due");
    enum duct_err err = push(meet);
    DI_CRASH_POINT("stream.said");
    return err;
}

/* Takes the messages that are there. AGAIN: more have to come. */
static enum duct_err take_messages(struct stream_meet *meet)
{
    unsigned char reply[DI_SHAKE_MAX];
    size_t used, size;

    while (meet->shake.state < DI_SHAKE_CHOOSE) {
        if (meet->filled == 0)
            return DUCT_EAGAIN;
        enum duct_err err =
            di_shake_take(&meet->shake, meet->bytes, meet->filled, &used, reply, &size);
        if (err == DUCT_EAGAIN)
            return err;
        if (err == DUCT_OK)
            err = admit(meet, reply, &size);
        enum duct_err said = say(meet, reply, size);
        if (err != DUCT_OK)
            return err;
        if (said != DUCT_OK && said != DUCT_EAGAIN)
            return said;
        meet->filled -= used;
        memmove(meet->bytes, meet->bytes + used, meet->filled);
    }
    return DUCT_OK;
}

static enum duct_err receive(struct stream_meet *meet)
{
    enum duct_err said = push(meet);

    if (said != DUCT_OK && said != DUCT_EAGAIN)
        return said;
    for (;;) {
        const struct iovec room = {meet->bytes + meet->filled, sizeof(meet->bytes) - meet->filled};
        int64_t got = di_io_try_recv(meet->context->io, meet->fd, &room, 1);
        if (got == -EAGAIN)
            return DUCT_EAGAIN;
        if (got <= 0)
            return hung_up(meet, (int)-got);
        meet->filled += (size_t)got;
        DI_CRASH_POINT("stream.told");
        said = take_messages(meet);
        if (said != DUCT_EAGAIN)
            return said;
    }
}

/* Keeps what came for the pipe. PEER and others: it is over. */
static enum duct_err look_for_end(struct stream_meet *meet)
{
    const struct iovec room = {meet->bytes + meet->filled, sizeof(meet->bytes) - meet->filled};
    int64_t got =
        room.iov_len > 0 ? di_io_try_recv(meet->context->io, meet->fd, &room, 1) : -EAGAIN;

    if (got == -EAGAIN)
        return DUCT_OK;
    if (got <= 0)
        return hung_up(meet, (int)-got);
    meet->filled += (size_t)got;
    return DUCT_OK;
}

static void watch(struct stream_meet *meet)
{
    const uint32_t events = POLLIN | POLLRDHUP | (meet->unsaid > 0 ? POLLOUT : 0);

    if (meet->in.events != events) {
        di_io_forget(meet->context->io, &meet->in);
        meet->in.events = events;
    }
    meet->in_flight++;
    di_io_submit(meet->context->io, &meet->in);
}

static void on_readable(struct di_io_op *op, int result)
{
    struct stream_meet *meet = di_container(op, struct stream_meet, in);

    /* Still counted as in flight, so that nothing that is done here frees the meeting. */
    if (!meet->finished && result != DI_IO_CANCELED) {
        enum duct_err err =
            result == DI_IO_FAILED ? di_fail(DUCT_ELIMIT, DI_IO_FAILED_TEXT) : receive(meet);
        if (err != DUCT_EAGAIN)
            finish(meet, err);
        else
            watch(meet);
    }
    meet->in_flight--;
    settle(meet);
}

static void on_timer(struct di_io_op *op, int result)
{
    struct stream_meet *meet = di_container(op, struct stream_meet, timer);

    if (result == 0 && !meet->finished) {
        enum duct_err err =
            di_fail(DUCT_ETIMEOUT, "the handshake was not complete within its time; the option "
                                   "handshake allows more");
        stream_meet_refuse(meet, err);
        finish(meet, di_fail(err, "the handshake was not complete within its time"));
    }
    meet->in_flight--;
    settle(meet);
}

void stream_meet_refuse(struct stream_meet *meet, enum duct_err err)
{
    unsigned char bytes[DI_SHAKE_MAX];

    /* A dialer that was told HELLO takes anything that follows for a frame. */
    if (meet->fd >= 0 && !meet->shake.dialer && meet->shake.state == DI_SHAKE_HELLO)
        (void)!say(meet, bytes, di_shake_refuse(bytes, err, duct_err_detail()));
}

static struct di_hello hello_of(const struct duct_options *o, bool dialer)
{
    return (struct di_hello){.version_min = DI_SHAKE_VERSION_MIN,
                             .version_max = DI_SHAKE_VERSION_MAX,
                             .frame_max = o->max_msg > FRAME_LEAST ? o->max_msg : FRAME_LEAST,
                             .message_max = o->max_msg,
                             .session = dialer ? di_random_u64() : 0};
}

void stream_meet_begin(struct stream_meet *meet, struct duct_context *context, int fd,
                       const struct stream_scheme *scheme, bool dialer,
                       const struct di_options *options, const struct di_offer *offer,
                       int64_t timeout_ns)
{
    unsigned char first[DI_SHAKE_MAX];
    struct di_hello own = hello_of(&options->o, dialer);

    if (offer != NULL) {
        own.has |= DI_SHAKE_OFFERS;
        own.offer = *offer;
    }
    meet->context = context;
    meet->scheme = scheme;
    meet->options = options;
    meet->fd = fd;
    meet->in = (struct di_io_op){.done = on_readable, .kind = DI_IO_POLL, .fd = fd};
    meet->timer = (struct di_io_op){.done = on_timer, .kind = DI_IO_TIMER};
    size_t size = di_shake_begin(&meet->shake, dialer, &own, first);
    scheme->tune(fd);
    enum duct_err err = scheme->identify(fd, options, &meet->peer);
    if (err != DUCT_OK)
        stream_meet_refuse(meet, err);
    else if ((err = say(meet, first, size)) == DUCT_EPEER) {
        /* It has hung up already, and may have said why before: that is read like any answer. */
        meet->unsaid = 0;
        err = DUCT_OK;
    }
    if (err != DUCT_OK && err != DUCT_EAGAIN) {
        finish(meet, err);
        return;
    }
    watch(meet);
    if (timeout_ns != DUCT_FOREVER) {
        meet->timer.deadline = di_context_deadline(context, timeout_ns);
        meet->in_flight++;
        di_io_submit(context->io, &meet->timer);
    }
}

void stream_draw_nonce(struct di_offer *offer)
{
    const uint64_t drawn[2] = {di_random_u64(), di_random_u64()};

    _Static_assert(sizeof(drawn) == sizeof(offer->nonce), "all of it");
    memcpy(offer->nonce, drawn, sizeof(drawn));
}

enum duct_err stream_meet_choose(struct stream_meet *meet, bool moved)
{
    unsigned char bytes[DI_SHAKE_MAX];

    /* Nobody has watched the socket since the two offers. */
    enum duct_err err = look_for_end(meet);
    if (err != DUCT_OK)
        return err;
    size_t size = di_shake_choose(&meet->shake, moved, bytes);
    DI_CRASH_POINT("choose.due");
    err = say(meet, bytes, size);
    if (err != DUCT_OK && err != DUCT_EAGAIN)
        return err;
    DI_CRASH_POINT("choose.said");
    return DUCT_OK;
}

enum duct_err stream_meet_take(struct stream_meet *meet, struct duct_pipe **pipe)
{
    struct stream *stream;
    enum duct_err err =
        stream_open(&stream, meet->fd, meet->scheme, &meet->shake, &meet->options->o);

    if (err != DUCT_OK)
        return err;
    di_io_forget(meet->context->io, &meet->in);
    meet->fd = -1;
    DI_CRASH_POINT("stream.opened");
    stream->peer = meet->peer;
    stream->quota = meet->quota;
    meet->quota = NULL;
    /* What the socket had no room for leaves before anything else. */
    const struct iovec rest = {meet->out, meet->unsaid};
    if (meet->unsaid > 0 && !di_sendq_copy(&stream->queue, &rest, 1, 0))
        err = di_fail(DUCT_ENOMEMORY, "no memory for what a pipe has to send");
    else
        err = stream_pipe_start(pipe, stream, meet->context, &meet->options->o, meet->bytes,
                                meet->filled);
    if (err != DUCT_OK)
        stream_release(stream, meet->context->io);
    return err;
}

void stream_meet_close(struct stream_meet *meet)
{
    meet->closed = true;
    meet->finished = true;
    di_io_cancel(meet->context->io, &meet->in);
    di_io_cancel(meet->context->io, &meet->timer);
    settle(meet);
}
