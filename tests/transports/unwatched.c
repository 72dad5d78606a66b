/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>

#include "tests/count/pair.h"

/*
 * A control socket that the loop cannot watch, since the user's epoll watches are spent. Its pipe has ended, with
 * that as the reason, and its peer is told; nobody asks the loop again and again. The linker puts this epoll_ctl()
 * in the place of the library's.
 */

int __real_epoll_ctl(int set, int op, int fd, struct epoll_event *event);
int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *event);

static bool spent;
static unsigned refused;

int __wrap_epoll_ctl(int set, int op, int fd, struct epoll_event *event)
{
    if (!spent || op != EPOLL_CTL_ADD)
        return __real_epoll_ctl(set, op, fd, event);
    refused++;
    errno = ENOSPC;
    return -1;
}

static struct duct_context *epoll_context(void)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    with.io = DUCT_IO_EPOLL;
    MUST(duct_context_open(&context, &with) == DUCT_OK);
    return context;
}

static void ordinary(void)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_context *other = epoll_context();
    struct duct_msg msg;
    struct pair pair;

    pair_open(&pair, DUCT_IO_EPOLL, "wait=park");
    MUST(duct_write(pair.pipes[0], "before", 7, 0, SOON) == DUCT_OK);
    MUST(duct_pipe_move(pair.pipes[1], other) == DUCT_OK);
    /* From here on nothing new can be watched: the socket, given up once, cannot be taken up again. */
    spent = true;
    MUST(duct_pipe_move(pair.pipes[1], pair.contexts[1]) == DUCT_OK);
    /* What is there is heard; then comes the end, and not the end of the time. */
    MUST(duct_recv(pair.pipes[1], &msg, SOON) == DUCT_OK && memcmp(msg.data, "before", 7) == 0);
    MUST(duct_msg_release(&msg) == DUCT_OK);
    MUST(duct_recv(pair.pipes[1], &msg, DUCT_SECOND / 10) == DUCT_ELIMIT);
    MUST(strstr(duct_err_detail(), "max_user_watches") != NULL);
    MUST(duct_recv(pair.pipes[1], &msg, SOON) == DUCT_ELIMIT);
    MUST(duct_write(pair.pipes[1], "after", 6, 0, SOON) == DUCT_ELIMIT);
    /* The socket and the pidfd, once each. */
    MUST(refused <= 2);
    MUST(duct_recv(pair.pipes[0], &msg, SOON) == DUCT_ECLOSED);
    MUST(duct_pipe_info(pair.pipes[0], &info) == DUCT_OK && info.end == DUCT_ECLOSED);
    spent = false;
    duct_context_close(other);
    pair_close(&pair);
}

static void until_connected(struct duct_context *const contexts[2], struct duct_pipe *pipe)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_event events[8];
    size_t count;

    for (unsigned turn = 0; info.state != DUCT_STATE_CONNECTED; turn++) {
        MUST(turn < 10000000);
        for (int i = 0; i < 2; i++) {
            enum duct_err err = duct_context_wait(contexts[i], events, 8, &count, 0);
            MUST(err == DUCT_OK || err == DUCT_EAGAIN);
        }
        MUST(duct_pipe_info(pipe, &info) == DUCT_OK);
    }
}

/* An address of a durable pipe, in a directory of its own. */
static void durable_address(char directory[32], char url[128])
{
    pair_directory(directory);
    snprintf(url, 128, "shm://x?durable=1&dir=%s&slots=16&max_msg=1k&pool=8k&wait=park", directory);
}

static void remove_all(const char *directory)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -rf %s", directory);
    MUST(system(command) == 0);
}

/* A durable pipe does not end: it goes on without its peer, and says why. */
static void durable(void)
{
    struct duct_context *contexts[2] = {epoll_context(), epoll_context()};
    struct duct_context *other = epoll_context();
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipes[2];
    struct duct_msg msg;
    char directory[32], url[128];

    durable_address(directory, url);
    options.context = contexts[0];
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(duct_accept(listener, &pipes[0], 0) == DUCT_OK);
    options.context = contexts[1];
    MUST(duct_dial(&pipes[1], url, &options) == DUCT_OK);
    until_connected(contexts, pipes[1]);
    MUST(duct_pipe_move(pipes[1], other) == DUCT_OK);
    refused = 0;
    spent = true;
    MUST(duct_pipe_move(pipes[1], contexts[1]) == DUCT_OK);
    MUST(duct_recv(pipes[1], &msg, DUCT_SECOND / 10) == DUCT_ETIMEOUT);
    MUST(duct_pipe_info(pipes[1], &info) == DUCT_OK);
    MUST(info.state == DUCT_STATE_DISCONNECTED && info.end == DUCT_OK);
    /* Socket, pidfd, directory, and the handshakes that it tries instead: it gives up. */
    MUST(refused < 100);
    spent = false;
    for (int i = 0; i < 2; i++)
        duct_pipe_close(pipes[i]);
    duct_listener_close(listener);
    duct_context_close(other);
    for (int i = 0; i < 2; i++)
        duct_context_close(contexts[i]);
    remove_all(directory);
}

/* The listener of a durable pipe, back at its socket: accept says that it is deaf, and tries again. */
static void durable_listener(void)
{
    struct duct_context *contexts[2] = {epoll_context(), epoll_context()};
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipes[2];
    struct duct_event event;
    size_t count;
    char directory[32], url[128];

    durable_address(directory, url);
    options.context = contexts[0];
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(duct_accept(listener, &pipes[0], 0) == DUCT_OK);
    refused = 0;
    spent = true;
    duct_pipe_close(pipes[0]);
    MUST(duct_context_wait(contexts[0], &event, 1, &count, SOON) == DUCT_OK);
    MUST(event.type == DUCT_EVENT_ACCEPTED && event.listener == listener);
    MUST(duct_accept(listener, &pipes[0], SOON) == DUCT_ELIMIT);
    MUST(strstr(duct_err_detail(), "max_user_watches") != NULL);
    MUST(refused < 10);
    spent = false;
    while (duct_accept(listener, &pipes[0], 0) == DUCT_ELIMIT)
        continue;
    options.context = contexts[1];
    options.handshake_ns = DUCT_MILLISECOND;
    MUST(duct_dial(&pipes[1], url, &options) == DUCT_OK);
    MUST(duct_accept(listener, &pipes[0], SOON) == DUCT_OK);
    until_connected(contexts, pipes[1]);
    for (int i = 0; i < 2; i++)
        duct_pipe_close(pipes[i]);
    duct_listener_close(listener);
    for (int i = 0; i < 2; i++)
        duct_context_close(contexts[i]);
    remove_all(directory);
}

int main(void)
{
    ordinary();
    durable();
    durable_listener();
    return 0;
}
