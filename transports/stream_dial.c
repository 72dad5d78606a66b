/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_dial.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/crash.h"
#include "transports/stream_meet.h"

/* Dialling: each address in turn, until one connects; then the handshake. */

struct dial {
    struct duct_context *context;
    const struct stream_scheme *scheme;
    const struct di_options *options;
    const struct di_offer *offer; /* to share memory; NULL: none */
    struct stream_address addresses[STREAM_ADDRESSES_MAX];
    unsigned count, at; /* the one that is tried */
    int fd;             /* connecting; -1: none */
    struct di_io_op connect;
    struct di_io_op retry;
    struct stream_meet meet;
    bool connecting, retrying, meeting;
    bool busy; /* an address has a listener whose queue is full */
    bool closed;
    unsigned parts;       /* the dial itself, and each of the three that is not over */
    enum duct_err result; /* of the last address; DUCT_OK: none has failed */
    char detail[DI_DETAIL_MAX];
};

static void part_over(struct dial *dial)
{
    if (--dial->parts == 0)
        free(dial);
}

static void drop_socket(struct dial *dial)
{
    if (dial->fd < 0)
        return;
    di_io_forget(dial->context->io, &dial->connect);
    di_io_close_socket(dial->context->io, dial->fd);
    dial->fd = -1;
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

static void begin_meeting(struct dial *dial)
{
    int fd = dial->fd;

    di_io_forget(dial->context->io, &dial->connect);
    dial->fd = -1;
    DI_CRASH_POINT("stream.connected");
    dial->meet = (struct stream_meet){.done = on_met, .freed = on_meet_freed, .user = dial};
    dial->meeting = true;
    dial->parts++;
    /* The dial's own deadline is kept by the caller. */
    stream_meet_begin(&dial->meet, dial->context, fd, dial->scheme, true, dial->options,
                      dial->offer, DUCT_FOREVER);
}

static void address_failed(struct dial *dial, int error)
{
    const struct stream_address *address = &dial->addresses[dial->at];
    const char *name = address->name;

    if (error == ECONNREFUSED || error == ENOENT)
        dial->result = di_fail(DUCT_ENOTFOUND,
                               "nobody listens at %s; start the listener first, or dial with "
                               "wait_listener=1",
                               name);
    else if (address->at.ss_family != AF_UNIX && (error == EACCES || error == EPERM))
        dial->result =
            di_fail(DUCT_EDENIED,
                    "connecting to %s: a route or a firewall of this machine forbids it", name);
    else
        dial->result = di_fail_os(error, "connecting to %s", name);
    snprintf(dial->detail, sizeof(dial->detail), "%s", duct_err_detail());
    drop_socket(dial);
    dial->at++;
}

/* A listener that is there, with more peers before its door than it lets wait: asked again, within the dial's time. */
static void address_busy(struct dial *dial)
{
    dial->busy = true;
    address_failed(dial, EAGAIN);
}

static void on_connected(struct di_io_op *op, int result)
{
    struct dial *dial = di_container(op, struct dial, connect);

    dial->connecting = false;
    if (dial->closed) {
        drop_socket(dial);
    } else if (result == 0) {
        begin_meeting(dial);
    } else if (result == DI_IO_FAILED && op->error == EAGAIN) {
        address_busy(dial);
    } else {
        address_failed(dial, result == DI_IO_CANCELED ? ECANCELED : op->error);
    }
    part_over(dial);
}

static void connect_next(struct dial *dial)
{
    const struct stream_address *address = &dial->addresses[dial->at];

    dial->fd = di_io_open_socket(dial->context->io, address->at.ss_family);
    if (dial->fd < 0) {
        address_failed(dial, -dial->fd);
        return;
    }
    dial->connect = (struct di_io_op){.done = on_connected,
                                      .kind = DI_IO_CONNECT,
                                      .fd = dial->fd,
                                      .address = (const struct sockaddr *)&address->at,
                                      .address_size = address->size};
    dial->connecting = true;
    dial->parts++;
    di_io_submit(dial->context->io, &dial->connect);
}

static void on_retry(struct di_io_op *op, int result)
{
    struct dial *dial = di_container(op, struct dial, retry);

    (void)result;
    dial->retrying = false;
    dial->busy = false;
    dial->at = 0;
    part_over(dial);
}

static void retry_later(struct dial *dial)
{
    dial->retry = (struct di_io_op){.done = on_retry, .kind = DI_IO_TIMER};
    dial->retry.deadline = di_context_deadline(dial->context, DI_RETRY_NS);
    dial->retrying = true;
    dial->parts++;
    di_io_submit(dial->context->io, &dial->retry);
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
        return di_fail(dial->meet.result, "dial %s: %s", dial->addresses[dial->at].name,
                       dial->meet.detail);
    }
    if (dial->connecting || dial->retrying)
        return DUCT_EAGAIN;
    while (dial->at < dial->count) {
        connect_next(dial);
        if (dial->connecting)
            return DUCT_EAGAIN;
    }
    if (!dial->busy &&
        (dial->result != DUCT_ENOTFOUND || dial->options->o.wait_for_listener != DUCT_YES))
        return di_fail(dial->result, "%s", dial->detail);
    retry_later(dial);
    return DUCT_EAGAIN;
}

static void dial_close(void *handle)
{
    struct dial *dial = handle;

    dial->closed = true;
    if (dial->connecting)
        di_io_cancel(dial->context->io, &dial->connect);
    if (dial->retrying)
        di_io_cancel(dial->context->io, &dial->retry);
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
    dial->fd = -1;
    err = scheme->resolve(url, dial->addresses, &dial->count);
    if (err != DUCT_OK) {
        free(dial);
        return err;
    }
    *out = dial;
    return DUCT_OK;
}
