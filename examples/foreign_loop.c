/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <duct/duct.h>

/*
 * duct inside an event loop of the program's own, here epoll beside standard input:
 *
 *     foreign_loop listen [URL]
 *     foreign_loop dial [URL]
 *
 * What is typed here is printed there, until one side's input ends. The descriptor of the context is
 * level-triggered, like any other: wait for it to be readable, then call duct_context_wait() with a
 * timeout of 0. Nothing else is needed; accepting, messages, and the end all come this way.
 */

struct chat {
    struct duct_context *context;
    struct duct_listener *listener; /* until one has dialed */
    struct duct_pipe *pipe;
    int epoll;
    char line[4096]; /* read, and not sent yet */
    size_t pending;
    bool input; /* epoll looks at standard input */
    bool done;
};

static int fail(const char *what, enum duct_err err)
{
    fprintf(stderr, "foreign_loop: %s: %s: %s\n", what, duct_err_name(err), duct_err_detail());
    return 1;
}

/* Standard input is asked for only while there is a pipe, with room, to send it through. */
static void want_input(struct chat *chat, bool wanted)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = STDIN_FILENO};

    if (wanted == chat->input)
        return;
    if (epoll_ctl(chat->epoll, wanted ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, STDIN_FILENO, &event) != 0)
        perror("foreign_loop: standard input cannot be waited for");
    chat->input = wanted;
}

/* Sends without waiting. While there is no room, WRITABLE is watched, and says when to try again. */
static enum duct_err send_pending(struct chat *chat)
{
    enum duct_err err = duct_write(chat->pipe, chat->line, chat->pending, 0, 0);
    bool full = err == DUCT_EAGAIN;

    if (err == DUCT_OK)
        chat->pending = 0;
    else if (!full)
        return err;
    want_input(chat, !full);
    return duct_pipe_watch(chat->pipe,
                           DUCT_WATCH_READABLE | DUCT_WATCH_END | (full ? DUCT_WATCH_WRITABLE : 0));
}

static enum duct_err on_input(struct chat *chat)
{
    ssize_t got = read(STDIN_FILENO, chat->line, sizeof(chat->line));

    if (got > 0) {
        chat->pending = (size_t)got;
        return send_pending(chat);
    }
    chat->done = got == 0 || (errno != EINTR && errno != EAGAIN);
    return DUCT_OK;
}

/* Everything that is there. One message for each event would do as well: it is level-triggered. */
static enum duct_err on_readable(struct chat *chat)
{
    struct duct_msg msg;
    enum duct_err err;

    while ((err = duct_recv(chat->pipe, &msg, 0)) == DUCT_OK) {
        fwrite(msg.data, 1, msg.size, stdout);
        duct_msg_release(&msg);
    }
    fflush(stdout);
    if (err == DUCT_ECLOSED)
        chat->done = true;
    return err == DUCT_EAGAIN || err == DUCT_ECLOSED ? DUCT_OK : err;
}

static enum duct_err on_accepted(struct chat *chat)
{
    enum duct_err err = duct_accept(chat->listener, &chat->pipe, 0);

    if (err != DUCT_OK)
        return err == DUCT_EAGAIN ? DUCT_OK : err;
    duct_listener_close(chat->listener); /* one is enough */
    chat->listener = NULL;
    want_input(chat, true);
    return DUCT_OK;
}

static enum duct_err on_event(struct chat *chat, const struct duct_event *event)
{
    switch (event->type) {
    case DUCT_EVENT_ACCEPTED:
        return on_accepted(chat);
    case DUCT_EVENT_READABLE:
        return on_readable(chat);
    case DUCT_EVENT_WRITABLE:
        return send_pending(chat);
    case DUCT_EVENT_ERROR:
        return event->err;
    case DUCT_EVENT_CLOSED:
        chat->done = true;
        break;
    case DUCT_EVENT_STATE:
        break;
    }
    return DUCT_OK;
}

/* AGAIN is nothing to worry about: the loop was woken, and there was nothing to do for us. An event
 * may have closed what later ones are about, so this takes one at a time. */
static enum duct_err on_context(struct chat *chat)
{
    struct duct_event event;
    size_t count;
    enum duct_err err = duct_context_wait(chat->context, &event, 1, &count, 0);

    if (err == DUCT_OK && count == 1)
        err = on_event(chat, &event);
    return err == DUCT_EAGAIN ? DUCT_OK : err;
}

static enum duct_err loop(struct chat *chat)
{
    struct epoll_event events[2];
    enum duct_err err = DUCT_OK;

    while (!chat->done && err == DUCT_OK) {
        int ready = epoll_wait(chat->epoll, events, 2, -1);

        for (int i = 0; i < ready && err == DUCT_OK && !chat->done; i++) {
            if (events[i].data.fd == STDIN_FILENO)
                err = on_input(chat);
            else
                err = on_context(chat);
        }
    }
    return err;
}

static enum duct_err open_chat(struct chat *chat, bool listening, const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct epoll_event event = {.events = EPOLLIN};
    enum duct_err err = duct_context_open(&chat->context, NULL);
    int fd = -1;

    if (err != DUCT_OK)
        return err;
    options.context = chat->context;
    options.wait_for_listener = DUCT_YES;
    err = listening ? duct_listen(&chat->listener, url, &options)
                    : duct_dial(&chat->pipe, url, &options);
    if (err == DUCT_OK)
        err = duct_context_fd(chat->context, &fd);
    if (err != DUCT_OK)
        return err;
    event.data.fd = fd;
    if (epoll_ctl(chat->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        return DUCT_EOS;
    want_input(chat, !listening);
    return DUCT_OK;
}

int main(int argc, char **argv)
{
    struct chat chat = {0};
    bool listening = argc > 1 && strcmp(argv[1], "listen") == 0;

    if (!listening && (argc < 2 || strcmp(argv[1], "dial") != 0)) {
        fprintf(stderr, "usage: foreign_loop listen|dial [URL]\n");
        return 2;
    }
    chat.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (chat.epoll < 0)
        return fail("epoll_create1", DUCT_EOS);
    enum duct_err err = open_chat(&chat, listening, argc > 2 ? argv[2] : "shm://chat");
    if (err == DUCT_OK)
        err = loop(&chat);
    int code = err != DUCT_OK ? fail(argv[1], err) : 0;
    close(chat.epoll);                /* before the context, whose descriptor it holds */
    duct_context_close(chat.context); /* and with it the pipe and the listener */
    return code;
}
