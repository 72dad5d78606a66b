/* SPDX-License-Identifier: Apache-2.0 */
/*
 * [post], where nothing else helps: the owner sleeps in a receive, its peer waits for blocks, and all of
 * them are held here. Another thread releases them, always while the owner is asleep: it has to be woken,
 * to take them in and send them home, or both sleep until their time is over.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/race/lane.h"

enum { MESSAGES = 200, BOX = 64 };

static struct duct_msg box[BOX];
static _Atomic unsigned received, released;
static _Atomic int owner;
static char url[128];

static bool is_asleep(int thread)
{
    char path[64], line[256] = "";

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "r");
    MUST(file != NULL);
    MUST(fgets(line, sizeof(line), file) != NULL);
    fclose(file);
    return strstr(line, ") S ") != NULL;
}

static void *releases(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < MESSAGES; i++) {
        while (atomic_load_explicit(&received, memory_order_acquire) == i ||
               !is_asleep(atomic_load_explicit(&owner, memory_order_relaxed)))
            sched_yield();
        MUST(duct_msg_release(&box[i % BOX]) == DUCT_OK);
        atomic_store_explicit(&released, i + 1, memory_order_release);
    }
    return NULL;
}

static struct duct_context *open_context(enum duct_io backend)
{
    struct duct_context_options io = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    io.io = backend;
    enum duct_err err = duct_context_open(&context, &io);
    MUST(err == DUCT_OK || err == DUCT_ENOTSUP);
    return err == DUCT_OK ? context : NULL;
}

static void *sends(void *backend)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    unsigned char bytes[400] = {0};
    struct duct_pipe *pipe;
    struct duct_msg msg;

    options.context = open_context(*(enum duct_io *)backend);
    MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
    for (uint64_t i = 0; i < MESSAGES; i++)
        MUST(duct_write(pipe, bytes, sizeof(bytes), i, 20 * DUCT_SECOND) == DUCT_OK);
    MUST(duct_recv(pipe, &msg, 20 * DUCT_SECOND) == DUCT_ECLOSED);
    duct_context_close(options.context);
    return NULL;
}

static void run(enum duct_io backend)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    pthread_t sender, releaser;

    if ((options.context = open_context(backend)) == NULL)
        return;
    atomic_store_explicit(&received, 0, memory_order_relaxed);
    atomic_store_explicit(&released, 0, memory_order_relaxed);
    atomic_store_explicit(&owner, gettid(), memory_order_relaxed);
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(pthread_create(&sender, NULL, sends, &backend) == 0);
    MUST(duct_accept(listener, &pipe, 20 * DUCT_SECOND) == DUCT_OK);
    MUST(pthread_create(&releaser, NULL, releases, NULL) == 0);
    for (unsigned i = 0; i < MESSAGES; i++) {
        MUST(duct_recv(pipe, &box[i % BOX], 20 * DUCT_SECOND) == DUCT_OK);
        MUST(box[i % BOX].tag == i);
        /* Fewer blocks than there are places. */
        MUST(i + 1 - atomic_load_explicit(&released, memory_order_acquire) <= BOX);
        atomic_store_explicit(&received, i + 1, memory_order_release);
    }
    MUST(pthread_join(releaser, NULL) == 0);
    duct_pipe_close(pipe);
    MUST(pthread_join(sender, NULL) == 0);
    duct_context_close(options.context);
}

int main(void)
{
    char directory[] = "/tmp/duct-race-XXXXXX", below[64];

    MUST(mkdtemp(directory) != NULL);
    setenv("XDG_RUNTIME_DIR", directory, 1);
    snprintf(url, sizeof(url), "shm://starved?max_msg=512&pool=8k&pool_max=8k&slots=64&wait=park");
    run(DUCT_IO_EPOLL);
    run(DUCT_IO_URING);
    snprintf(below, sizeof(below), "%s/duct", directory);
    return remove(below) != 0 || remove(directory) != 0;
}
