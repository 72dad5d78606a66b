/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>

#include "tests/conformance/suite.h"

/* The exported descriptors: readable exactly while there is something to do. */

static bool readable(int fd, int64_t timeout_ns)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};

    return poll(&ask, 1, (int)(timeout_ns / DUCT_MILLISECOND)) == 1;
}

enum { MESSAGES = 12 };

/* The other side sends so many when told, tells when done, and so on until it is told once more. */
static void there_sends_rounds(struct side *s)
{
    for (uint64_t count = 1; count <= MESSAGES; count++) {
        await(s);
        for (uint64_t i = 0; i < count; i++)
            put(s, i % 3 == 1 ? 300 : 8, i);
        tell(s);
    }
    await(s);
}

/* Nothing may be there any more: receives until it says so, polling in between. */
static void quiet(struct side *s, int fd)
{
    struct duct_msg msg;

    GIVES(s, duct_recv(s->pipe, &msg, 0), DUCT_EAGAIN);
    CHECK(s, !readable(fd, 0));
}

static void pipe_fd(struct side *s)
{
    int fd = -1, same;

    OK(s, duct_pipe_fd(s->pipe, &fd));
    OK(s, duct_pipe_fd(s->pipe, &same));
    CHECK(s, fd >= 0 && fd == same);
    GIVES(s, duct_pipe_fd(s->pipe, NULL), DUCT_EINVAL);
    CHECK(s, readable(fd, 0));
    quiet(s, fd);
    for (uint64_t count = 1; count <= MESSAGES; count++) {
        tell(s);
        CHECK(s, readable(fd, SOON));
        await(s);
        for (uint64_t i = 0; i < count; i++) {
            CHECK(s, readable(fd, 0));
            take(s, i % 3 == 1 ? 300 : 8, i);
        }
        quiet(s, fd);
    }
    /* It works beside the calls that wait. */
    struct duct_msg msg;
    GIVES(s, duct_recv(s->pipe, &msg, A_BIT), DUCT_ETIMEOUT);
    quiet(s, fd);
    tell(s);
    CHECK(s, readable(fd, SOON));
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECLOSED);
    CHECK(s, readable(fd, 0));
}

CONFORMS(pipe_fd, 0, 0, "", pipe_fd, there_sends_rounds)
CONFORMS(pipe_fd_parked, 0, 0, "wait=park", pipe_fd, there_sends_rounds)
CONFORMS(pipe_fd_socket, 0, 0, "bell=socket", pipe_fd, there_sends_rounds)

/* Every call of the pipe's keeps the rule, also a receive that waited. */
static void pipe_fd_mixed(struct side *s)
{
    int fd;

    OK(s, duct_pipe_fd(s->pipe, &fd));
    for (uint64_t count = 1; count <= MESSAGES; count++) {
        tell(s);
        /* Some are received by a wait before the descriptor was ever looked at. */
        for (uint64_t i = 0; i < count; i++)
            take(s, i % 3 == 1 ? 300 : 8, i);
        await(s);
        quiet(s, fd);
    }
    tell(s);
}

CONFORMS(pipe_fd_mixed, 0, 0, "", pipe_fd_mixed, there_sends_rounds)
CONFORMS(pipe_fd_mixed_parked, 0, 0, "wait=park", pipe_fd_mixed, there_sends_rounds)

static void calm(struct side *s, int fd)
{
    struct duct_event events[4];
    size_t count;
    enum duct_err err;

    while ((err = duct_context_wait(s->context, events, 4, &count, 0)) == DUCT_OK)
        CHECK(s, count > 0 && events[0].type == DUCT_EVENT_STATE);
    GIVES(s, err, DUCT_EAGAIN);
    CHECK(s, !readable(fd, 0));
}

static void context_fd(struct side *s)
{
    struct duct_event event;
    size_t count;
    int fd = -1;

    OK(s, duct_context_fd(s->context, &fd));
    CHECK(s, fd >= 0 && readable(fd, 0));
    calm(s, fd);
    for (uint64_t messages = 1; messages <= MESSAGES; messages++) {
        tell(s);
        CHECK(s, readable(fd, SOON));
        await(s);
        for (uint64_t i = 0; i < messages; i++) {
            CHECK(s, readable(fd, 0));
            do {
                OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
            } while (count == 0);
            CHECK(s, event.type == DUCT_EVENT_READABLE);
            CHECK(s, readable(fd, 0));
            take(s, i % 3 == 1 ? 300 : 8, i);
        }
        calm(s, fd);
    }
    duct_context_wake(s->context);
    CHECK(s, readable(fd, 0));
    OK(s, duct_context_wait(s->context, &event, 1, &count, 0));
    CHECK(s, count == 0);
    calm(s, fd);
    tell(s);
    CHECK(s, readable(fd, SOON));
}

CONFORMS(context_fd, 0, 0, "", context_fd, there_sends_rounds)
CONFORMS(context_fd_parked, 0, 0, "wait=park", context_fd, there_sends_rounds)
CONFORMS(context_fd_socket, 0, 0, "bell=socket", context_fd, there_sends_rounds)
CONFORMS(context_fd_eventfd, 0, 0, "bell=eventfd", context_fd, there_sends_rounds)

/* A dialer is news; so is a pipe that ends. */
static void context_fd_accepts(struct side *s)
{
    struct duct_event event;
    size_t count;
    int fd;

    side_listen(s, s->bare);
    OK(s, duct_context_fd(s->context, &fd));
    calm(s, fd);
    tell(s);
    do {
        CHECK(s, readable(fd, SOON));
        enum duct_err err = duct_context_wait(s->context, &event, 1, &count, 0);
        CHECK(s, err == DUCT_OK || err == DUCT_EAGAIN);
    } while (count == 0);
    CHECK(s, event.type == DUCT_EVENT_ACCEPTED && readable(fd, 0));
    OK(s, duct_accept(s->listener, &s->pipe, 0));
    calm(s, fd);
    tell(s);
    bool closed = false;
    while (!closed) {
        CHECK(s, readable(fd, SOON));
        enum duct_err err = duct_context_wait(s->context, &event, 1, &count, 0);
        CHECK(s, err == DUCT_OK || err == DUCT_EAGAIN);
        closed = count == 1 && event.type == DUCT_EVENT_CLOSED;
    }
    calm(s, fd);
}

static void dials_and_goes(struct side *s)
{
    await(s);
    side_dial(s, s->bare);
    await(s);
    duct_pipe_close(s->pipe);
}

CONFORMS(context_fd_accepts, 0, BARE, "", context_fd_accepts, dials_and_goes)
