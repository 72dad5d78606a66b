/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/count/pair.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

void pair_directory(char directory[32])
{
    snprintf(directory, 32, "/tmp/duct-count-XXXXXX");
    MUST(mkdtemp(directory) != NULL);
    setenv("XDG_RUNTIME_DIR", directory, 1);
}

void pair_leave(const char *directory)
{
    char below[64];

    snprintf(below, sizeof(below), "%s/duct", directory);
    MUST(rmdir(below) == 0 && rmdir(directory) == 0);
}

static void *dial(void *arg)
{
    struct pair *pair = arg;
    struct duct_options options = DUCT_OPTIONS_INIT;

    MUST(duct_context_adopt(pair->contexts[1]) == DUCT_OK);
    options.context = pair->contexts[1];
    MUST(duct_dial(&pair->pipes[1], pair->url, &options) == DUCT_OK);
    return NULL;
}

/* The pipe, at pair->url. */
static void meet(struct pair *pair, enum duct_io io)
{
    struct duct_context_options io_options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    pthread_t thread;

    io_options.io = io;
    for (int i = 0; i < 2; i++)
        MUST(duct_context_open(&pair->contexts[i], &io_options) == DUCT_OK);
    options.context = pair->contexts[0];
    MUST(duct_listen(&pair->listener, pair->url, &options) == DUCT_OK);
    MUST(pthread_create(&thread, NULL, dial, pair) == 0);
    MUST(duct_accept(pair->listener, &pair->pipes[0], SOON) == DUCT_OK);
    MUST(pthread_join(thread, NULL) == 0);
    MUST(duct_context_adopt(pair->contexts[1]) == DUCT_OK);
}

void pair_open(struct pair *pair, enum duct_io io, const char *query)
{
    memset(pair, 0, sizeof(*pair));
    pair_directory(pair->directory);
    snprintf(pair->url, sizeof(pair->url), "shm://count%s%s", *query ? "?" : "", query);
    meet(pair, io);
}

void pair_open_uds(struct pair *pair, enum duct_io io, const char *query)
{
    memset(pair, 0, sizeof(*pair));
    snprintf(pair->url, sizeof(pair->url), "uds://@duct-pair-%d%s%s", (int)getpid(),
             *query ? "?" : "", query);
    meet(pair, io);
}

void pair_close(struct pair *pair)
{
    duct_context_close(pair->contexts[0]);
    duct_context_close(pair->contexts[1]);
    if (*pair->directory != '\0')
        pair_leave(pair->directory);
}
