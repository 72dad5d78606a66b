/* SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>

#include "lib/core/pipe.h"

/*
 * How a call waits for one pipe: it tries, spins, says how to be woken, looks once more, sleeps,
 * and tries again. Whatever else the context has open goes on meanwhile.
 */

/* Polls before the first look at the clock: about as long as two cache lines take to arrive. */
#define POLLS_FIRST 512u
#define POLLS_NEXT  256u

/* Whether somebody asked this wait to end; clears the request. */
static bool canceled(struct duct_pipe *pipe)
{
    return di_request_take(&pipe->cancel) || di_request_take(&pipe->context->cancel);
}

/*
 * How long. A pipe that has to be asked spends here what its context would spend on looking: it asks its socket itself,
 * where the loop is told of it first (1.0 and 1.3 of a bare spin, ping-pong over tcp).
 */
static int64_t spin_time(const struct duct_pipe *pipe)
{
    int64_t own = pipe->wait == DUCT_WAIT_PARK ? 0 : pipe->spin_ns;
    int64_t busy = pipe->ops->pulled ? pipe->context->io->spin_ns : 0;

    return own > busy ? own : busy;
}

/* A sleep after that: the loop does not look once more. */
static enum duct_err sleep_spun(struct duct_context *context, int64_t deadline)
{
    int64_t spin_ns = context->io->spin_ns;

    di_io_spin(context->io, 0);
    enum duct_err err = di_context_sleep(context, deadline);
    di_io_spin(context->io, spin_ns);
    return err;
}

/* Spins as the options say. True if something is ready, or happened; false if it is time to sleep.
 */
static bool spin(struct duct_pipe *pipe, unsigned want, int64_t deadline)
{
    struct duct_context *context = pipe->context;
    bool forever = pipe->wait == DUCT_WAIT_SPIN || pipe->wait == DUCT_WAIT_YIELD;
    int64_t spin_ns = spin_time(pipe);

    if (!forever && spin_ns == 0)
        return false;
    if (pipe->ops->spin(pipe, want, POLLS_FIRST, true))
        return true;
    for (int64_t start = di_io_now(context->io);;) {
        if (pipe->ops->spin(pipe, want, POLLS_NEXT, false))
            return true;
        int64_t now = di_io_now(context->io);
        if (now >= deadline || (!forever && now - start >= spin_ns))
            return false;
        /* A sender that waits for long says so, or two that spin would never learn of each other. */
        if (forever && want != DI_READY_RECV && now - start >= DUCT_MILLISECOND)
            return false;
        /* Relaxed: a hint that canceled() settles. */
        if (atomic_load_explicit(&pipe->cancel, memory_order_relaxed) != 0 ||
            atomic_load_explicit(&context->cancel, memory_order_relaxed) != 0)
            return true;
        if (forever || context->io->spin_ns != 0)
            di_context_glance(context);
        if (pipe->end != DUCT_OK)
            return true;
        if (pipe->wait == DUCT_WAIT_YIELD)
            sched_yield();
    }
}

/* A call that must not wait found nothing: the kernel is asked now and then, or a caller that only
 * polls would never learn that its peer has died. */
static enum duct_err poll_only(struct duct_pipe *pipe, unsigned want, di_try_fn *again, void *args)
{
    struct duct_context *context = pipe->context;
    enum duct_err err = DUCT_OK;

    if (!(context->exported || pipe->exported) || context->running) {
        if (pipe->end == DUCT_OK)
            di_context_glance(context);
    } else {
        /* The exported descriptor must become unreadable now, unless there is something after all.
         */
        err = di_context_sleep(context, 0);
        if (err != DUCT_OK && err != DUCT_EAGAIN)
            return err;
        err = DUCT_OK;
        /* Only if there is nothing else to report of it either, and it has not lost its peer just now. */
        if (pipe->end == DUCT_OK &&
            pipe->ops->arm(pipe, want | di_pipe_wanted(pipe), false, &err) == 0 && err == DUCT_OK &&
            pipe->end == DUCT_OK && !di_pipe_has_news(pipe))
            di_list_remove(&pipe->active);
        di_context_signal(context);
        if (err != DUCT_OK)
            return err;
    }
    if (pipe->ops->pulled && err == DUCT_OK)
        pipe->ops->look(pipe);
    err = again(pipe, args);
    return err == DUCT_EAGAIN && pipe->end != DUCT_OK ? di_pipe_ended(pipe) : err;
}

static enum duct_err wait_for(struct duct_pipe *pipe, unsigned want, int64_t deadline,
                              di_try_fn *again, void *args)
{
    enum duct_err err;
    bool may_spin = true;

    for (;;) {
        if (canceled(pipe))
            return DUCT_ECANCELED;
        bool ready = may_spin && spin(pipe, want, deadline);
        may_spin = false;
        err = DUCT_OK;
        if (!ready && pipe->end == DUCT_OK && pipe->ops->arm(pipe, want, true, &err) == 0 &&
            err == DUCT_OK) {
            /* A forever-spinner does not really sleep. */
            may_spin = pipe->wait == DUCT_WAIT_SPIN || pipe->wait == DUCT_WAIT_YIELD;
            err = pipe->ops->pulled && !may_spin
                      ? sleep_spun(pipe->context, deadline)
                      : di_context_sleep(pipe->context, may_spin ? 0 : deadline);
            if (err == DUCT_EAGAIN)
                err = di_io_now(pipe->context->io) >= deadline ? DUCT_ETIMEOUT : DUCT_OK;
        }
        if (err != DUCT_OK && err != DUCT_ETIMEOUT)
            return err;
        enum duct_err tried = again(pipe, args);
        if (tried != DUCT_EAGAIN)
            return tried;
        if (pipe->end != DUCT_OK)
            return di_pipe_ended(pipe);
        if (err == DUCT_ETIMEOUT || di_context_over(pipe->context, deadline))
            return DUCT_ETIMEOUT;
    }
}

enum duct_err di_pipe_wait(struct duct_pipe *pipe, unsigned want, int64_t timeout_ns,
                           di_try_fn *again, void *args)
{
    struct duct_context *context = pipe->context;

    if (timeout_ns < 0)
        return di_fail(DUCT_EINVAL, "timeout_ns is %lld; expected 0, nanoseconds, or DUCT_FOREVER",
                       (long long)timeout_ns);
    if (pipe->end != DUCT_OK)
        return di_pipe_ended(pipe);
    if (timeout_ns == 0)
        return poll_only(pipe, want, again, args);
    if (context->running)
        return di_fail(DUCT_EINVAL,
                       "a call with a timeout was made inside a callback, where waiting "
                       "would stop every other pipe; give 0");
    int64_t deadline =
        timeout_ns == DUCT_FOREVER ? INT64_MAX : di_context_deadline(context, timeout_ns);
    enum duct_err err = wait_for(pipe, want, deadline, again, args);
    pipe->ops->disarm(pipe, want);
    /* What else happened meanwhile is for whoever polls the context's descriptor. */
    di_context_signal(context);
    return err;
}
