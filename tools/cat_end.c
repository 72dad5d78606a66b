/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include <duct/message.h>

#include "tools/cat.h"

/*
 * The end of a direction, told and understood.
 *
 * A durable pipe keeps messages for whoever comes next, and what is over then is the input of somebody who has left.
 * So there the message names the session in which it was said: one of another session is passed over, also when it
 * comes before our own loop knows of the session; and it is told again in each further one.
 */

bool cat_is_end(const struct cat_session *session, const struct duct_msg *msg)
{
    return msg->tag == CAT_END_TAG &&
           msg->size == (session->durable ? sizeof(session->out.ended_in) : 0);
}

/* The session there is now; 0: nobody is there. */
static uint64_t session_now(const struct cat_session *session)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    return duct_pipe_info(session->pipe, &info) == DUCT_OK && info.state == DUCT_STATE_CONNECTED
               ? info.session_id
               : 0;
}

void cat_end_look(struct cat_session *session)
{
    uint64_t now = session->durable ? session_now(session) : 0;

    if (now == 0)
        return;
    if (session->out.ended_in == now)
        session->out.ended = true;
    if (session->in.told_in != 0 && session->in.told_in != now) {
        session->in.told_in = 0;
        session->in.told = false;
    }
}

void cat_end_take(struct cat_session *session, const struct duct_msg *msg)
{
    if (!session->durable) {
        session->out.ended = true;
        return;
    }
    memcpy(&session->out.ended_in, msg->data, sizeof(session->out.ended_in));
    cat_end_look(session);
}

bool cat_end_tell(struct cat_session *session)
{
    uint64_t now = session->durable ? session_now(session) : 0;

    if (session->durable && now == 0) {
        session->wants |= CAT_WANTS_PEER;
        return false;
    }
    enum duct_err err = duct_write(session->pipe, session->durable ? &now : NULL,
                                   session->durable ? sizeof(now) : 0, CAT_END_TAG, 0);
    if (err != DUCT_OK) {
        cat_stopped(session, err, 0);
        return false;
    }
    session->in.told_in = now;
    return true;
}
