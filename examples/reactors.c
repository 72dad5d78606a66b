/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/duct.h>

/*
 * Several reactors: N threads that share nothing, each pinned to a processor, with a context, a loop and a listener of
 * its own. With reuseport=1 the listeners have one address, and the kernel shares out who dials:
 *
 *     reactors [N [CONNECTIONS]]
 *
 * Each answers a message with its own number. The main thread dials, asks, and says who answered how often.
 */

enum { REACTORS_MAX = 64 };

struct reactor {
    unsigned number;
    char url[128];
    struct duct_context *context;
    struct duct_listener *listener;
    pthread_t thread;
    enum duct_err err;
    char detail[256]; /* duct_err_detail() is the thread's own */
};

static int fail(const char *what, enum duct_err err, const char *detail)
{
    fprintf(stderr, "reactors: %s: %s: %s\n", what, duct_err_name(err), detail);
    return 1;
}

/* One thread each for a processor; where that is not allowed, wherever it runs. */
static void pin(unsigned number)
{
    cpu_set_t one;
    long processors = sysconf(_SC_NPROCESSORS_ONLN);

    CPU_ZERO(&one);
    CPU_SET(number % (unsigned)(processors > 0 ? processors : 1), &one);
    pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
}

static enum duct_err answer(struct reactor *reactor, struct duct_pipe *pipe)
{
    unsigned char question;
    size_t size;
    enum duct_err err = duct_read(pipe, &question, sizeof(question), &size, NULL, 0);

    if (err == DUCT_OK)
        err = duct_write(pipe, &reactor->number, sizeof(reactor->number), 0, DUCT_SECOND);
    return err == DUCT_EAGAIN ? DUCT_OK : err;
}

static enum duct_err handle(struct reactor *reactor, const struct duct_event *event)
{
    struct duct_pipe *pipe;

    switch (event->type) {
    case DUCT_EVENT_ACCEPTED:
        return duct_accept(reactor->listener, &pipe, 0);
    case DUCT_EVENT_READABLE:
        return answer(reactor, event->pipe);
    case DUCT_EVENT_CLOSED:
    case DUCT_EVENT_ERROR:
        duct_pipe_close(event->pipe);
        return DUCT_OK;
    default:
        return DUCT_OK;
    }
}

/* Serves until somebody cancels its context. */
static void *serve(void *argument)
{
    struct reactor *reactor = argument;
    struct duct_event event;
    size_t count;

    pin(reactor->number);
    enum duct_err err = duct_context_adopt(reactor->context);
    while (err == DUCT_OK) {
        err = duct_context_wait(reactor->context, &event, 1, &count, DUCT_FOREVER);
        if (err == DUCT_OK && count == 1)
            err = handle(reactor, &event);
    }
    reactor->err = err == DUCT_ECANCELED ? DUCT_OK : err;
    if (reactor->err != DUCT_OK)
        snprintf(reactor->detail, sizeof(reactor->detail), "%s", duct_err_detail());
    return NULL;
}

/* Bound before any thread runs: nobody who dials meets a listener that is not there yet. */
static enum duct_err start(struct reactor *reactor, unsigned number, const char *at)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err = duct_context_open(&reactor->context, NULL);

    reactor->number = number;
    if (err != DUCT_OK)
        return err;
    options.context = reactor->context;
    options.reuse_port = DUCT_YES;
    if ((err = duct_listen(&reactor->listener, at, &options)) != DUCT_OK)
        return err;
    snprintf(reactor->url, sizeof(reactor->url), "tcp://%s", duct_listener_path(reactor->listener));
    return DUCT_OK;
}

/* Dials once, asks, and learns who answered. */
static enum duct_err ask(const char *url, unsigned *number)
{
    struct duct_pipe *pipe;
    size_t size;
    enum duct_err err = duct_dial(&pipe, url, NULL);

    if (err != DUCT_OK)
        return err;
    if ((err = duct_write(pipe, "?", 1, 0, DUCT_SECOND)) == DUCT_OK)
        err = duct_read(pipe, number, sizeof(*number), &size, NULL, 10 * DUCT_SECOND);
    duct_pipe_close(pipe);
    return err;
}

static int stop(struct reactor *reactor)
{
    duct_context_cancel(reactor->context);
    pthread_join(reactor->thread, NULL);
    if (duct_context_adopt(reactor->context) == DUCT_OK)
        duct_context_close(reactor->context);
    return reactor->err == DUCT_OK ? 0 : fail("serving", reactor->err, reactor->detail);
}

int main(int argc, char **argv)
{
    static struct reactor reactors[REACTORS_MAX];
    unsigned answers[REACTORS_MAX] = {0}, number, served = 0;
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 4;
    unsigned connections = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 200;
    enum duct_err err = DUCT_OK;
    int status = 0;

    if (count == 0 || count > REACTORS_MAX)
        return fail(argv[1], DUCT_EINVAL, "expected 1 to 64 reactors");
    for (unsigned i = 0; i < count; i++) {
        /* The first takes any port, the others that of the first. */
        err = start(&reactors[i], i, i == 0 ? "tcp://127.0.0.1:0" : reactors[0].url);
        if (err != DUCT_OK)
            return fail("listening", err, duct_err_detail());
    }
    for (unsigned i = 0; i < count; i++)
        pthread_create(&reactors[i].thread, NULL, serve, &reactors[i]);
    for (unsigned i = 0; i < connections && err == DUCT_OK; i++) {
        if ((err = ask(reactors[0].url, &number)) == DUCT_OK)
            answers[number]++;
    }
    if (err != DUCT_OK)
        status = fail("asking", err, duct_err_detail());
    for (unsigned i = 0; i < count; i++) {
        status |= stop(&reactors[i]);
        served += answers[i] > 0;
        printf("reactor %u answered %u\n", i, answers[i]);
    }
    printf("%u of %u reactors answered\n", served, count);
    return status;
}
