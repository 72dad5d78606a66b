/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/context.h>
#include <duct/event.h>
#include <duct/message.h>

#include "tools/cat.h"
#include "tools/cli.h"

/*
 * The loop: accepts, steps every session until none moves, then waits.
 *
 * Waiting has three grades. First a few microseconds of further steps, since on a busy pipe the next
 * message is nearer than the next sleep, if there is a processor to spare. Then, with nothing but
 * pipes to wait for, duct_context_wait(). Only where a descriptor of ours was not ready either, poll(2)
 * on those and duct_context_fd().
 */

#define SPIN_NS \
    (60 * DUCT_MICROSECOND) /* three reads of 64 KiB, measured: shorter, and bulk sleeps */
#define TICK_NS (DUCT_SECOND / 4)
#define FDS_MAX (3 * CAT_SESSIONS_MAX + 1)
#define EVENTS  16u
/* How long to wait for a block while other things may want attention. */
#define BLOCK_NS (2 * DUCT_MILLISECOND)

/* ---- Sessions ---- */

static bool fit_to_pipe(struct cat_loop *loop, struct cat_session *session)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    enum duct_err err = duct_pipe_info(session->pipe, &info);

    if (err != DUCT_OK)
        return false;
    session->durable = info.durable != 0;
    session->alone = info.durable && info.state == DUCT_STATE_DISCONNECTED;
    session->in.chunk = loop->options->chunk;
    if (session->in.chunk > info.max_send)
        session->in.chunk = info.max_send;
    if (loop->options->verbose)
        cli_say("a pipe with process %d of uid %u, messages of up to %zu bytes", info.peer_pid,
                info.peer_uid, session->in.chunk);
    return true;
}

static struct cat_session *session_open(struct cat_loop *loop, struct duct_pipe *pipe)
{
    struct cat_session *session = calloc(1, sizeof(*session));

    if (session == NULL)
        return NULL;
    session->pipe = pipe;
    session->child_fd = -1;
    if (loop->options->echo) {
        session->in.ended = session->in.told = true;
        session->in.fd = session->out.fd = -1;
        session->out.left = UINT64_MAX;
    } else if (loop->options->command == NULL) {
        session->in = loop->in;
        session->in.told = false;
        session->in.told_in = 0;
        session->out = loop->out;
    } else if (!cat_spawn(session, loop->options)) {
        free(session);
        return NULL;
    }
    session->watched = 0;
    if (!fit_to_pipe(loop, session))
        session->end = DUCT_ECLOSED;
    return session;
}

bool cat_add(struct cat_loop *loop, struct duct_pipe *pipe)
{
    struct cat_session *session = session_open(loop, pipe);

    if (session == NULL) {
        duct_pipe_close_with(pipe, CAT_REASON_FAILED, "no process or memory for the pipe", 0);
        loop->code = CLI_FAILED;
        return false;
    }
    loop->sessions[loop->session_count++] = session;
    loop->moved_at = cli_now();
    loop->served++;
    return true;
}

static void end_child(const struct cat_loop *loop, struct cat_session *session)
{
    if (session->in.fd >= 0)
        close(session->in.fd);
    if (session->out.fd >= 0)
        close(session->out.fd);
    cat_end_command(session, loop->options);
}

/* Removes a session that is done, and gives this process's own input back. */
static void session_free(struct cat_loop *loop, size_t at)
{
    struct cat_session *session = loop->sessions[at];

    loop->code = session->code;
    if (session->child != 0) {
        free(session->in.buffer);
        end_child(loop, session);
    } else if (!loop->options->echo) {
        loop->in = session->in;
        if (session->code == CLI_SIGNAL + SIGPIPE)
            loop->out.gone = true;
    }
    free(session);
    loop->sessions[at] = loop->sessions[--loop->session_count];
}

/* ---- Accepting ---- */

static void accept_all(struct cat_loop *loop)
{
    struct duct_pipe *pipe;

    while (loop->listener != NULL && loop->queue_count < CAT_QUEUE_MAX &&
           duct_accept(loop->listener, &pipe, 0) == DUCT_OK) {
        /* Until its turn comes nothing of it may wake us. */
        enum duct_err ignored = duct_pipe_watch(pipe, 0);
        (void)ignored;
        loop->queue[loop->queue_count++] = pipe;
        if (!loop->options->keep) {
            duct_listener_close(loop->listener);
            loop->listener = NULL;
        }
    }
}

