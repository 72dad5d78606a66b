/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_SESSION_H
#define DI_PROTOCOL_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>
#include <duct/event.h>

/*
 * The life of a connection that is made anew whenever it is lost: when to dial, when to stop waiting for an
 * answer, when to give up. No I/O and no clock: whoever drives it says what happened and when, and is told what
 * is due, and when something will be due next.
 *
 *   CONNECTING ──▶ CONNECTED ──lost──▶ DISCONNECTED ──pause over──▶ RECONNECTING ──▶ CONNECTED
 *                                           ▲ ◀────── the attempt failed ─────┘
 *   any ──▶ CLOSED: closed in order, failed for good, or too many attempts in a row
 *
 * The pause before attempt n lies between half and all of first_ns × 2^(n-1), at most most_ns: the doubling
 * spares a listener that is in trouble, the random half keeps many dialers from coming all at once. A session
 * that held no longer than most_ns does not bring the pauses back to their beginning: a listener that accepts
 * and dies is in trouble too.
 */

struct di_session_rules {
    int64_t first_ns;      /* the longest the first pause may be; at least 1 */
    int64_t most_ns;       /* the longest any pause may be; at least first_ns */
    int64_t attempt_ns;    /* how long an attempt may take */
    uint32_t attempts_max; /* that fail in a row; 0: any number */
};

struct di_session {
    struct di_session_rules rules;
    enum duct_state state;
    enum duct_err cause; /* why the state is so: what ended the session, or the last attempt */
    enum duct_err lost;  /* what ended the last session; DUCT_OK: none has ended */
    uint32_t attempts;   /* begun since there was a session */
    uint32_t doublings;  /* of the next pause */
    uint64_t sessions;   /* there were, the present one included */
    uint64_t redials;    /* attempts begun in all */
    int64_t since;       /* when the session began */
    int64_t deadline;    /* when something is due next; INT64_MAX: never by itself */
    uint64_t random;
};

/* What is to be done. */
enum di_session_due {
    DI_SESSION_NOTHING,
    DI_SESSION_DIAL,   /* begin an attempt */
    DI_SESSION_ABANDON /* end the attempt; then di_session_failed() with TIMEOUT */
};

/* Dialling for the first time begins. seed: of the pauses. */
void di_session_begin(struct di_session *session, const struct di_session_rules *rules,
                      uint64_t seed, int64_t now);

/* The dial, or an attempt, succeeded. */
void di_session_connected(struct di_session *session, int64_t now);

/* The session ended by that. */
void di_session_lost(struct di_session *session, enum duct_err cause, int64_t now);

/* The dial, or the attempt, failed by that. */
void di_session_failed(struct di_session *session, enum duct_err cause, int64_t now);

/* The program closed it. */
void di_session_close(struct di_session *session);

/* What is due by the time it is. */
enum di_session_due di_session_due(struct di_session *session, int64_t now);

/* Whether nothing that happens later would help: the peer closed in order, broke the protocol, or will not have us. */
bool di_session_final(enum duct_err cause);

#endif
