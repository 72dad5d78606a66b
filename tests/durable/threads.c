/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/duct.h>

#include "tests/count/pair.h"

/*
 * [mark], [refs]: a durable pipe's messages released by two threads while their owner receives, waits, closes the end
 * under their hands and opens it again, and the other end, on a thread of its own, comes and goes. Everything comes once
 * and in order. Through the public calls, on each backend; for ThreadSanitizer and valgrind.
 */
enum { MESSAGES = 1500, LIFE = 250, HANDOVER = 16 };

#include "tests/race/boxes.h"

static char url[160];

static struct duct_context *context_on(enum duct_io io)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    with.io = io;
    MUST(duct_context_open(&context, &with) == DUCT_OK);
    return context;
}

static void *sends(void *arg)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe = NULL;
    unsigned char bytes[400];

    options.context = context_on(*(enum duct_io *)arg);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        /* Not in step with the other end's lives. */
        if (i % (LIFE - 30) == 0) {
            duct_pipe_close(pipe);
            MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
        }
        memset(bytes, (int)i, sizeof(bytes));
        MUST(duct_write(pipe, bytes, i % 2 ? 24 : sizeof(bytes), i, SOON) == DUCT_OK);
    }
    duct_pipe_close(pipe);
    duct_context_close(options.context);
    return NULL;
}

/* One life of the end that listens, from that message on. */
static void receive_some(const struct duct_options *options, uint64_t from)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    MUST(duct_listen(&listener, url, options) == DUCT_OK);
    MUST(duct_accept(listener, &pipe, SOON) == DUCT_OK);
    duct_listener_close(listener);
    for (uint64_t i = from; i < from + LIFE; i++) {
        const unsigned char *bytes;
        struct duct_msg msg;
        enum duct_err err;
        /* The oldest in its box holds up the rest, until it is released. */
        while ((err = duct_recv(pipe, &msg, SOON)) == DUCT_ELIMIT)
            sched_yield();
        MUST(err == DUCT_OK);
        bytes = msg.data;
        MUST(msg.tag == i && msg.flags == 0 && msg.size == (i % 2 ? 24 : 400));
        MUST(bytes[0] == (unsigned char)i && bytes[msg.size - 1] == (unsigned char)i);
        hand_over(&msg, i);
    }
    /* Some are in their boxes, some on their way: with the last of them the files are let go. */
    duct_pipe_close(pipe);
    boxes_empty();
}

static void run(enum duct_io io)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    unsigned parity[2] = {0, 1};
    pthread_t threads[3];

    options.context = context_on(io);
    atomic_store_explicit(&stop, 0, memory_order_relaxed);
    MUST(pthread_create(&threads[0], NULL, sends, &io) == 0);
    for (int i = 0; i < 2; i++)
        MUST(pthread_create(&threads[1 + i], NULL, releases, &parity[i]) == 0);
    for (uint64_t from = 0; from < MESSAGES; from += LIFE)
        receive_some(&options, from);
    MUST(pthread_join(threads[0], NULL) == 0);
    atomic_store_explicit(&stop, 1, memory_order_relaxed);
    for (int i = 1; i < 3; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    duct_context_close(options.context);
}

/* ---- [refs], with nothing else that orders the two ---- */

static _Atomic bool is_closed;

static void *releases_late(void *msg)
{
    while (!atomic_load_explicit(&is_closed, memory_order_relaxed))
        sched_yield();
    MUST(duct_msg_release(msg) == DUCT_OK);
    return NULL;
}

/* The owner has closed; whoever releases the last message lets go of the files. */
static void last_one(enum duct_io io)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *sender, *pipe;
    struct duct_msg msg;
    pthread_t thread;

    options.context = context_on(io);
    MUST(duct_dial(&sender, url, &options) == DUCT_OK);
    for (unsigned i = 0; i < 10; i++) {
        MUST(duct_write(sender, "x", 1, 0, SOON) == DUCT_OK);
        MUST(duct_listen(&listener, url, &options) == DUCT_OK);
        MUST(duct_accept(listener, &pipe, SOON) == DUCT_OK);
        duct_listener_close(listener);
        MUST(duct_recv(pipe, &msg, SOON) == DUCT_OK);
        atomic_store_explicit(&is_closed, false, memory_order_relaxed);
        MUST(pthread_create(&thread, NULL, releases_late, &msg) == 0);
        duct_pipe_close(pipe);
        atomic_store_explicit(&is_closed, true, memory_order_relaxed);
        MUST(pthread_join(thread, NULL) == 0);
    }
    duct_pipe_close(sender);
    duct_context_close(options.context);
}

int main(void)
{
    char directory[32], command[64];

    pair_directory(directory);
    snprintf(url, sizeof(url), "shm://t?durable=1&dir=%s&slots=32&max_msg=512&pool=16k&held=32",
             directory);
    run(DUCT_IO_EPOLL);
    run(DUCT_IO_AUTO);
    last_one(DUCT_IO_EPOLL);
    last_one(DUCT_IO_AUTO);
    snprintf(command, sizeof(command), "rm -rf %s", directory);
    return system(command);
}
