/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/message.h>

#include "tools/cat.h"
#include "tools/cli.h"

/*
 * One step of one session, and its end.
 *
 * It ends in order when both directions have ended, or when the other side's has and our input is a
 * terminal (nobody wants to press ^D after a file has arrived), or after --count messages, or, for a
 * command, once that has ended. Over a durable pipe, an orderly close of the other side's is the end of its input.
 * It ends otherwise when the pipe does: everything that came before is
 * written first.
 */

/* How often to look for what the other side still sends, while it takes what was sent to it. */
#define DROP_NS (20 * DUCT_MILLISECOND)

/* How long the other side is given to hear that all is well, once it has taken everything: some losses on the way. */
#define FAREWELL_NS (2 * DUCT_SECOND)

/* How the other side closed: 0 if in order. */
static int closed_code(const struct cat_loop *loop, const struct cat_session *session)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    const struct cat_options *options = loop->options;
    enum duct_err err = duct_pipe_info(session->pipe, &info);
    int code = err == DUCT_OK && info.close_code != CAT_REASON_DONE ? CLI_CLOSED : CLI_OK;

    if (code != CLI_OK || (options->verbose && info.close_text[0] != '\0'))
        cli_say("the other side closed %s: %s", options->url,
                info.close_text[0] != '\0' ? info.close_text : "it gave a code, but no words");
    return code;
}

/* Throws away what the other side still sends, a batch at most. True if there was something. */
static bool drop_some(struct duct_pipe *pipe)
{
    struct duct_msg msg;
    size_t dropped = 0;

    while (dropped < CAT_BATCH && duct_recv(pipe, &msg, 0) == DUCT_OK) {
        enum duct_err ignored = duct_msg_release(&msg);
        (void)ignored;
        dropped++;
    }
    return dropped > 0;
}

/*
 * Waits until the other side has taken what was sent: only then is it delivered, as the exit code says. Who closes
 * first, in order, has. It may be leaving as well, and wait for the same: what it still sends is thrown away, as a
 * close would, and its word comes behind that.
 */
static int delivered(const struct cat_loop *loop, const struct cat_session *session)
{
    const struct cat_options *options = loop->options;
    int64_t start = cli_now();
    enum duct_err err;

    do {
        err = duct_pipe_drain(session->pipe, drop_some(session->pipe) ? 0 : DROP_NS);
        if (cli_signal() != 0)
            return CLI_SIGNAL + cli_signal();
    } while ((err == DUCT_EAGAIN || err == DUCT_ETIMEOUT) &&
             (options->timeout_ns == DUCT_FOREVER || cli_now() - start < options->timeout_ns));
    if (err == DUCT_OK)
        return CLI_OK;
    if (err == DUCT_ECLOSED)
        return closed_code(loop, session);
    cli_say("whether the other side of %s has taken everything is not known: %s", options->url,
            duct_err_text(err));
    return cli_exit_of(err);
}

void cat_session_close(struct cat_loop *loop, struct cat_session *session, enum cat_reason reason,
                       int code, const char *text)
{
    /* To a durable pipe, sent means kept. Others wait meanwhile, so not where there are others. */
    bool delivers = reason == CAT_REASON_DONE && session->end == DUCT_OK && code == CLI_OK &&
                    !session->durable && !loop->options->keep;

    if (delivers && (code = delivered(loop, session)) == CLI_TIMEOUT) {
        reason = CAT_REASON_IDLE;
        text = "it did not take everything in time";
    }
    int64_t patience = loop->options->timeout_ns;
    patience = patience < FAREWELL_NS ? patience : FAREWELL_NS;
    duct_pipe_close_with(session->pipe, reason, text, delivers && code == CLI_OK ? patience : 0);
    session->pipe = NULL;
    if (session->in.filled && !loop->options->quiet)
        cli_say("%zu bytes of the input were read but could not be sent any more",
                session->in.loan.size);
    session->in.loan = (struct duct_msg){0};
    session->in.filled = false;
    session->done = true;
    session->code = code;
}

/* Of a peer that was lost by the pipe, of anything else by the call that found it. */
static void say_end(const struct cat_options *options, const struct cat_session *session)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    const char *words = session->end == DUCT_EPEER ? duct_err_text(DUCT_EPEER) : duct_err_detail();

    if (session->end == DUCT_EPEER && duct_pipe_info(session->pipe, &info) == DUCT_OK &&
        info.close_text[0] != '\0')
        words = info.close_text;
    cli_say("the pipe %s ended: %s", options->url, words);
}

/* The pipe has ended, and everything that came before is written. */
static void ended(struct cat_loop *loop, struct cat_session *session)
{
    const struct cat_options *options = loop->options;
    int code = cli_exit_of(session->end);

    if (session->end == DUCT_ECLOSED) {
        code = closed_code(loop, session);
    } else if (session->end == DUCT_EPEER && session->in.told && session->out.ended) {
        code = CLI_OK; /* both had said all they had to say */
    } else {
        say_end(options, session);
    }
    bool over = session->end == DUCT_ECLOSED || session->end == DUCT_EPEER;
    cat_session_close(loop, session, over ? CAT_REASON_DONE : CAT_REASON_FAILED, code,
                      over ? NULL : duct_err_text(session->end));
}

