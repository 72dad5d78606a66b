/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [post], and whatever else of a context other threads may touch: messages released by two threads
 * while their owner waits, wakes and cancels from a third, and the pipe closed while a release is
 * under way. Through the public calls, on each backend.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/duct.h>

#include "tests/race/lane.h"

enum { MESSAGES = 6000, HANDOVER = 64 };

#include "tests/race/boxes.h"

static struct duct_context *owner_context;
static char url[128];

/* [request]: what was written before a request is seen by whoever it stopped. One at a time: the owner
 * says, without order, how many it has seen. */
enum { REQUESTS = 4096 };
static unsigned notes[REQUESTS];
static _Atomic unsigned asked, noticed;

static void ask(void)
{
    unsigned number = atomic_load_explicit(&asked, memory_order_relaxed);

    if (number == REQUESTS || atomic_load_explicit(&noticed, memory_order_relaxed) != number)
        return;
    notes[number] = number + 1;
    atomic_store_explicit(&asked, number + 1, memory_order_relaxed);
    duct_context_cancel(owner_context);
}

static void notice(void)
{
    unsigned number = atomic_load_explicit(&noticed, memory_order_relaxed);

    MUST(notes[number] == number + 1);
    atomic_store_explicit(&noticed, number + 1, memory_order_relaxed);
}

static void *disturbs(void *unused)
{
    (void)unused;
    for (unsigned i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
        if (i % 8 == 0)
            ask();
        else
            duct_context_wake(owner_context);
        for (int k = 0; k < 50; k++)
            sched_yield();
    }
    return NULL;
}

static void *sends(void *arg)
{
    struct duct_context_options io = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_context *context;
    struct duct_pipe *pipe;
    unsigned char bytes[400];

    io.io = *(enum duct_io *)arg;
    MUST(duct_context_open(&context, &io) == DUCT_OK);
    options.context = context;
    MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        size_t size = i % 2 ? 24 : 400;
        lane_fill(bytes, size, i);
        MUST(duct_write(pipe, bytes, size, i, 20 * DUCT_SECOND) == DUCT_OK);
    }
    struct duct_msg msg;
    MUST(duct_recv(pipe, &msg, 20 * DUCT_SECOND) == DUCT_ECLOSED);
    duct_context_close(context);
    return NULL;
}

static void receive_all(struct duct_pipe *pipe)
{
    for (uint64_t i = 0; i < MESSAGES; i++) {
        struct duct_msg msg;
        enum duct_err err;
        while ((err = duct_recv(pipe, &msg, 20 * DUCT_SECOND)) == DUCT_ECANCELED)
            notice();
        MUST(err == DUCT_OK && msg.tag == i && lane_filled(msg.data, msg.size, i));
        hand_over(&msg, i);
    }
}

static void run(enum duct_io backend)
{
    struct duct_context_options io = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    unsigned parity[2] = {0, 1};
    pthread_t threads[4];
    enum duct_err err;

    io.io = backend;
    err = duct_context_open(&owner_context, &io);
    if (err == DUCT_ENOTSUP)
        return;
    MUST(err == DUCT_OK);
    atomic_store_explicit(&stop, 0, memory_order_relaxed);
    atomic_store_explicit(&asked, 0, memory_order_relaxed);
    atomic_store_explicit(&noticed, 0, memory_order_relaxed);
    options.context = owner_context;
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(pthread_create(&threads[0], NULL, sends, &backend) == 0);
    MUST(duct_accept(listener, &pipe, 20 * DUCT_SECOND) == DUCT_OK);
    for (int i = 0; i < 2; i++)
        MUST(pthread_create(&threads[1 + i], NULL, releases, &parity[i]) == 0);
    MUST(pthread_create(&threads[3], NULL, disturbs, NULL) == 0);
    receive_all(pipe);
    /* Some are still in their boxes, some on their way. */
    duct_pipe_close(pipe);
    MUST(pthread_join(threads[0], NULL) == 0);
    boxes_empty();
    atomic_store_explicit(&stop, 1, memory_order_relaxed);
    for (int i = 1; i < 4; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    duct_context_close(owner_context);
}

int main(void)
{
    char directory[] = "/tmp/duct-race-XXXXXX", below[64];

    MUST(mkdtemp(directory) != NULL);
    setenv("XDG_RUNTIME_DIR", directory, 1);
    snprintf(url, sizeof(url), "shm://post?max_msg=512&pool=64k&slots=64&held=256");
    run(DUCT_IO_EPOLL);
    run(DUCT_IO_URING);
    snprintf(below, sizeof(below), "%s/duct", directory);
    return remove(below) != 0 || remove(directory) != 0;
}
