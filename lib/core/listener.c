/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/core/listener.h"

#include "lib/base/error.h"
#include "lib/base/log.h"
#include "lib/base/system.h"
#include "lib/core/context.h"

/* Listeners, as far as they are the same for every transport. */

enum duct_err duct_listen(struct duct_listener **listener, const char *url,
                          const struct duct_options *options)
{
    struct duct_context *context = options != NULL && options->size >= 16 ? options->context : NULL;
    struct di_options merged;
    struct di_url parsed;
    enum duct_err err;

    if (listener == NULL || url == NULL)
        return di_fail(DUCT_EINVAL, "duct_listen: %s is NULL", url == NULL ? "url" : "listener");
    if ((err = di_context_resolve(&context)) != DUCT_OK ||
        (err = di_url_parse(&parsed, url)) != DUCT_OK)
        return err;
    const struct di_transport *transport = di_transport_find(parsed.scheme);
    if (transport == NULL)
        return di_fail(DUCT_EINVAL, "listen %s: no scheme \"%s\"; expected one of %s", url,
                       parsed.scheme, di_transport_names());
    if ((err = di_options_merge(&merged, options, &parsed,
                                transport->costly_looks ? 1 : di_cpus())) != DUCT_OK)
        return err;
    err = transport->listen(context, &parsed, &merged, listener);
    di_options_fini(&merged);
    return err;
}

static enum duct_err check(const struct duct_listener *listener)
{
    if (listener == NULL || listener->magic != DI_LISTENER_MAGIC)
        return di_fail(DUCT_EINVAL, "this is not an open listener");
    return di_context_check(listener->context);
}

enum duct_err duct_accept(struct duct_listener *listener, struct duct_pipe **pipe,
                          int64_t timeout_ns)
{
    enum duct_err err = check(listener);

    if (err != DUCT_OK)
        return err;
    if (pipe == NULL || timeout_ns < 0)
        return di_fail(DUCT_EINVAL, "duct_accept: %s",
                       pipe == NULL ? "pipe is NULL" : "timeout_ns is negative");
    struct duct_context *context = listener->context;
    if (timeout_ns > 0 && context->running)
        return di_fail(DUCT_EINVAL,
                       "duct_accept with a timeout waits, and was called inside a callback");
    int64_t deadline = timeout_ns == 0              ? 0
                       : timeout_ns == DUCT_FOREVER ? INT64_MAX
                                                    : di_context_deadline(context, timeout_ns);
    for (bool looked = false;; looked = true) {
        err = listener->ops->accept(listener, pipe);
        if (err == DUCT_EAGAIN && listener->stopped && listener->ops->under_way(listener) == 0) {
            err =
                di_fail(DUCT_ECLOSED, "%s was shut down, and every pipe was taken", listener->url);
            break;
        }
        if (err != DUCT_EAGAIN || (deadline == 0 && (looked || context->running)))
            break;
        if (looked && di_context_over(context, deadline)) {
            err = DUCT_ETIMEOUT;
            break;
        }
        err = di_context_sleep(context, deadline);
        if (err != DUCT_OK && err != DUCT_EAGAIN)
            break;
    }
    di_context_signal(context);
    return err;
}

/* Twice as many as the loop may put off what it is asked for. */
#define TURNS_MAX 16u

bool di_listener_recall(struct duct_listener *listener, struct di_io_op *op)
{
    enum duct_err err = DUCT_OK;

    di_io_cancel(listener->context->io, op);
    /* A turn that finds other things done, of dialers that hang up, puts off what we have just asked for. */
    for (unsigned turn = 0; turn < TURNS_MAX && op->in_flight && err != DUCT_EOS; turn++)
        err = di_context_reap(listener->context);
    if (err == DUCT_EOS)
        di_log(DUCT_LOG_ERROR,
               "the context's loop failed; a closed listener stays until it is closed");
    return !op->in_flight;
}

enum duct_err duct_listener_shutdown(struct duct_listener *listener, int64_t timeout_ns)
{
    enum duct_err err = check(listener);

    if (err != DUCT_OK)
        return err;
    struct duct_context *context = listener->context;
    if (timeout_ns < 0 || (timeout_ns > 0 && context->running))
        return di_fail(DUCT_EINVAL, "duct_listener_shutdown: %s",
                       timeout_ns < 0
                           ? "timeout_ns is negative"
                           : "with a timeout it waits, and was called inside a callback");
    if (listener->ops->shut_down == NULL)
        return di_fail(DUCT_ENOTSUP, "%s has one peer and nobody under way: close it",
                       listener->url);
    if (!listener->stopped)
        listener->ops->shut_down(listener);
    listener->stopped = true;
    int64_t deadline =
        timeout_ns == DUCT_FOREVER ? INT64_MAX : di_context_deadline(context, timeout_ns);
    while (listener->ops->under_way(listener) > 0 && err == DUCT_OK) {
        if (timeout_ns == 0)
            err = DUCT_EAGAIN;
        else if ((err = di_context_sleep(context, deadline)) == DUCT_OK &&
                 di_context_over(context, deadline))
            err = DUCT_ETIMEOUT;
    }
    di_context_signal(context);
    return err;
}

void duct_listener_close(struct duct_listener *listener)
{
    if (listener == NULL || check(listener) != DUCT_OK)
        return;
    listener->magic = DI_LIVE_CLOSED;
    di_list_remove(&listener->link);
    listener->ops->close(listener);
}

const char *duct_listener_url(const struct duct_listener *listener)
{
    return listener->url;
}

const char *duct_listener_path(const struct duct_listener *listener)
{
    return listener->path;
}

uint64_t duct_listener_refused(const struct duct_listener *listener)
{
    const struct di_listener_ops *ops = listener->ops;

    return ops->refused != NULL ? ops->refused(listener) : listener->refused;
}

struct duct_context *duct_listener_context(const struct duct_listener *listener)
{
    return listener->context;
}
