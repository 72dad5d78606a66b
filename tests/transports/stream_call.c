/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that do not go at once (duct_call over a socket that takes little): what the kernel did not take with the
 * question follows, whole and in order, and the answer comes. A plain program, for ThreadSanitizer.
 */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/count/pair.h"
#include "transports/stream.h"

enum { QUESTIONS = 200, LARGEST = 60000, SMALL_BUFFER = 4608, UNANSWERED = 8 };

static char url[64];

static size_t size_of(unsigned question)
{
    return (question * 7919u) % LARGEST + 1;
}

/* Tells each byte from its neighbours, and each question from the one before. */
static unsigned char byte_at(unsigned question, size_t at)
{
    return (unsigned char)(at * 31 + question * 7);
}

static void *answer_all(void *unused)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct duct_msg msg;

    (void)unused;
    MUST(duct_context_open(&options.context, NULL) == DUCT_OK);
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(duct_accept(listener, &pipe, SOON) == DUCT_OK);
    for (unsigned i = 0; i < QUESTIONS; i++) {
        MUST(duct_recv(pipe, &msg, SOON) == DUCT_OK);
        MUST(msg.size == size_of(i));
        for (size_t at = 0; at < msg.size; at++)
            MUST(((const unsigned char *)msg.data)[at] == byte_at(i, at));
        MUST(duct_msg_release(&msg) == DUCT_OK);
        MUST(duct_write(pipe, &i, sizeof(i), i, SOON) == DUCT_OK);
    }
    MUST(duct_recv(pipe, &msg, SOON) == DUCT_OK && msg.size == UNANSWERED);
    MUST(duct_msg_release(&msg) == DUCT_OK);
    MUST(duct_recv(pipe, &msg, SOON) == DUCT_ECLOSED);
    duct_context_close(options.context);
    return NULL;
}

static void ask(struct duct_pipe *pipe, unsigned question)
{
    struct duct_msg out, in;

    MUST(duct_msg_loan(pipe, size_of(question), &out) == DUCT_OK);
    for (size_t at = 0; at < out.size; at++)
        ((unsigned char *)out.data)[at] = byte_at(question, at);
    MUST(duct_call(pipe, &out, &in, SOON) == DUCT_OK);
    MUST(out.data == NULL && in.size == sizeof(question) && in.tag == question);
    MUST(duct_msg_release(&in) == DUCT_OK);
}

int main(void)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;
    struct duct_msg out, in;
    pthread_t other;
    int little = SMALL_BUFFER;

    snprintf(url, sizeof(url), "uds://@duct-call-%d", (int)getpid());
    MUST(pthread_create(&other, NULL, answer_all, NULL) == 0);
    MUST(duct_context_open(&options.context, NULL) == DUCT_OK);
    options.wait_for_listener = DUCT_YES;
    options.dial_ns = SOON;
    MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
    MUST(setsockopt(stream_of(pipe)->stream->fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little)) ==
         0);
    for (unsigned i = 0; i < QUESTIONS; i++)
        ask(pipe, i);
    /* Nobody answers this one: it is sent all the same, and is the caller's no more. */
    MUST(duct_msg_loan(pipe, UNANSWERED, &out) == DUCT_OK);
    duct_context_cancel(options.context);
    MUST(duct_call(pipe, &out, &in, SOON) == DUCT_ECANCELED && out.data == NULL);
    struct duct_pipe_stats stats = {.size = sizeof(stats)};
    MUST(duct_pipe_stats(pipe, &stats) == DUCT_OK && stats.sent_msgs == QUESTIONS + 1);
    /* The handle is empty, and a copy of it would name nothing. */
    MUST(duct_msg_discard(&out) != DUCT_OK);
    duct_pipe_close(pipe);
    MUST(pthread_join(other, NULL) == 0);
    duct_context_close(options.context);
    return 0;
}
