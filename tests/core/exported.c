/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <duct/duct.h>

/*
 * A foreign loop comes only when the context's descriptor is readable. So it must be after every call that
 * may have run the context's loop, and by that taken the news, whatever the call was about.
 */

static char url[128];

static bool readable(int fd)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};

    return poll(&ask, 1, 0) == 1;
}

/* Dials, says something, and goes; returns NULL if that went well. */
static void *visit(void *on_failure)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;

    options.wait_for_listener = DUCT_YES;
    if (duct_dial(&pipe, url, &options) != DUCT_OK || duct_write(pipe, "hello", 5, 0, 0) != DUCT_OK)
        return on_failure;
    duct_pipe_close(pipe);
    return NULL;
}

/* Waits for one event of that type, as a foreign loop does: only while the descriptor is readable. */
static void expect(struct duct_context *context, int fd, enum duct_event_type type)
{
    struct duct_event event = {0};
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    size_t count;

    while (event.type != type) {
        cr_assert(poll(&ask, 1, 10000) == 1, "%s: nobody is told", duct_event_name(type));
        enum duct_err err = duct_context_wait(context, &event, 1, &count, 0);
        cr_assert(err == DUCT_OK || err == DUCT_EAGAIN, "%s", duct_err_detail());
    }
}

static void after_accept(enum duct_io io)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    pthread_t visitor;
    void *failed;
    char in[8];
    size_t size;
    int fd;

    snprintf(url, sizeof(url), "shm:///tmp/duct-exported-%d-%d", (int)getpid(), (int)io);
    with.io = io;
    if (duct_context_open(&options.context, &with) == DUCT_ENOTSUP)
        return; /* not allowed here */
    cr_assert(duct_listen(&listener, url, &options) == DUCT_OK, "%s", duct_err_detail());
    cr_assert(duct_context_fd(options.context, &fd) == DUCT_OK);
    cr_assert(pthread_create(&visitor, NULL, visit, url) == 0);
    expect(options.context, fd, DUCT_EVENT_ACCEPTED);
    pthread_join(visitor, &failed);
    cr_assert_null(failed);
    /* The visitor has come and gone: all its news are there before the pipe is, and the loop runs once more
     * as the listener is closed. */
    cr_assert(duct_accept(listener, &pipe, 0) == DUCT_OK);
    cr_expect(readable(fd), "accepted");
    duct_listener_close(listener);
    cr_expect(readable(fd), "listener closed");
    expect(options.context, fd, DUCT_EVENT_READABLE);
    cr_assert(duct_read(pipe, in, sizeof(in), &size, NULL, 0) == DUCT_OK && size == 5);
    expect(options.context, fd, DUCT_EVENT_CLOSED);
    duct_context_close(options.context);
}

Test(exported, after_accept_uring)
{
    after_accept(DUCT_IO_URING);
}

Test(exported, after_accept_epoll)
{
    after_accept(DUCT_IO_EPOLL);
}
