/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <duct/message.h>

#include "tools/cat.h"
#include "tools/cli.h"

/*
 * Bytes to messages. Raw bytes are read straight into a loaned message; lines and frames, which have
 * to be found first, go through a buffer and are sent by the batch.
 */

bool cat_ready(int fd, short events)
{
    struct pollfd ask = {.fd = fd, .events = events};

    return poll(&ask, 1, 0) == 1;
}

void cat_input_open(struct cat_input *in, int fd, enum cat_mode mode,
                    const struct cat_options *options)
{
    struct stat about;

    *in = (struct cat_input){.fd = fd, .mode = mode, .chunk = options->chunk};
    in->left = options->count > 0 ? options->count : UINT64_MAX;
    in->polled = fstat(fd, &about) != 0 || !S_ISREG(about.st_mode);
    in->terminal = in->polled && isatty(fd);
    in->ended = fstat(fd, &about) != 0; /* closed by whoever started us: nothing to read */
}

static bool failed(struct cat_loop *loop, struct cat_session *session, const char *why)
{
    cli_say("reading the input failed: %s", why);
    cat_session_close(loop, session, CAT_REASON_FAILED, CLI_FAILED, why);
    return true;
}

void cat_stopped(struct cat_session *session, enum duct_err err, size_t size)
{
    struct duct_msg probe = {.data = NULL};

    if (err != DUCT_EAGAIN && err != DUCT_ECANCELED) {
        session->end = err;
        return;
    }
    session->wants |= CAT_WANTS_SPACE;
    /* Cancelled by a signal that the loop is about to see, or full. */
    session->starved = size > 0 && duct_msg_loan(session->pipe, size, &probe) == DUCT_EAGAIN;
    if (probe.data != NULL) {
        enum duct_err ignored = duct_msg_discard(&probe);
        (void)ignored;
    }
}

/* read(2), or a note that it would wait. -1: nothing was read; *failure is 0 or the errno. */
static ssize_t read_some(struct cat_session *session, void *data, size_t size, int *failure)
{
    struct cat_input *in = &session->in;

    *failure = 0;
    if (in->polled && !cat_ready(in->fd, POLLIN)) {
        session->wants |= CAT_WANTS_INPUT;
        return -1;
    }
    ssize_t got = read(in->fd, data, size);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        session->wants |= CAT_WANTS_INPUT;
    else if (got < 0)
        *failure = errno;
    return got;
}

static void count(struct cat_loop *loop, struct cat_input *in, size_t msgs, size_t bytes)
{
    loop->msgs_in += msgs;
    loop->bytes_in += bytes;
    in->left -= msgs;
    in->ended = in->ended || in->left == 0;
}

static bool pump_raw(struct cat_loop *loop, struct cat_session *session)
{
    struct cat_input *in = &session->in;
    enum duct_err err;
    int failure;

    if (in->loan.data == NULL) {
        if ((err = duct_msg_loan(session->pipe, in->chunk, &in->loan)) != DUCT_OK) {
            cat_stopped(session, err, in->chunk);
            return false;
        }
    }
    if (!in->filled) {
        ssize_t got = read_some(session, in->loan.data, in->chunk, &failure);
        if (got < 0)
            return failure != 0 && failed(loop, session, strerror(failure));
        if (got == 0) {
            in->ended = true;
            return true;
        }
        in->loan.size = (size_t)got;
        in->filled = true;
    }
    size_t size = in->loan.size;
    if ((err = duct_send(session->pipe, &in->loan, 0)) != DUCT_OK) {
        cat_stopped(session, err, 0);
        return false;
    }
    in->filled = false;
    count(loop, in, 1, size);
    return true;
}

/* Finds the next message at data[0..have): 1, 0 if there is not enough yet, -1 if it is too long. */
static int next_line(const struct cat_input *in, const char *data, size_t have,
                     struct duct_view *view, size_t *used)
{
    const char *end = memchr(data, '\n', have < in->chunk ? have : in->chunk);

