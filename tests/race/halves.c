/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split pipe, all four halves of it in one process: what the two handles of one side share (the
 * control socket, the pools that grow, the end) is touched by two threads at once. Two rounds of
 * traffic both ways, asleep and by each doorbell, with growth, then an end from either half.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include <duct/duct.h>

#include "tests/race/lane.h"

enum { MESSAGES = 1500 };

static enum duct_io backend;
static pthread_barrier_t all_through;
static char url[160];

struct half {
    struct duct_context *context;
    struct duct_pipe *pipe;
    bool closes; /* ends the pipe when it is through; the other waits for that */
};

static struct duct_context *open_context(void)
{
    struct duct_context_options io = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    io.io = backend;
    MUST(duct_context_open(&context, &io) == DUCT_OK);
    return context;
}

/* What the other half may be changing at this moment. */
static void look(struct duct_pipe *pipe)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    MUST(duct_pipe_info(pipe, &info) == DUCT_OK);
    MUST(info.shared_bytes > 0 && info.peer_shared_bytes > 0);
}

static void *sends(void *arg)
{
    struct half *half = arg;
    unsigned char bytes[600];
    enum duct_err err;

    MUST(duct_context_adopt(half->context) == DUCT_OK);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        size_t size = i % 3 ? 24 : 600;
        lane_fill(bytes, size, i);
        MUST(duct_write(half->pipe, bytes, size, i, 20 * DUCT_SECOND) == DUCT_OK);
        if (i % 16 == 0)
            look(half->pipe);
    }
    pthread_barrier_wait(&all_through);
    /* Its last word goes unanswered until somebody ends the pipe. */
    while (!half->closes &&
           (err = duct_write(half->pipe, bytes, 1, MESSAGES, DUCT_MILLISECOND)) != DUCT_ECLOSED)
        MUST(err == DUCT_OK || err == DUCT_ETIMEOUT);
    duct_context_close(half->context);
    return NULL;
}

static void *receives(void *arg)
{
    struct half *half = arg;
    struct duct_msg msg;
    enum duct_err err;

    MUST(duct_context_adopt(half->context) == DUCT_OK);
    for (uint64_t i = 0; i < MESSAGES; i++) {
        MUST(duct_recv(half->pipe, &msg, 20 * DUCT_SECOND) == DUCT_OK);
        MUST(msg.tag == i && lane_filled(msg.data, msg.size, i));
        if (i % 16 == 0)
            look(half->pipe);
        MUST(duct_msg_release(&msg) == DUCT_OK);
    }
    pthread_barrier_wait(&all_through);
    while (!half->closes && (err = duct_recv(half->pipe, &msg, 20 * DUCT_SECOND)) != DUCT_ECLOSED) {
        MUST(err == DUCT_OK);
        MUST(duct_msg_release(&msg) == DUCT_OK);
    }
    duct_context_close(half->context);
    return NULL;
}

static void split(struct duct_pipe *pipe, struct half *halves, pthread_t *threads)
{
    MUST(duct_pipe_split(pipe, halves[0].context, halves[1].context, &halves[0].pipe,
                         &halves[1].pipe) == DUCT_OK);
    MUST(pthread_create(&threads[0], NULL, sends, &halves[0]) == 0);
    MUST(pthread_create(&threads[1], NULL, receives, &halves[1]) == 0);
}

static void *dials(void *arg)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe **pipe = arg;
    struct duct_context *context = open_context();

    options.context = context;
    MUST(duct_dial(pipe, url, &options) == DUCT_OK);
    struct half halves[2] = {{.context = open_context()}, {.context = open_context()}};
    pthread_t threads[2];
    split(*pipe, halves, threads);
    for (int i = 0; i < 2; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    duct_context_close(context);
    return NULL;
}

static void run(const char *bell, bool receiver_closes)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct half halves[2];
    struct duct_listener *listener;
    struct duct_pipe *accepted, *dialled;
    pthread_t dialer, threads[2];

    snprintf(url, sizeof(url), "shm://halves?max_msg=1024&pool=8k&pool_max=64k&slots=16&%s", bell);
    MUST(pthread_barrier_init(&all_through, NULL, 4) == 0);
    options.context = open_context();
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(pthread_create(&dialer, NULL, dials, &dialled) == 0);
    MUST(duct_accept(listener, &accepted, 20 * DUCT_SECOND) == DUCT_OK);
    halves[0] = (struct half){.context = open_context(), .closes = !receiver_closes};
    halves[1] = (struct half){.context = open_context(), .closes = receiver_closes};
    split(accepted, halves, threads);
    for (int i = 0; i < 2; i++)
        MUST(pthread_join(threads[i], NULL) == 0);
    MUST(pthread_join(dialer, NULL) == 0);
    duct_context_close(options.context);
    pthread_barrier_destroy(&all_through);
}

int main(void)
{
    char directory[] = "/tmp/duct-race-XXXXXX", below[64];

    MUST(mkdtemp(directory) != NULL);
    setenv("XDG_RUNTIME_DIR", directory, 1);
    for (int i = 0; i < 2; i++) {
        struct duct_context *probe;
        struct duct_context_options io = DUCT_CONTEXT_OPTIONS_INIT;
        io.io = backend = i == 0 ? DUCT_IO_EPOLL : DUCT_IO_URING;
        if (duct_context_open(&probe, &io) != DUCT_OK)
            continue;
        duct_context_close(probe);
        run("wait=park&bell=socket", false);
        run("wait=park&bell=eventfd", false);
        run("wait=park", true);
        run("spin=1us", true);
    }
    snprintf(below, sizeof(below), "%s/duct", directory);
    return remove(below) != 0 || remove(directory) != 0;
}
