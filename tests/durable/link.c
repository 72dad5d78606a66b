/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/durable/ends.h"

/*
 * The link between the ends of a durable pipe: who waits at the listener's socket, and rings that are read by
 * somebody other than who sleeps. Each of these was a pipe that stood still.
 */
TestSuite(link, .init = in_directory, .fini = clean_up);

/* Over epoll, which tells once of what has come to the queue. */
static void in_directory_by_edges(void)
{
    setenv("DUCT_IO", "epoll", 1);
    in_directory();
}
TestSuite(queue, .init = in_directory_by_edges, .fini = clean_up);

/* A dialer that was killed, or is stopped: a connection that says nothing. */
static int passer_by(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/duct/x", base);
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Runs a context until it has nothing more to say: everything of it sleeps. */
static void park(struct duct_context *context)
{
    struct duct_event events[8];
    size_t count;

    while (duct_context_wait(context, events, 8, &count, 0) == DUCT_OK)
        continue;
}

static void read_by_asking(void)
{
    struct duct_pipe *one, *two;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_event events[8];
    size_t count;

    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    cr_assert_eq(dial(&one, url("&handshake=1ms")), DUCT_OK, "%s", duct_err_detail());
    until(two, DUCT_STATE_CONNECTED);
    until(one, DUCT_STATE_CONNECTED);
    cr_assert_eq(duct_pipe_watch(two, DUCT_WATCH_READABLE), DUCT_OK);
    park(contexts[1]);
    send_number(one, 7);
    cr_assert_eq(duct_pipe_info(two, &info), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[1], events, 8, &count, 0), DUCT_OK);
    cr_assert(count == 1 && events[0].type == DUCT_EVENT_READABLE);
    duct_pipe_close(one);
    stop_listening(two);
}

Test(link, a_ring_that_was_read_by_asking_still_wakes)
{
    read_by_asking();
}

/* io_uring may have the ring among its completions before anybody asks; a set of epoll looks again. */
Test(queue, a_ring_that_was_read_by_asking_still_wakes)
{
    read_by_asking();
}

/* Two connections may wait when the listener looks for the first time. */
Test(queue, behind_a_dead_dialer_the_next_is_let_in)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    park(contexts[1]);
    close(passer_by());
    cr_assert_eq(dial(&one, url("&handshake=1ms")), DUCT_OK, "%s", duct_err_detail());
    until(two, DUCT_STATE_CONNECTED);
    until(one, DUCT_STATE_CONNECTED);
    duct_pipe_close(one);
    stop_listening(two);
}

/* The listener's queue is full: nothing tells when there is room again. */
Test(link, a_dialer_that_the_queue_had_no_room_for_comes_again)
{
    struct duct_pipe *one, *two;
    int waiting[2];

    cr_assert_eq(listen_at(&two, url("&backlog=1")), DUCT_OK);
    for (int i = 0; i < 2; i++)
        waiting[i] = passer_by();
    cr_assert_eq(dial(&one, url("")), DUCT_OK, "%s", duct_err_detail());
    for (int i = 0; i < 2; i++)
        close(waiting[i]);
    until(two, DUCT_STATE_CONNECTED);
    until(one, DUCT_STATE_CONNECTED);
    duct_pipe_close(one);
    stop_listening(two);
}
