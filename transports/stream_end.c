/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/crash.h"
#include "transports/stream.h"

/*
 * How a stream ends, and that both halves learn of it.
 *
 * A close in order says good-bye, and sends nothing more. Were the socket closed at once, then whatever the peer is
 * sending in that moment would be answered with a reset, and that may take the good-bye with it: from the network, or out
 * of the buffers of whoever stands between. So who lingers goes on reading until the peer hangs up, and who was told
 * good-bye hangs up at once: its program may take its time before it closes.
 */

void stream_end(struct stream *stream, enum duct_err why)
{
    uint32_t open = DUCT_OK;

    /* [ended] publishes: the reason of a close. The first stands. */
    if (!atomic_compare_exchange_strong_explicit(&stream->ended, &open, (uint32_t)why,
                                                 memory_order_release, memory_order_relaxed))
        return;
    if (!stream->split)
        return;
    pthread_mutex_lock(&stream->lock);
    for (unsigned half = 0; half < 2; half++) {
        if (stream->stir[half] != NULL)
            di_context_post(stream->stir_context[half], stream->stir[half]);
    }
    pthread_mutex_unlock(&stream->lock);
}

enum duct_err stream_ended(struct stream *stream)
{
    /* [ended] observes: the reason of a close. */
    return (enum duct_err)atomic_load_explicit(&stream->ended, memory_order_acquire);
}

/* What a connection dies of by itself. Anything else that fails is a shortage on this side. */
bool stream_line_failed(int error)
{
    return error == ECONNRESET || error == EPIPE || error == ETIMEDOUT || error == EHOSTUNREACH ||
           error == ENETUNREACH || error == ENETDOWN || error == ECONNABORTED;
}

void stream_keep_why(struct stream *stream)
{
    stream_lock(stream);
    if (stream->close_text[0] == '\0')
        snprintf(stream->close_text, sizeof(stream->close_text), "%s", duct_err_detail());
    stream_unlock(stream);
}

enum duct_err stream_lost(struct stream *stream, int error)
{
    enum duct_err err;

    switch (error) {
    case 0:
    case EPIPE:
        err = di_fail(DUCT_EPEER, "the peer hung up without a good-bye: its process died, or "
                                  "something between the two ended the connection");
        break;
    case ECONNRESET:
    case ECONNABORTED:
        err = di_fail(DUCT_EPEER, "the connection was reset: the peer's process died with messages "
                                  "unread, or something between the two broke it off");
        break;
    case ETIMEDOUT:
        err = di_fail(DUCT_EPEER, "the peer's machine acknowledged nothing for too long: it is "
                                  "down, or cut off");
        break;
    default:
        err = di_fail(DUCT_EPEER, "the peer's machine cannot be reached any more: %s",
                      strerrordesc_np(error));
    }
    stream_keep_why(stream);
    return err;
}

/*
 * Nothing can be sent any more. The reason may lie unread in the socket, behind messages that the program has
 * not taken: what is there is read, as far as there is room, and looked through for a good-bye.
 */
enum duct_err stream_broken(struct stream_pipe *sp, int error)
{
    enum duct_err why = stream_ended(sp->stream);
    bool gone = stream_line_failed(error);

    /* Whoever is reading finds the reason, be it the call of this that an answer broke again, or the loop. */
    if (why == DUCT_OK && sp->in != NULL && gone && (sp->in->breaking || stream_reading(sp)))
        return DUCT_EPEER;
    if (why == DUCT_OK && sp->in != NULL && !sp->in->breaking) {
        sp->in->breaking = true;
        /* The socket says this once; its end looks like any other afterwards. */
        if (gone && error != EPIPE)
            sp->in->error = error;
        stream_pull_all(sp);
        sp->in->breaking = false;
        why = stream_ended(sp->stream);
        if (why == DUCT_OK)
            why = stream_in_closes(sp);
    }
    if (why == DUCT_OK)
        /* Not TIMEOUT where the kernel gave the peer up: to callers that says to try again. */
        why = gone ? stream_lost(sp->stream, error) : di_fail_os(error, "sending on a stream");
    stream_end(sp->stream, why);
    di_pipe_end(&sp->pipe, why);
    return why;
}

void stream_shut(struct stream_pipe *sp)
{
    struct stream *stream = sp->stream;

    stream_lock(stream);
    if (!stream->shut) {
        stream->shut = true;
        di_io_shut_socket(sp->pipe.context->io, stream->fd);
        DI_CRASH_POINT("stream.shut");
    }
    stream_unlock(stream);
}

void stream_answer_close(struct stream_pipe *sp)
{
    stream_lock(sp->stream);
    sp->stream->hung_up = true;
    stream_unlock(sp->stream);
    stream_shut(sp);
}

bool stream_pipe_part(struct duct_pipe *pipe, uint32_t code, const char *text)
{
    struct stream_pipe *sp = stream_of(pipe);

    if (sp->in == NULL)
        return false;
    sp->in->discarding = true;
    sp->parted = true;
    stream_send_close(sp, DUCT_ECLOSED, code, text);
    return true;
}
