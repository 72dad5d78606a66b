/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/session.h"

/* Splitmix64: the pauses are to differ, nothing more. */
static uint64_t draw(struct di_session *session)
{
    uint64_t z = session->random += 0x9e3779b97f4a7c15ull;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return z ^ z >> 31;
}

static int64_t after(int64_t now, int64_t duration)
{
    return duration > INT64_MAX - now ? INT64_MAX : now + duration;
}

/* Half of the step for certain, the other half by chance. */
static int64_t next_pause(struct di_session *session)
{
    int64_t step = session->rules.first_ns;

    for (uint32_t i = 0; i < session->doublings && step < session->rules.most_ns; i++)
        step = step > INT64_MAX / 2 ? INT64_MAX : 2 * step;
    if (step >= session->rules.most_ns)
        step = session->rules.most_ns;
    else
        session->doublings++;
    int64_t half = step / 2;
    return half + (int64_t)(draw(session) % (uint64_t)(step - half + 1));
}

bool di_session_final(enum duct_err cause)
{
    return cause == DUCT_ECLOSED || cause == DUCT_ECORRUPT || cause == DUCT_EDENIED ||
           cause == DUCT_EVERSION || cause == DUCT_ENOTSUP;
}

static void end(struct di_session *session, enum duct_err cause)
{
    session->state = DUCT_STATE_CLOSED;
    session->cause = cause;
    session->deadline = INT64_MAX;
}

/* A pause, or the end. */
static void pause_before_next(struct di_session *session, enum duct_err cause, int64_t now)
{
    bool spent =
        session->rules.attempts_max != 0 && session->attempts >= session->rules.attempts_max;

    if (di_session_final(cause) || spent) {
        end(session, cause);
        return;
    }
    session->state = DUCT_STATE_DISCONNECTED;
    session->cause = cause;
    session->deadline = after(now, next_pause(session));
}

void di_session_begin(struct di_session *session, const struct di_session_rules *rules,
                      uint64_t seed, int64_t now)
{
    *session = (struct di_session){.rules = *rules,
                                   .state = DUCT_STATE_CONNECTING,
                                   .deadline = after(now, rules->attempt_ns),
                                   .random = seed};
}

void di_session_connected(struct di_session *session, int64_t now)
{
    session->state = DUCT_STATE_CONNECTED;
    session->cause = DUCT_OK;
    session->attempts = 0;
    session->sessions++;
    session->since = now;
    session->deadline = INT64_MAX;
}

void di_session_lost(struct di_session *session, enum duct_err cause, int64_t now)
{
    if (now - session->since > session->rules.most_ns)
        session->doublings = 0;
    session->lost = cause;
    pause_before_next(session, cause, now);
}

void di_session_failed(struct di_session *session, enum duct_err cause, int64_t now)
{
    /* Nobody has had a session yet: whoever dials for the first time is told at once. */
    if (session->state == DUCT_STATE_CONNECTING)
        end(session, cause);
    else
        pause_before_next(session, cause, now);
}

void di_session_close(struct di_session *session)
{
    if (session->state != DUCT_STATE_CLOSED)
        end(session, DUCT_ECLOSED);
}

enum di_session_due di_session_due(struct di_session *session, int64_t now)
{
    if (now < session->deadline)
        return DI_SESSION_NOTHING;
    if (session->state != DUCT_STATE_DISCONNECTED)
        return DI_SESSION_ABANDON;
    session->state = DUCT_STATE_RECONNECTING;
    session->attempts++;
    session->redials++;
    session->deadline = after(now, session->rules.attempt_ns);
    return DI_SESSION_DIAL;
}
