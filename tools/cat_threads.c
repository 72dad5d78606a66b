/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/context.h>

#include "tools/cat.h"
#include "tools/cli.h"

/*
 * Several loops that share nothing but the address: each has a thread on a processor of its own, a context and a
 * listener, and the kernel shares out who dials (SO_REUSEPORT). A pipe stays with the thread that accepted it.
 */

struct worker {
    struct cat_loop loop;
    unsigned number;
    pthread_t thread;
    int code;
};

/* The n-th of the processors this process may run on, round and round; where that is not allowed, any. */
static void pin(unsigned number)
{
    cpu_set_t all, one;
    unsigned seen = 0;

    if (sched_getaffinity(0, sizeof(all), &all) != 0)
        return;
    number %= cli_processors();
    CPU_ZERO(&one);
    for (unsigned i = 0; i < CPU_SETSIZE; i++) {
        if (CPU_ISSET(i, &all) && seen++ == number)
            CPU_SET(i, &one);
    }
    pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static void *serve(void *argument)
{
    struct worker *worker = argument;

    pin(worker->number);
    enum duct_err err = duct_context_adopt(worker->loop.context);
    worker->code = err == DUCT_OK ? cat_run(&worker->loop)
                                  : cli_fail(err, "listen on", worker->loop.options->url);
    if (worker->loop.options->verbose)
        cli_say("thread %u served %llu pipes", worker->number,
                (unsigned long long)worker->loop.served);
    return NULL;
}

/* The address that the first listener has got, for the others: with a port where any was asked for. */
static char *shared_address(const struct cat_loop *first)
{
    const char *query = strchr(first->options->url, '?');
    char *url = NULL;

    if (asprintf(&url, "tcp://%s%s", duct_listener_path(first->listener),
                 query != NULL ? query : "") < 0)
        return NULL;
    return url;
}

/* All listeners are there before any thread runs: nobody who dials meets one that is not there yet. */
static enum duct_err open_all(struct worker *workers, const struct cat_options *options,
                              const struct duct_options *pipe)
{
    struct duct_options with = *pipe;
    char *shared = NULL;
    enum duct_err err = DUCT_OK;

    with.reuse_port = DUCT_YES;
    for (unsigned i = 0; i < options->threads && err == DUCT_OK; i++) {
        struct cat_loop *loop = &workers[i].loop;
        workers[i].number = i;
        loop->options = options;
        if ((err = duct_context_open(&loop->context, NULL)) != DUCT_OK)
            break;
        with.context = loop->context;
        err = duct_listen(&loop->listener, i == 0 ? options->url : shared, &with);
        if (err == DUCT_OK && i == 0 && (shared = shared_address(loop)) == NULL)
            err = DUCT_ENOMEMORY;
    }
    free(shared);
    return err;
}

static void close_all(struct worker *workers, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        if (workers[i].loop.context != NULL &&
            duct_context_adopt(workers[i].loop.context) == DUCT_OK)
            duct_context_close(workers[i].loop.context);
    }
    free(workers);
}

/* The first failure of all; else the signal that ended them. */
static int serve_all(struct worker *workers, uint64_t count)
{
    uint64_t started = 1;
    int code;

    for (; started < count; started++) {
        if (pthread_create(&workers[started].thread, NULL, serve, &workers[started]) == 0)
            continue;
        /* Whoever dials is to be shared out among those that there are. */
        cli_say("no more than %llu threads can be had", (unsigned long long)started);
        for (uint64_t i = started; i < count; i++)
            duct_listener_close(workers[i].loop.listener);
        break;
    }
    serve(&workers[0]);
    code = workers[0].code;
    for (uint64_t i = 1; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        if (code == CLI_OK || code >= CLI_SIGNAL)
            code = workers[i].code;
    }
    return code;
}

int cat_threads(const struct cat_options *options, const struct duct_options *pipe)
{
    struct worker *workers = calloc(options->threads, sizeof(*workers));
    int code;

    if (workers == NULL)
        return cli_fail(DUCT_ENOMEMORY, "listen on", options->url);
    enum duct_err err = open_all(workers, options, pipe);
    if (err == DUCT_OK) {
        for (uint64_t i = 0; i < options->threads; i++)
            cli_catch_signals(workers[i].loop.context);
        if (options->verbose)
            cli_say("listening at %s, on %llu threads",
                    duct_listener_path(workers[0].loop.listener),
                    (unsigned long long)options->threads);
        code = serve_all(workers, options->threads);
    } else {
        code = cli_fail(err, "cannot listen on", options->url);
    }
    /* No more signals for contexts that go. */
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    close_all(workers, options->threads);
    return code;
}
