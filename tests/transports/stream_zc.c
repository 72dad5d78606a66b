/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaned messages that leave without a copy (option zerocopy): what arrives is what was sent, although each loan's memory
 * is used again, whatever the loop can, and whoever goes meanwhile; what the kernel did is counted. A plain program, for
 * ThreadSanitizer.
 */
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "lib/io/io.h"
#include "tests/count/pair.h"

enum { MESSAGES = 400, LARGEST = 200000, FEW = 20 };

struct play {
    const char *dial, *listen; /* the scheme, and an address */
    enum duct_io io;
    unsigned messages;
    int64_t leave_at; /* the message after which the sender changes its context; 0: none */
    pthread_barrier_t ready;
    char at[128];
};

static size_t size_of(unsigned message)
{
    return (message * 7919u) % LARGEST + 1;
}

static unsigned char byte_at(unsigned message, size_t at)
{
    return (unsigned char)(at * 31 + message * 7 + (at >> 8));
}

static void *receive_all(void *argument)
{
    struct play *play = argument;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct duct_msg msg;

    options.max_msg = LARGEST;
    MUST(duct_context_open(&options.context, NULL) == DUCT_OK);
    MUST(duct_listen(&listener, play->listen, &options) == DUCT_OK);
    snprintf(play->at, sizeof(play->at), "%s", duct_listener_path(listener));
    pthread_barrier_wait(&play->ready);
    MUST(duct_accept(listener, &pipe, SOON) == DUCT_OK);
    for (unsigned i = 0; i < play->messages; i++) {
        MUST(duct_recv(pipe, &msg, SOON) == DUCT_OK && msg.size == size_of(i));
        for (size_t at = 0; at < msg.size; at++)
            MUST(((const unsigned char *)msg.data)[at] == byte_at(i, at));
        MUST(duct_msg_release(&msg) == DUCT_OK);
    }
    MUST(duct_recv(pipe, &msg, SOON) == DUCT_ECLOSED);
    duct_context_close(options.context);
    return NULL;
}

static void send_one(struct duct_pipe *pipe, unsigned message)
{
    struct duct_msg msg;

    MUST(duct_msg_loan_aligned(pipe, size_of(message), 64, SOON, &msg) == DUCT_OK);
    for (size_t at = 0; at < msg.size; at++)
        ((unsigned char *)msg.data)[at] = byte_at(message, at);
    MUST(duct_send(pipe, &msg, SOON) == DUCT_OK);
}

static struct duct_pipe_stats send_all(struct play *play)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_context *next = NULL;
    struct duct_pipe *pipe;
    char url[256];

    with.io = play->io;
    MUST(duct_context_open(&options.context, &with) == DUCT_OK);
    options.max_msg = LARGEST;
    snprintf(url, sizeof(url), "%s%s?zerocopy=16k&linger=20s", play->dial, play->at);
    MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
    for (unsigned i = 0; i < play->messages; i++) {
        send_one(pipe, i);
        if (play->leave_at == 0 || i != play->leave_at)
            continue;
        MUST(duct_context_open(&next, &with) == DUCT_OK);
        MUST(duct_pipe_move(pipe, next) == DUCT_OK);
        duct_context_close(options.context); /* with what it holds */
        options.context = next;
    }
    MUST(duct_pipe_stats(pipe, &stats) == DUCT_OK && stats.sent_msgs == play->messages);
    duct_pipe_close(pipe);
    duct_context_close(options.context);
    return stats;
}

static struct duct_pipe_stats run(struct play play)
{
    pthread_t other;

    MUST(pthread_barrier_init(&play.ready, NULL, 2) == 0);
    MUST(pthread_create(&other, NULL, receive_all, &play) == 0);
    pthread_barrier_wait(&play.ready);
    struct duct_pipe_stats stats = send_all(&play);
    MUST(pthread_join(other, NULL) == 0);
    pthread_barrier_destroy(&play.ready);
    return stats;
}

static bool loop_can(void)
{
    struct di_io *io;

    if (!di_io_uring_available() || di_io_open(&io, &di_io_uring) != DUCT_OK)
        return false;
    bool can = (io->can & DI_IO_CAN_HOLD) != 0;
    di_io_close(io);
    return can;
}

int main(void)
{
    struct duct_pipe_stats stats;
    char uds[64];

    /* A loop that cannot says so once. */
    stats = run((struct play){
        .dial = "tcp://", .listen = "tcp://127.0.0.1:0", .io = DUCT_IO_EPOLL, .messages = FEW});
    MUST(stats.zerocopy_sends == 0 && stats.zerocopy_copied == 0 && stats.zerocopy_refused == 1);
    if (!loop_can())
        return 0;
    /* So does a socket that cannot. */
    snprintf(uds, sizeof(uds), "uds://@duct-zc-%d", (int)getpid());
    stats =
        run((struct play){.dial = "uds://", .listen = uds, .io = DUCT_IO_URING, .messages = FEW});
    MUST(stats.zerocopy_sends == 0 && stats.zerocopy_refused == 1);
    /* A kernel that copies after all, as it does here, is not asked for ever. */
    stats = run((struct play){.dial = "tcp://",
                              .listen = "tcp://127.0.0.1:0",
                              .io = DUCT_IO_URING,
                              .messages = MESSAGES});
    MUST(stats.zerocopy_sends > 0 && stats.zerocopy_copied <= stats.zerocopy_sends);
    MUST(stats.zerocopy_copied == 0 || stats.zerocopy_sends < MESSAGES);
    /* The loop that holds the memory goes, and the pipe goes on. */
    for (int64_t at = 1; at < FEW; at += 6)
        run((struct play){.dial = "tcp://",
                          .listen = "tcp://127.0.0.1:0",
                          .io = DUCT_IO_URING,
                          .messages = FEW,
                          .leave_at = at});
    return 0;
}
