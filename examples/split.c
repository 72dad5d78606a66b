/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/duct.h>

/*
 * One thread that sends and one that receives, on one pipe:
 *
 *     split listen [URL [COUNT]] &
 *     split dial [URL [COUNT]]
 *
 * Both ends send COUNT numbers while they receive the other's. The main thread opens a context for
 * each half and splits the pipe. A second thread adopts the sender's, the main thread goes on as the
 * receiver; once the other is joined, it takes its context back, and closes both.
 */

struct half {
    struct duct_context *context;
    struct duct_pipe *pipe;
    pthread_t thread;
    uint64_t count;
    enum duct_err err;
    char detail[256]; /* duct_err_detail() is the thread's own */
};

static int fail(const char *what, enum duct_err err, const char *detail)
{
    fprintf(stderr, "split: %s: %s: %s\n", what, duct_err_name(err), detail);
    return 1;
}

static void *finish(struct half *half, enum duct_err err)
{
    half->err = err;
    if (err != DUCT_OK)
        snprintf(half->detail, sizeof(half->detail), "%s", duct_err_detail());
    return NULL;
}

static void *send_all(void *argument)
{
    struct half *half = argument;
    enum duct_err err = duct_context_adopt(half->context);

    for (uint64_t i = 0; i < half->count && err == DUCT_OK; i++)
        err = duct_write(half->pipe, &i, sizeof(i), 0, 10 * DUCT_SECOND);
    return finish(half, err);
}

static void *receive_all(void *argument)
{
    struct half *half = argument;
    enum duct_err err = duct_context_adopt(half->context);

    for (uint64_t i = 0; i < half->count && err == DUCT_OK; i++) {
        uint64_t number = 0;
        size_t size;

        err = duct_read(half->pipe, &number, sizeof(number), &size, NULL, 10 * DUCT_SECOND);
        if (err == DUCT_OK && (size != sizeof(number) || number != i))
            err = DUCT_ECORRUPT;
    }
    return finish(half, err);
}

/* Takes the context back from a thread that has ended, and closes what was on it. */
static void close_half(struct half *half)
{
    if (half->context == NULL || duct_context_adopt(half->context) != DUCT_OK)
        return;
    duct_pipe_close(half->pipe);
    duct_context_close(half->context);
}

static enum duct_err open_halves(struct duct_pipe *pipe, struct half *sender, struct half *receiver)
{
    enum duct_err err = duct_context_open(&sender->context, NULL);

    if (err == DUCT_OK)
        err = duct_context_open(&receiver->context, NULL);
    if (err == DUCT_OK)
        err = duct_pipe_split(pipe, sender->context, receiver->context, &sender->pipe,
                              &receiver->pipe);
    return err;
}

static int stream(struct duct_pipe *pipe, uint64_t count)
{
    struct half sender = {.count = count};
    struct half receiver = {.count = count};
    int code = 0;
    enum duct_err err = open_halves(pipe, &sender, &receiver);

    if (err != DUCT_OK) {
        code = fail("split", err, duct_err_detail());
        duct_pipe_close(pipe); /* still whole, and the caller's */
    } else if (pthread_create(&sender.thread, NULL, send_all, &sender) != 0) {
        code = fail("thread", DUCT_EOS, "");
    } else {
        receive_all(&receiver); /* this thread is the second */
        pthread_join(sender.thread, NULL);
        if (sender.err != DUCT_OK)
            code = fail("send", sender.err, sender.detail);
        if (receiver.err != DUCT_OK)
            code = fail("receive", receiver.err, receiver.detail);
    }
    close_half(&sender);
    close_half(&receiver);
    if (code == 0)
        printf("sent %" PRIu64 ", received %" PRIu64 "\n", count, count);
    return code;
}

static enum duct_err accept_one(struct duct_pipe **pipe, const char *url)
{
    struct duct_listener *listener;
    enum duct_err err = duct_listen(&listener, url, NULL);

    if (err != DUCT_OK)
        return err;
    err = duct_accept(listener, pipe, 10 * DUCT_SECOND);
    duct_listener_close(listener);
    return err;
}

int main(int argc, char **argv)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;
    const char *url = argc > 2 ? argv[2] : "shm://split";
    uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 1000000;
    enum duct_err err;

    options.wait_for_listener = DUCT_YES;
    if (argc > 1 && strcmp(argv[1], "listen") == 0)
        err = accept_one(&pipe, url);
    else if (argc > 1 && strcmp(argv[1], "dial") == 0)
        err = duct_dial(&pipe, url, &options);
    else
        return fprintf(stderr, "usage: split listen|dial [URL [COUNT]]\n"), 2;
    if (err != DUCT_OK)
        return fail(argv[1], err, duct_err_detail());
    return stream(pipe, count);
}
