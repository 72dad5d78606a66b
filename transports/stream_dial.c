/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/crash.h"
#include "transports/stream_meet.h"

/*
 * Dialling: the addresses of a name in their order, each begun when the one before has failed or was given a while, so that
 * one that swallows everything does not take the time of all (the idea of RFC 8305). The first that connects is the
 * one, the others are closed; then the handshake.
 */

/* What an address is given before the next is begun as well: more than most round trips, and no more than its part of the
 * dial's time. */
#define PACE_NS (250 * DUCT_MILLISECOND)

struct dial;

struct attempt {
    struct di_io_op connect; /* first */
    struct dial *dial;
    bool connecting;
};

struct dial {
    struct duct_context *context;
    const struct stream_scheme *scheme;
    const struct di_options *options;
    const struct di_offer *offer; /* to share memory; NULL: none */
    struct stream_address addresses[STREAM_ADDRESSES_MAX];
    struct attempt attempts[STREAM_ADDRESSES_MAX]; /* one for each */
    unsigned count, next;                          /* addresses; the one to be begun next */
    unsigned connecting;                           /* attempts that are */
    const char *name;                              /* the address that connected */
    struct di_io_op pace;                          /* until the next is begun */
    struct di_io_op retry;
    struct stream_meet meet;
    bool pacing, retrying, meeting;
    bool busy; /* an address has a listener whose queue is full */
    bool closed;
    unsigned parts;       /* the dial itself, and each operation and meeting that is not over */
    enum duct_err result; /* of the addresses; DUCT_OK: none has failed */
    char detail[DI_DETAIL_MAX]; /* of all that failed */
};

static void part_over(struct dial *dial)
{
    if (--dial->parts == 0)
        free(dial);
}

static void drop_socket(struct attempt *attempt)
{
    struct di_io *io = attempt->dial->context->io;

    di_io_forget(io, &attempt->connect);
    di_io_close_socket(io, attempt->connect.fd);
}

/* All that is under way, but the meeting. */
static void cancel_all(struct dial *dial)
{
    struct di_io *io = dial->context->io;

    for (unsigned i = 0; i < dial->next; i++) {
        if (dial->attempts[i].connecting)
            di_io_cancel(io, &dial->attempts[i].connect);
    }
    if (dial->pacing)
        di_io_cancel(io, &dial->pace);
    if (dial->retrying)
        di_io_cancel(io, &dial->retry);
}

static void on_met(struct stream_meet *meet, enum duct_err err)
{
    (void)meet; /* poll() looks at it */
    (void)err;
}

static void on_meet_freed(struct stream_meet *meet)
{
    part_over(meet->user);
}

static void begin_meeting(struct dial *dial, struct attempt *attempt)
{
    di_io_forget(dial->context->io, &attempt->connect);
    DI_CRASH_POINT("stream.connected");
    dial->name = dial->addresses[attempt - dial->attempts].name;
    dial->meet = (struct stream_meet){.done = on_met, .freed = on_meet_freed, .user = dial};
    dial->meeting = true;
    dial->parts++;
    cancel_all(dial);
    /* The dial's own deadline is kept by the caller. */
    stream_meet_begin(&dial->meet, dial->context, attempt->connect.fd, dial->scheme, true,
                      dial->options, dial->offer, DUCT_FOREVER);
}

static enum duct_err why_failed(const struct stream_address *address, int error)
{
    const char *name = address->name;

    if (error == ECONNREFUSED || error == ENOENT)
        return di_fail(DUCT_ENOTFOUND,
                       "nobody listens at %s; start the listener first, or dial with "
                       "wait_listener=1",
                       name);
    if (address->at.ss_family != AF_UNIX && (error == EACCES || error == EPERM))
        return di_fail(DUCT_EDENIED,
                       "connecting to %s: a route or a firewall of this machine forbids it", name);
    return di_fail_os(error, "connecting to %s", name);
}

/* Of several that failed, one where nobody listens counts: there is a machine, and somebody may come. */
static void address_failed(struct dial *dial, const struct attempt *attempt, int error)
{
    enum duct_err err = why_failed(&dial->addresses[attempt - dial->attempts], error);
    size_t said = strlen(dial->detail);

    if (dial->result == DUCT_OK || err == DUCT_ENOTFOUND)
        dial->result = err;
    snprintf(dial->detail + said, sizeof(dial->detail) - said, "%s%s", said > 0 ? "; " : "",
             duct_err_detail());
    /* A listener that is there, with more peers before its door than it lets wait: asked again. */
    dial->busy |= error == EAGAIN;
}

static void on_connected(struct di_io_op *op, int result);

static void connect_next(struct dial *dial)
{
    const struct stream_address *address = &dial->addresses[dial->next];
    struct attempt *attempt = &dial->attempts[dial->next++];
    int fd = di_io_open_socket(dial->context->io, address->at.ss_family);

    if (fd < 0) {
        address_failed(dial, attempt, -fd);
        return;
    }
    *attempt = (struct attempt){.connect = {.done = on_connected,
                                            .kind = DI_IO_CONNECT,
                                            .fd = fd,
                                            .address = (const struct sockaddr *)&address->at,
                                            .address_size = address->size},
                                .dial = dial,
                                .connecting = true};
    dial->connecting++;
    dial->parts++;
    di_io_submit(dial->context->io, &attempt->connect);
}