static void start_queued(struct cat_loop *loop)
{
    const struct cat_options *options = loop->options;
    size_t most = options->echo || options->command != NULL ? CAT_SESSIONS_MAX : 1;

    while (loop->queue_count > 0 && loop->session_count < most) {
        struct duct_pipe *pipe = loop->queue[0];
        loop->queue_count--;
        memmove(&loop->queue[0], &loop->queue[1], loop->queue_count * sizeof(pipe));
        enum duct_err err =
            duct_pipe_watch(pipe, DUCT_WATCH_READABLE | DUCT_WATCH_STATE | DUCT_WATCH_END);
        (void)err; /* one that ended meanwhile says so when it is received from */
        cat_add(loop, pipe);
    }
}

/* ---- Waiting ---- */

static void watch(struct cat_session *session)
{
    uint32_t mask = DUCT_WATCH_END | DUCT_WATCH_STATE;

    if (session->wants & CAT_WANTS_DATA)
        mask |= DUCT_WATCH_READABLE;
    /* A ring with room does not help a loan that lacks a block. */
    if ((session->wants & CAT_WANTS_SPACE) && !session->starved)
        mask |= DUCT_WATCH_WRITABLE;
    if (mask != session->watched && duct_pipe_watch(session->pipe, mask) == DUCT_OK)
        session->watched = mask;
}

static void say_state(const struct cat_loop *loop, const struct duct_event *event)
{
    bool why = event->err != DUCT_OK;

    if (loop->options->verbose)
        cli_say("%s: %s%s%s", loop->options->url, duct_state_name(event->state), why ? ": " : "",
                why ? duct_err_text(event->err) : "");
}

/* Takes news from the context: what a pipe has to say about its end, and that somebody dials. */
static enum duct_err take_news(struct cat_loop *loop, int64_t timeout_ns)
{
    struct duct_event events[EVENTS];
    size_t count = 0;
    enum duct_err err = duct_context_wait(loop->context, events, EVENTS, &count, timeout_ns);

    for (size_t i = 0; i < count; i++) {
        if (events[i].type == DUCT_EVENT_ACCEPTED)
            accept_all(loop);
        if (events[i].type == DUCT_EVENT_STATE)
            say_state(loop, &events[i]);
        for (size_t k = 0; k < loop->session_count; k++) {
            struct cat_session *session = loop->sessions[k];
            /* Before its end there may be messages; with none expected this is the place. */
            if (session->pipe == events[i].pipe && session->out.ended &&
                (events[i].type == DUCT_EVENT_CLOSED || events[i].type == DUCT_EVENT_ERROR))
                session->end = events[i].err;
            if (session->pipe == events[i].pipe && events[i].type == DUCT_EVENT_STATE) {
                session->alone = events[i].state == DUCT_STATE_DISCONNECTED;
                cat_end_look(session);
            }
        }
    }
    return err;
}

static nfds_t gather(struct cat_loop *loop, struct pollfd *fds)
{
    nfds_t count = 0;

    for (size_t i = 0; i < loop->session_count; i++) {
        const struct cat_session *session = loop->sessions[i];
        if (session->wants & CAT_WANTS_INPUT)
            fds[count++] = (struct pollfd){.fd = session->in.fd, .events = POLLIN};
        if (session->wants & CAT_WANTS_OUTPUT)
            fds[count++] = (struct pollfd){.fd = session->out.fd, .events = POLLOUT};
        if (session->child_fd >= 0 && session->in.told)
            fds[count++] = (struct pollfd){.fd = session->child_fd, .events = POLLIN};
    }
    return count;
}

/* The pool is empty and the ring is not full: only a call that wants a block can wait for one. */
static bool wait_for_block(struct cat_loop *loop)
{
    for (size_t i = 0; i < loop->session_count; i++) {
        struct cat_session *session = loop->sessions[i];
        struct duct_msg loan;
        if (!session->starved)
            continue;
        enum duct_err err = duct_msg_loan_aligned(session->pipe, session->in.chunk, DUCT_ALIGN_LINE,
                                                  BLOCK_NS, &loan);
        if (err == DUCT_OK) {
            enum duct_err ignored = duct_msg_discard(&loan);
            (void)ignored;
        }
        return true;
    }
    return false;
}

static enum duct_err wait_for_something(struct cat_loop *loop, int64_t timeout_ns)
{
    struct pollfd fds[FDS_MAX];
    int fd;