    if (end != NULL)
        view->size = (size_t)(end - data) + 1;
    else if (have >= in->chunk)
        view->size = in->chunk; /* longer than a message: goes in pieces */
    else if (in->ended && have > 0)
        view->size = have; /* the last line lacks its end */
    else
        return 0;
    view->data = data;
    *used = view->size;
    return 1;
}

static int next_frame(const struct cat_input *in, const char *data, size_t have,
                      struct duct_view *view, size_t *used)
{
    const unsigned char *head = (const unsigned char *)data;

    if (have < 4)
        return 0;
    size_t size =
        (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | (size_t)head[3];
    if (size > in->chunk)
        return -1;
    if (have - 4 < size)
        return 0;
    view->data = data + 4;
    view->size = size;
    *used = 4 + size;
    return 1;
}

static bool allocate(struct cat_input *in, size_t chunk)
{
    if (in->buffer != NULL)
        return true;
    in->capacity = chunk + 4 + ((size_t)64 << 10);
    in->buffer = malloc(in->capacity);
    return in->buffer != NULL;
}

/* Moves what is left to the front, and reads behind it. True if something came, or the end. */
static bool fill(struct cat_loop *loop, struct cat_session *session)
{
    struct cat_input *in = &session->in;
    int failure;

    if (in->at > 0) {
        memmove(in->buffer, in->buffer + in->at, in->have - in->at);
        in->have -= in->at;
        in->at = 0;
    }
    ssize_t got = read_some(session, in->buffer + in->have, in->capacity - in->have, &failure);
    if (got < 0)
        return failure != 0 && failed(loop, session, strerror(failure));
    in->ended = got == 0;
    in->have += (size_t)got;
    return true;
}

static bool pump_parsed(struct cat_loop *loop, struct cat_session *session)
{
    struct cat_input *in = &session->in;
    struct duct_view views[CAT_BATCH];
    size_t ends[CAT_BATCH];
    size_t found = 0, done = 0;
    size_t at = in->at;
    int verdict = 1;

    while (found < CAT_BATCH && found < in->left) {
        size_t used;
        verdict = (in->mode == CAT_LINES ? next_line : next_frame)(
            in, in->buffer + at, in->have - at, &views[found], &used);
        if (verdict != 1)
            break;
        views[found].tag = 0;
        ends[found++] = at += used;
    }
    if (found == 0 && verdict < 0)
        return failed(loop, session, "a frame is longer than --chunk allows");
    if (found == 0 && in->ended && in->have > in->at && in->left > 0)
        return failed(loop, session, "it ended in the middle of a frame");
    if (found == 0)
        return !in->ended && fill(loop, session);
    enum duct_err err = duct_write_batch(session->pipe, views, found, &done, 0);
    if (err != DUCT_OK) {
        cat_stopped(session, err, views[0].size);
        return false;
    }
    count(loop, in, done, ends[done - 1] - in->at);
    in->at = ends[done - 1];
    return true;
}

/* Whether a mode with a buffer still has messages in it. */
static bool has_buffered(const struct cat_input *in)
{
    return in->mode != CAT_RAW && in->have > in->at && in->left > 0;
}

bool cat_input_pump(struct cat_loop *loop, struct cat_session *session)
{
    struct cat_input *in = &session->in;

    if (in->told || session->end != DUCT_OK)
        return false;
    if (!in->ended || has_buffered(in)) {
        if (in->mode == CAT_RAW)
            return pump_raw(loop, session);
        if (!allocate(in, loop->options->chunk))
            return failed(loop, session, strerror(ENOMEM));
        return pump_parsed(loop, session);
    }
    if (in->loan.data != NULL) {
        enum duct_err ignored = duct_msg_discard(&in->loan);
        (void)ignored;
        in->loan = (struct duct_msg){0};
    }
    /* A command's end is told by closing, with its exit status; see cat_session.c. */
    if (session->child == 0 && !loop->options->close_at_end && !cat_end_tell(session))
        return false;
    in->told = true;
    return true;
}