static void on_connected(struct di_io_op *op, int result)
{
    struct attempt *attempt = (struct attempt *)op;
    struct dial *dial = attempt->dial;
    bool over = dial->closed || dial->meeting;

    attempt->connecting = false;
    dial->connecting--;
    if (result == 0 && !over) {
        begin_meeting(dial, attempt);
    } else {
        if (!over)
            address_failed(dial, attempt, result == DI_IO_CANCELED ? ECANCELED : op->error);
        drop_socket(attempt);
        if (!over && dial->next < dial->count)
            connect_next(dial);
    }
    part_over(dial);
}

static void begin_timer(struct dial *dial, struct di_io_op *timer, di_io_done_fn *done,
                        int64_t time_ns)
{
    *timer = (struct di_io_op){.done = done, .kind = DI_IO_TIMER};
    timer->deadline = di_context_deadline(dial->context, time_ns);
    dial->parts++;
    di_io_submit(dial->context->io, timer);
}

static void on_pace(struct di_io_op *op, int result)
{
    struct dial *dial = di_container(op, struct dial, pace);

    dial->pacing = false;
    if (result == 0 && !dial->closed && !dial->meeting && dial->next < dial->count)
        connect_next(dial);
    part_over(dial);
}

static void on_retry(struct di_io_op *op, int result)
{
    struct dial *dial = di_container(op, struct dial, retry);

    (void)result;
    dial->retrying = false;
    dial->busy = false;
    dial->next = 0;
    dial->result = DUCT_OK;
    dial->detail[0] = '\0';
    part_over(dial);
}

/* Begins what is due: an address where no other is being asked, and the time until the next is asked as well. */
static void go_on(struct dial *dial)
{
    int64_t share = dial->options->o.dial_ns / (dial->count + 1);

    while (dial->connecting == 0 && dial->next < dial->count)
        connect_next(dial);
    if (dial->connecting > 0 && dial->next < dial->count && !dial->pacing) {
        begin_timer(dial, &dial->pace, on_pace, share < PACE_NS ? share : PACE_NS);
        dial->pacing = true;
    }
}

struct stream_meet *stream_dial_choice(void *handle)
{
    struct dial *dial = handle;
    bool choose = dial->meeting && dial->meet.finished && dial->meet.result == DUCT_OK &&
                  dial->meet.shake.state == DI_SHAKE_CHOOSE;

    return choose ? &dial->meet : NULL;
}

static enum duct_err dial_poll(void *handle, struct duct_pipe **pipe)
{
    struct dial *dial = handle;

    if (dial->meeting) {
        if (!dial->meet.finished || stream_dial_choice(dial) != NULL)
            return DUCT_EAGAIN;
        if (dial->meet.result == DUCT_OK)
            return stream_meet_take(&dial->meet, pipe);
        return di_fail(dial->meet.result, "dial %s: %s", dial->name, dial->meet.detail);
    }
    if (dial->retrying)
        return DUCT_EAGAIN;
    go_on(dial);
    if (dial->connecting > 0)
        return DUCT_EAGAIN;
    if (!dial->busy &&
        (dial->result != DUCT_ENOTFOUND || dial->options->o.wait_for_listener != DUCT_YES))
        return di_fail(dial->result, "%s", dial->detail);
    begin_timer(dial, &dial->retry, on_retry, DI_RETRY_NS);
    dial->retrying = true;
    return DUCT_EAGAIN;
}

static void dial_close(void *handle)
{
    struct dial *dial = handle;

    dial->closed = true;
    cancel_all(dial);
    if (dial->meeting)
        stream_meet_close(&dial->meet);
    part_over(dial);
}

const struct di_dial_ops stream_dial_ops = {.poll = dial_poll, .close = dial_close};

enum duct_err stream_check_options(const struct di_url *url, const struct duct_options *o)
{
    if (o->durable != DUCT_YES)
        return DUCT_OK;
    return di_fail(DUCT_ENOTSUP,
                   "%s with durable=1: a stream keeps nothing when its processes die; durable "
                   "pipes are shm:// only",
                   url->scheme);
}

enum duct_err stream_dial(struct duct_context *context, const struct stream_scheme *scheme,
                          const struct di_url *url, const struct di_options *options,
                          const struct di_offer *offer, void **out)
{
    enum duct_err err = stream_check_options(url, &options->o);
    struct dial *dial = err == DUCT_OK ? calloc(1, sizeof(*dial)) : NULL;

    if (dial == NULL)
        return err != DUCT_OK ? err : di_fail(DUCT_ENOMEMORY, "no memory to dial");
    dial->context = context;
    dial->scheme = scheme;
    dial->options = options;
    dial->offer = offer;
    dial->parts = 1;
    err = scheme->resolve(url, dial->addresses, &dial->count);
    if (err != DUCT_OK) {
        free(dial);
        return err;
    }
    *out = dial;
    return DUCT_OK;
}