/* ---- Commands ---- */

static void command_ended(struct cat_loop *loop, struct cat_session *session)
{
    char text[DUCT_REASON_MAX] = "";
    int status = session->child_status;

    if (WIFSIGNALED(status))
        snprintf(text, sizeof(text), "the command was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        snprintf(text, sizeof(text), "the command failed with status %d", WEXITSTATUS(status));
    bool good = text[0] == '\0';
    if (!good && !loop->options->quiet)
        cli_say("%s: %s", loop->options->command, text);
    cat_session_close(loop, session, good ? CAT_REASON_DONE : CAT_REASON_COMMAND,
                      good ? CLI_OK : CLI_FAILED, text);
}

/* Tells the command that no more will come. */
static void end_command_input(struct cat_session *session)
{
    if (session->out.fd >= 0)
        close(session->out.fd);
    session->out.fd = -1;
    session->out.gone = true;
}

static bool step_command(struct cat_loop *loop, struct cat_session *session)
{
    if (session->out.ended && session->out.held_count == 0 && session->out.fd >= 0) {
        end_command_input(session);
        return true;
    }
    if (session->in.told && cat_reap(session)) {
        command_ended(loop, session);
        return true;
    }
    return false;
}

/* ---- Echo ---- */

static bool step_echo(struct cat_session *session)
{
    struct cat_output *out = &session->out;
    struct duct_msg copy;
    enum duct_err err;

    if (out->held_count == 0) {
        if ((err = duct_recv(session->pipe, &out->held[0], 0)) != DUCT_OK) {
            /* Cancelled by a signal that the loop is about to see. */
            bool over = err != DUCT_EAGAIN && err != DUCT_ECANCELED;
            if (over)
                session->end = err;
            else
                session->wants |= CAT_WANTS_DATA;
            return over;
        }
        out->held_count = 1;
    }
    struct duct_msg *msg = &out->held[0];
    err = duct_msg_loan(session->pipe, msg->size, &copy);
    if (err == DUCT_OK) {
        if (msg->size > 0)
            memcpy(copy.data, msg->data, msg->size);
        copy.tag = msg->tag;
        if ((err = duct_send(session->pipe, &copy, 0)) != DUCT_OK) {
            enum duct_err ignored = duct_msg_discard(&copy);
            (void)ignored;
        }
    }
    if (err == DUCT_EAGAIN || err == DUCT_ECANCELED) {
        cat_stopped(session, err, msg->size);
        return false;
    }
    enum duct_err ignored = duct_msg_release(msg);
    (void)ignored;
    out->held_count = 0;
    if (err != DUCT_OK)
        session->end = err;
    return true;
}

/* ---- One step ---- */

/* A durable pipe does not end by what its peer does, and keeps what is sent: but from a peer that has closed in
 * order nothing more comes. */
static bool peer_finished(struct cat_session *session)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    /* If not, the next event says. */
    session->alone = duct_pipe_info(session->pipe, &info) == DUCT_OK && info.peer_closed;
    return session->alone && info.undelivered_in == 0;
}

/* Ends the session if it is time. */
static bool finish(struct cat_loop *loop, struct cat_session *session)
{
    const struct cat_options *options = loop->options;
    struct cat_output *out = &session->out;
    const struct cat_input *in = &session->in;

    if (out->held_count > 0)
        return false;
    bool input_over = in->told || (in->terminal && in->at == in->have);
    if (session->alone && session->end == DUCT_OK && peer_finished(session)) {
        if (session->child != 0)
            out->ended = true;
        else if (input_over || (session->wants & CAT_WANTS_PEER))
            session->end =
                DUCT_ECLOSED; /* and nobody is there to be told that this input is over */
    }
    if (session->end != DUCT_OK) {
        if (session->child == 0) {
            ended(loop, session);
        } else if (out->fd >= 0) {
            out->ended = true; /* the command may go on, but nobody listens */
            end_command_input(session);
            if (in->fd >= 0)
                close(in->fd);
            session->in.fd = -1;
            session->in.ended = session->in.told = true;
        } else {
            return false;
        }
        return true;
    }
    if (out->left == 0) {
        char text[DUCT_REASON_MAX];
        snprintf(text, sizeof(text), "it took the %llu messages it was asked to",
                 (unsigned long long)options->count);
        cat_session_close(loop, session, CAT_REASON_DONE, CLI_OK, text);
        return true;
    }
    if (session->child == 0 &&
        ((out->ended && input_over) || (in->told && options->close_at_end))) {
        cat_session_close(loop, session, CAT_REASON_DONE, CLI_OK, NULL);
        return true;
    }
    return false;
}

bool cat_session_step(struct cat_loop *loop, struct cat_session *session)
{
    bool moved;

    session->wants = 0;
    session->starved = false;
    if (loop->options->echo) {
        moved = step_echo(session);
    } else {
        moved = cat_output_pump(loop, session);
        if (!session->done)
            moved |= cat_input_pump(loop, session);
        if (!session->done && session->child != 0)
            moved |= step_command(loop, session);
    }
    if (!session->done)
        moved |= finish(loop, session);
    return moved;
}
