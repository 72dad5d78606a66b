/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "lib/base/error.h"
#include "shm/names.h"
#include "transports/durable.h"
#include "transports/rendezvous.h"
#include "transports/shm.h"
#include "transports/shm_listen.h"
#include "transports/shm_pipe.h"

/* Dialling: connect to the listener's socket, now or when it is there, and meet. */

struct dial {
    struct durable_dial *durable; /* with durable=1 all is done there */
    struct duct_context *context;
    struct rendezvous rendezvous;
    const struct di_options *options;
    char path[DI_SOCKET_PATH_MAX + 1];
    struct di_io_op retry;
    bool retrying; /* retry is in flight */
    bool meeting;  /* the rendezvous has begun */
    bool leaving;  /* it failed, and is not freed yet */
    bool closed;
    unsigned parts; /* rendezvous and retry, as long as they are not over */
};

static void part_over(struct dial *dial)
{
    if (--dial->parts == 0)
        free(dial);
}

static void on_done(struct rendezvous *rendezvous, enum duct_err err)
{
    /* poll() looks at it. */
    (void)rendezvous;
    (void)err;
}

static void on_freed(struct rendezvous *rendezvous)
{
    struct dial *dial = rendezvous->user;

    dial->leaving = false;
    part_over(dial);
}

static void on_retry(struct di_io_op *op, int result)
{
    struct dial *dial = di_container(op, struct dial, retry);

    (void)result;
    dial->retrying = false;
    if (dial->closed)
        part_over(dial);
}

static void retry_later(struct dial *dial)
{
    dial->retry = (struct di_io_op){.done = on_retry, .kind = DI_IO_TIMER};
    dial->retry.deadline = di_context_deadline(dial->context, DI_RETRY_NS);
    dial->retrying = true;
    di_io_submit(dial->context->io, &dial->retry);
}

/* A listener that is not there yet, or goes away in the middle of the handshake, is waited for. */
static bool waits(const struct dial *dial)
{
    return dial->options->o.wait_for_listener == DUCT_YES;
}

/* Connects, and begins to meet; or, if so asked, plans the next try. */
static enum duct_err begin(struct dial *dial)
{
    int socket;
    enum duct_err err = di_names_connect(&socket, dial->path);

    if (err == DUCT_EAGAIN || (err == DUCT_ENOTFOUND && waits(dial))) {
        retry_later(dial);
        return DUCT_OK;
    }
    if (err != DUCT_OK)
        return err;
    dial->rendezvous.done = on_done;
    dial->rendezvous.freed = on_freed;
    dial->rendezvous.user = dial;
    /* The dial's own deadline is kept by the caller. */
    err = rendezvous_begin(&dial->rendezvous, dial->context, socket, true, dial->options,
                           DUCT_FOREVER);
    dial->meeting = err == DUCT_OK;
    if (dial->meeting) {
        dial->parts++;
    } else if (err == DUCT_EPEER && waits(dial)) {
        retry_later(dial);
        return DUCT_OK;
    }
    return err;
}

static enum duct_err dial_begin(struct duct_context *context, const struct di_url *url,
                                const struct di_options *options, void **out)
{
    struct dial *dial = calloc(1, sizeof(*dial));

    if (dial == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to dial");
    dial->context = context;
    dial->options = options;
    dial->parts = 1;
    bool durable = options->o.durable == DUCT_YES;
    enum duct_err err = durable ? durable_dial(context, url, options, &dial->durable)
                                : di_names_path(dial->path, sizeof(dial->path), url, false);
    if (err == DUCT_OK && !durable)
        err = begin(dial);
    if (err != DUCT_OK) {
        free(dial);
        return err;
    }
    *out = dial;
    return DUCT_OK;
}

static enum duct_err dial_poll(void *handle, struct duct_pipe **pipe)
{
    struct dial *dial = handle;
    struct rendezvous *rendezvous = &dial->rendezvous;

    if (dial->durable != NULL)
        return durable_dial_poll(dial->durable, pipe);
    if (!dial->meeting) {
        if (dial->retrying || dial->leaving)
            return DUCT_EAGAIN;
        enum duct_err err = begin(dial);
        return err == DUCT_OK ? DUCT_EAGAIN : err;
    }
    if (!rendezvous->finished)
        return DUCT_EAGAIN;
    /* A listener that has no room for it now is asked again, within the dial's time. */
    if (rendezvous->result == DUCT_EAGAIN || (rendezvous->result == DUCT_EPEER && waits(dial))) {
        dial->meeting = false;
        dial->leaving = true;
        retry_later(dial);
        rendezvous_close(rendezvous);
        return DUCT_EAGAIN;
    }
    if (rendezvous->result != DUCT_OK)
        return di_fail(rendezvous->result, "dial %s: %s", dial->path, rendezvous->detail);
    struct link *link = rendezvous_take_link(rendezvous);
    enum duct_err err = shm_pipe_start(pipe, link, dial->context, &dial->options->o);
    if (err != DUCT_OK)
        link_release(link);
    return err;
}

static void dial_close(void *handle)
{
    struct dial *dial = handle;

    if (dial->durable != NULL)
        durable_dial_close(dial->durable);
    dial->closed = true;
    if (dial->retrying) {
        dial->parts++;
        di_io_cancel(dial->context->io, &dial->retry);
    }
    if (dial->meeting)
        rendezvous_close(&dial->rendezvous);
    part_over(dial);
}

static const struct di_dial_ops dial_ops = {.poll = dial_poll, .close = dial_close};

const struct di_transport di_transport_shm = {
    .scheme = "shm", .dial_ops = &dial_ops, .dial = dial_begin, .listen = shm_listen};
