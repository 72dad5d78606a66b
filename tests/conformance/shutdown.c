/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/suite.h"

/* Ends that let things finish: a listener that takes nobody new, and a pipe whose peer has had everything. */

/* ---- A listener ---- */

static void shuts_down(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *next;
    struct duct_event event;
    struct duct_pipe *pipe;
    size_t count;

    side_listen(s, s->bare);
    tell(s);
    /* One pipe is there, and not taken. */
    do {
        OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
    } while (count == 0 || event.type != DUCT_EVENT_ACCEPTED);
    await(s);
    OK(s, duct_listener_shutdown(s->listener, SOON));
    OK(s, duct_listener_shutdown(s->listener, 0));
    GIVES(s, duct_listener_shutdown(s->listener, -1), DUCT_EINVAL);
    tell(s);
    await(s);
    side_accept(s);
    take(s, 100, 1);
    GIVES(s, duct_accept(s->listener, &pipe, SOON), DUCT_ECLOSED);
    GIVES(s, duct_accept(s->listener, &pipe, 0), DUCT_ECLOSED);
    /* The address is free. */
    options.context = s->context;
    OK(s, duct_listen(&next, s->bare, &options));
    duct_listener_close(s->listener);
    duct_listener_close(next);
}

static void dials_twice(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *second;
    struct duct_msg end;

    await(s);
    side_dial(s, s->bare);
    tell(s);
    await(s);
    options.context = s->context;
    options.dial_ns = SOON;
    GIVES(s, duct_dial(&second, s->bare, &options), DUCT_ENOTFOUND);
    tell(s);
    put(s, 100, 1);
    GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
}

CONFORMS(shutdown_of_a_listener, 0, BARE, "", shuts_down, dials_twice)

/* Whoever dials in the same moment has a pipe on both sides or on neither. */
enum { ROUNDS = 20 };

static void shuts_down_at_once(struct side *s)
{
    for (int i = 0; i < ROUNDS; i++) {
        side_listen(s, s->bare);
        tell(s);
        OK(s, duct_listener_shutdown(s->listener, SOON));
        enum duct_err err = duct_accept(s->listener, &s->pipe, SOON);
        CHECK(s, err == DUCT_OK || err == DUCT_ECLOSED);
        duct_listener_close(s->listener);
        if (err == DUCT_OK) {
            take(s, 100, (uint64_t)i);
            duct_pipe_close(s->pipe);
        }
        await(s);
    }
}

static void dials_meanwhile(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_msg end;

    options.context = side_context(s);
    options.dial_ns = SOON;
    for (int i = 0; i < ROUNDS; i++) {
        await(s);
        enum duct_err err = duct_dial(&s->pipe, s->bare, &options);
        CHECK(s, err == DUCT_OK || err == DUCT_ENOTFOUND || err == DUCT_EPEER);
        if (err == DUCT_OK) {
            put(s, 100, (uint64_t)i);
            GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
            duct_pipe_close(s->pipe);
        }
        tell(s);
    }
}

CONFORMS(shutdown_while_somebody_dials, 0, BARE, "", shuts_down_at_once, dials_meanwhile)

/* ---- A pipe ---- */

static void drains(struct side *s)
{
    OK(s, duct_pipe_drain(s->pipe, 0));
    for (uint64_t i = 0; i < 20; i++)
        put(s, 100, i);
    GIVES(s, duct_pipe_drain(s->pipe, 0), DUCT_EAGAIN);
    GIVES(s, duct_pipe_drain(s->pipe, A_BIT), DUCT_ETIMEOUT);
    tell(s);
    OK(s, duct_pipe_drain(s->pipe, SOON));
    OK(s, duct_pipe_drain(s->pipe, 0));
    /* What arrives is for us, drained or not. */
    tell(s);
    for (uint64_t i = 0; i < 3; i++)
        take(s, 100, i);
    put(s, 100, 20);
    OK(s, duct_pipe_drain(s->pipe, SOON));
    duct_pipe_close(s->pipe);
    GIVES(s, duct_pipe_drain(NULL, 0), DUCT_EINVAL);
}

static void takes_when_told(struct side *s)
{
    struct duct_msg end;
    char byte;
    size_t size;

    await(s);
    for (uint64_t i = 0; i < 20; i++)
        take(s, 100, i);
    /* Its loop runs, so that it can say so. */
    GIVES(s, duct_read(s->pipe, &byte, 1, &size, NULL, A_BIT), DUCT_ETIMEOUT);
    await(s);
    for (uint64_t i = 0; i < 3; i++)
        put(s, 100, i);
    take(s, 100, 20);
    GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
}

CONFORMS(drain_of_a_pipe, 0, 0, "", drains, takes_when_told)
