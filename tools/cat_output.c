/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <duct/message.h>

#include "tools/cat.h"
#include "tools/cli.h"

/*
 * Messages to bytes: a batch of received views is gathered into one writev(2), without a copy of our
 * own, and released when all of it is written.
 *
 * A write that blocks would stop the other direction, and two such programs each other. Making an
 * inherited descriptor non-blocking would change it for everybody who shares it (the shell's terminal,
 * for one), so a pipe or terminal is opened anew by its name under /proc, which gives a description of
 * our own. Where that is refused, a write of at most PIPE_BUF after poll(2) never blocks.
 */

#define POLLED_WRITE_MAX 4096u /* PIPE_BUF of Linux */
#define SMALL_MEAN       4096u
#define BATCH_LARGE      4u /* messages held while they are written: the sender wants them back */

void cat_output_open(struct cat_output *out, int fd, enum cat_mode mode,
                     const struct cat_options *options)
{
    struct stat about;
    char path[32];

    *out = (struct cat_output){.fd = fd, .mode = mode, .batch = CAT_BATCH};
    out->left = options->count > 0 ? options->count : UINT64_MAX;
    if (fstat(fd, &about) != 0 || S_ISREG(about.st_mode))
        return;
    out->polled = true;
    out->socket = S_ISSOCK(about.st_mode);
    if (fcntl(fd, F_GETFL) & O_NONBLOCK) {
        out->private = true;
    } else if (S_ISFIFO(about.st_mode) || S_ISCHR(about.st_mode)) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        int own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (own >= 0) {
            /* In its place, so that the last writer's close is still the end for the reader. */
            dup3(own, fd, O_CLOEXEC);
            close(own);
            out->private = true;
        }
    }
}

static void add(struct cat_output *out, const void *data, size_t size)
{
    if (size > 0)
        out->pieces[out->piece_count++] =
            (struct iovec){.iov_base = (void *)(uintptr_t)data, .iov_len = size};
}

/* The bytes of one message, as the mode frames them. */
static void frame(struct cat_output *out, size_t i)
{
    const struct duct_msg *msg = &out->held[i];
    const char *text = msg->data;

    if (out->mode == CAT_FRAMED) {
        for (unsigned byte = 0; byte < 4; byte++)
            out->heads[i][byte] = (unsigned char)(msg->size >> (24 - 8 * byte));
        add(out, out->heads[i], 4);
    }
    add(out, msg->data, msg->size);
    if (out->mode == CAT_LINES && (msg->size == 0 || text[msg->size - 1] != '\n'))
        add(out, "\n", 1);
}

/* Gives the batch back, and is ready for the next. */
static void release(struct cat_output *out)
{
    enum duct_err ignored = duct_msg_release_batch(out->held, out->held_count);

    (void)ignored; /* ours, every one of them */
    out->held_count = out->piece_count = out->piece_at = 0;
}

/* Takes what has come. True if something did. */
static bool take(struct cat_loop *loop, struct cat_session *session)
{
    struct cat_output *out = &session->out;
    size_t want = out->left < out->batch ? (size_t)out->left : out->batch;
    size_t got = 0;
    uint64_t bytes = 0;

    enum duct_err err = duct_recv_batch(session->pipe, out->held, want, &got, 0);
    /* Cancelled by a signal that the loop is about to see. */
    if (err == DUCT_EAGAIN || err == DUCT_ECANCELED) {
        session->wants |= CAT_WANTS_DATA;
        return false;
    }
    if (err != DUCT_OK) {
        session->end = err;
        return false;
    }
    out->held_count = got;
    for (size_t i = 0; i < got; i++) {
        if (cat_is_end(session, &out->held[i])) {
            cat_end_take(session, &out->held[i]);
            continue;
        }
        frame(out, i);
        bytes += out->held[i].size;
        loop->msgs_out++;
        out->left--;
    }
    loop->bytes_out += bytes;
    out->batch = bytes / got < SMALL_MEAN ? CAT_BATCH : BATCH_LARGE;
    return true;
}

static ssize_t put(const struct cat_output *out)
{
    struct iovec *pieces = (struct iovec *)(uintptr_t)&out->pieces[out->piece_at];
    size_t count = out->piece_count - out->piece_at;

    if (out->socket) {
        struct msghdr msg = {.msg_iov = pieces, .msg_iovlen = count};
        return sendmsg(out->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
    if (out->polled && !out->private) {
        if (!cat_ready(out->fd, POLLOUT)) {
            errno = EAGAIN;
            return -1;
        }
        size_t size = pieces->iov_len < POLLED_WRITE_MAX ? pieces->iov_len : POLLED_WRITE_MAX;
        return write(out->fd, pieces->iov_base, size);
    }
    return writev(out->fd, pieces, (int)count);
}

/* Moves past what was written. */
static void advance(struct cat_output *out, size_t written)
{
    while (out->piece_at < out->piece_count) {
        struct iovec *piece = &out->pieces[out->piece_at];
        if (written < piece->iov_len) {
            piece->iov_base = (char *)piece->iov_base + written;
            piece->iov_len -= written;
            return;
        }
        written -= piece->iov_len;
        out->piece_at++;
    }
}

static bool broken(struct cat_loop *loop, struct cat_session *session, int failure)
{
    if (failure == EPIPE && session->child != 0) {
        session->out.gone = true; /* the command reads no more; it may still write */
    } else if (failure == EPIPE) {
        /* Like any filter that dies of SIGPIPE: whoever closed our output knows. */
        cat_session_close(loop, session, CAT_REASON_OUTPUT, CLI_SIGNAL + SIGPIPE,
                          "nobody reads its output any more");
    } else {
        cli_say("writing the output failed: %s", strerror(failure));
        cat_session_close(loop, session, CAT_REASON_FAILED, CLI_FAILED, strerror(failure));
    }
    return true;
}

bool cat_output_pump(struct cat_loop *loop, struct cat_session *session)
{
    struct cat_output *out = &session->out;
    bool moved = false;

    if (out->held_count == 0) {
        if (out->ended || out->left == 0 || session->end != DUCT_OK)
            return false;
        if (!take(loop, session))
            return session->end != DUCT_OK;
        moved = true;
    }
    while (out->piece_at < out->piece_count && !out->gone) {
        ssize_t written = put(out);
        if (written < 0 && (errno == EAGAIN || errno == EINTR)) {
            session->wants |= CAT_WANTS_OUTPUT;
            return moved;
        }
        if (written < 0)
            return broken(loop, session, errno);
        advance(out, (size_t)written);
        moved = true;
    }
    release(out);
    return true;
}