    for (size_t i = 0; i < loop->session_count; i++)
        watch(loop->sessions[i]);
    if (wait_for_block(loop))
        return take_news(loop, 0);
    nfds_t count = gather(loop, fds);
    if (count == 0)
        return take_news(loop, timeout_ns);
    enum duct_err err = duct_context_fd(loop->context, &fd);
    if (err != DUCT_OK)
        return err;
    /* Only after this found nothing does the descriptor mean anything. */
    if ((err = take_news(loop, 0)) != DUCT_EAGAIN)
        return err;
    fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    int64_t wait_ms = timeout_ns / DUCT_MILLISECOND;
    poll(fds, count, timeout_ns == DUCT_FOREVER ? -1 : wait_ms < 60000 ? (int)wait_ms + 1 : 60000);
    return DUCT_OK;
}

/* How long to wait for anything before there is something to do about time. */
static int64_t patience(const struct cat_loop *loop, int64_t now, bool progress)
{
    int64_t left = DUCT_FOREVER;

    if (loop->options->timeout_ns != DUCT_FOREVER) {
        left = loop->moved_at + loop->options->timeout_ns - now;
        left = left > 0 ? left : 0;
    }
    return progress && left > TICK_NS ? TICK_NS : left;
}

/* ---- The loop ---- */

static bool step_all(struct cat_loop *loop)
{
    bool moved = false;

    for (size_t i = 0; i < loop->session_count;) {
        moved |= cat_session_step(loop, loop->sessions[i]);
        if (loop->sessions[i]->done)
            session_free(loop, i);
        else
            i++;
    }
    return moved;
}

static void close_all(struct cat_loop *loop, enum cat_reason reason, int code, const char *text)
{
    while (loop->session_count > 0) {
        cat_session_close(loop, loop->sessions[0], reason, code, text);
        session_free(loop, 0);
    }
    while (loop->queue_count > 0)
        duct_pipe_close_with(loop->queue[--loop->queue_count], reason, text, 0);
    duct_listener_close(loop->listener);
    loop->listener = NULL;
}

static int timed_out(struct cat_loop *loop)
{
    cli_say("%s %s: %s within the time given by --timeout",
            loop->options->listening ? "listen on" : "dial", loop->options->url,
            loop->session_count > 0 ? "nothing moved" : "nobody dialed");
    close_all(loop, CAT_REASON_IDLE, CLI_TIMEOUT, "nothing moved for too long");
    return CLI_TIMEOUT;
}

static bool over(const struct cat_loop *loop)
{
    return (loop->session_count == 0 && loop->queue_count == 0 && loop->listener == NULL) ||
           loop->out.gone;
}

int cat_run(struct cat_loop *loop)
{
    bool progress = cat_progress_wanted(loop->options);
    int64_t spin_ns = cli_processors() > 1 ? SPIN_NS : 0;
    int64_t looked_at = 0;
    enum duct_err err = DUCT_OK;

    loop->started = loop->moved_at = cli_now();
    for (; !over(loop) && cli_signal() == 0; start_queued(loop)) {
        bool moved = step_all(loop);
        int64_t now = cli_now();
        if (progress)
            cat_progress(loop, now);
        if (moved)
            loop->moved_at = now;
        /* A step may have taken the cancel that the signal left, so a wait would miss it. */
        if (cli_signal() != 0)
            break;
        if (moved || (now - loop->moved_at < spin_ns && loop->session_count > 0)) {
            /* A busy loop never waits; whoever dials is let in all the same. */
            if (now - looked_at < 5 * DUCT_MILLISECOND)
                continue;
            looked_at = now;
            err = take_news(loop, 0);
        } else if (loop->options->timeout_ns != DUCT_FOREVER &&
                   now - loop->moved_at >= loop->options->timeout_ns) {
            return timed_out(loop);
        } else {
            err = wait_for_something(loop, patience(loop, now, progress));
        }
        if (err != DUCT_OK && err != DUCT_EAGAIN && err != DUCT_ETIMEOUT && err != DUCT_ECANCELED)
            break;
    }
    if (cli_signal() != 0) {
        close_all(loop, CAT_REASON_INTERRUPTED, CLI_SIGNAL + cli_signal(), "it was interrupted");
        loop->code = CLI_SIGNAL + cli_signal();
    } else if (!over(loop)) {
        loop->code = cli_fail(err, "wait on", loop->options->url);
        close_all(loop, CAT_REASON_FAILED, loop->code, "its event loop failed");
    }
    close_all(loop, CAT_REASON_OUTPUT, loop->code, "nobody reads its output any more");
    return loop->code;
}
