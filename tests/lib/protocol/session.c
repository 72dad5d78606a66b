/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <duct/options.h>

#include "lib/protocol/session.h"

/* The states of a connection that comes back, by the clock of the test. */

static const struct di_session_rules rules = {
    .first_ns = 100 * DUCT_MILLISECOND, .most_ns = DUCT_SECOND, .attempt_ns = 5 * DUCT_SECOND};

static struct di_session begun(uint32_t attempts_max)
{
    struct di_session_rules own = rules;
    struct di_session session;

    own.attempts_max = attempts_max;
    di_session_begin(&session, &own, 7, 0);
    return session;
}

Test(session, a_first_dial_that_fails_is_the_end)
{
    struct di_session session = begun(0);

    cr_assert_eq(session.state, DUCT_STATE_CONNECTING);
    cr_assert_eq(session.deadline, 5 * DUCT_SECOND);
    di_session_failed(&session, DUCT_ENOTFOUND, 10);
    cr_assert_eq(session.state, DUCT_STATE_CLOSED);
    cr_assert_eq(session.cause, DUCT_ENOTFOUND);
    cr_assert_eq(session.deadline, INT64_MAX);
}

Test(session, nothing_is_due_while_connected)
{
    struct di_session session = begun(0);

    di_session_connected(&session, 10);
    cr_assert_eq(session.deadline, INT64_MAX);
    cr_assert_eq(di_session_due(&session, INT64_MAX - 1), DI_SESSION_NOTHING);
    cr_assert_eq(session.cause, DUCT_OK);
}

Test(session, a_loss_is_followed_by_a_pause_and_an_attempt)
{
    struct di_session session = begun(0);

    di_session_connected(&session, 0);
    di_session_lost(&session, DUCT_EPEER, 1000);
    cr_assert_eq(session.state, DUCT_STATE_DISCONNECTED);
    cr_assert_eq(session.cause, DUCT_EPEER);
    int64_t due = session.deadline;
    cr_assert_geq(due, 1000 + rules.first_ns / 2);
    cr_assert_leq(due, 1000 + rules.first_ns);
    cr_assert_eq(di_session_due(&session, due - 1), DI_SESSION_NOTHING);
    cr_assert_eq(di_session_due(&session, due), DI_SESSION_DIAL);
    cr_assert_eq(session.state, DUCT_STATE_RECONNECTING);
    cr_assert_eq(session.cause, DUCT_EPEER);
    cr_assert_eq(di_session_due(&session, due + rules.attempt_ns - 1), DI_SESSION_NOTHING);
    cr_assert_eq(di_session_due(&session, due + rules.attempt_ns), DI_SESSION_ABANDON);
    di_session_failed(&session, DUCT_ETIMEOUT, due + rules.attempt_ns);
    cr_assert_eq(session.state, DUCT_STATE_DISCONNECTED);
    cr_assert_eq(session.cause, DUCT_ETIMEOUT);
    cr_assert_eq(session.lost, DUCT_EPEER);
}

Test(session, it_gives_up_after_so_many_attempts)
{
    struct di_session session = begun(3);

    di_session_connected(&session, 0);
    di_session_lost(&session, DUCT_EPEER, 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(session.state, DUCT_STATE_DISCONNECTED);
        int64_t now = session.deadline;
        cr_assert_eq(di_session_due(&session, now), DI_SESSION_DIAL);
        di_session_failed(&session, DUCT_ENOTFOUND, now);
    }
    cr_assert_eq(session.state, DUCT_STATE_CLOSED);
    cr_assert_eq(session.cause, DUCT_ENOTFOUND);
    cr_assert_eq(session.redials, 3);
    cr_assert_eq(di_session_due(&session, INT64_MAX - 1), DI_SESSION_NOTHING);
}

Test(session, some_causes_are_final)
{
    static const enum duct_err final[] = {DUCT_ECLOSED, DUCT_ECORRUPT, DUCT_EDENIED, DUCT_EVERSION,
                                          DUCT_ENOTSUP};

    for (size_t i = 0; i < sizeof(final) / sizeof(final[0]); i++) {
        struct di_session session = begun(0);
        di_session_connected(&session, 0);
        di_session_lost(&session, final[i], 1);
        cr_assert_eq(session.state, DUCT_STATE_CLOSED);
        cr_assert_eq(session.cause, final[i]);
    }
}

Test(session, pauses_double_up_to_the_longest)
{
    struct di_session session = begun(0);
    int64_t now = 0, step = rules.first_ns;

    di_session_connected(&session, 0);
    di_session_lost(&session, DUCT_EPEER, now);
    for (int i = 0; i < 20; i++) {
        int64_t pause = session.deadline - now;
        cr_assert_geq(pause, step / 2, "pause %d", i);
        cr_assert_leq(pause, step, "pause %d", i);
        now = session.deadline;
        cr_assert_eq(di_session_due(&session, now), DI_SESSION_DIAL);
        di_session_failed(&session, DUCT_ENOTFOUND, now);
        step = 2 * step > rules.most_ns ? rules.most_ns : 2 * step;
    }
}

Test(session, a_session_that_held_brings_the_pauses_back_and_a_short_one_does_not)
{
    struct di_session session = begun(0);
    int64_t now = 0;

    di_session_connected(&session, now);
    for (int i = 0; i < 6; i++) {
        di_session_lost(&session, DUCT_EPEER, now);
        now = session.deadline;
        cr_assert_eq(di_session_due(&session, now), DI_SESSION_DIAL);
        di_session_connected(&session, now);
    }
    di_session_lost(&session, DUCT_EPEER, now);
    cr_assert_geq(session.deadline - now, rules.most_ns / 2);
    now = session.deadline;
    cr_assert_eq(di_session_due(&session, now), DI_SESSION_DIAL);
    di_session_connected(&session, now);
    now += rules.most_ns + 1;
    di_session_lost(&session, DUCT_EPEER, now);
    cr_assert_leq(session.deadline - now, rules.first_ns);
}

Test(session, pauses_differ_by_seed)
{
    struct di_session a, b;

    di_session_begin(&a, &rules, 1, 0);
    di_session_begin(&b, &rules, 2, 0);
    di_session_connected(&a, 0);
    di_session_connected(&b, 0);
    di_session_lost(&a, DUCT_EPEER, 0);
    di_session_lost(&b, DUCT_EPEER, 0);
    cr_assert_neq(a.deadline, b.deadline);
}

Test(session, the_largest_times_do_not_wrap)
{
    const struct di_session_rules largest = {
        .first_ns = INT64_MAX, .most_ns = INT64_MAX, .attempt_ns = INT64_MAX};
    struct di_session session;

    di_session_begin(&session, &largest, 1, INT64_MAX - 5);
    cr_assert_eq(session.deadline, INT64_MAX);
    di_session_connected(&session, INT64_MAX - 5);
    di_session_lost(&session, DUCT_EPEER, INT64_MAX - 4);
    cr_assert_eq(session.deadline, INT64_MAX);
}

/* What holds after any history: drawn from a seed, so that a failure comes again. */
static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static void check(const struct di_session *s, int64_t now)
{
    bool waits = s->state == DUCT_STATE_DISCONNECTED || s->state == DUCT_STATE_RECONNECTING ||
                 s->state == DUCT_STATE_CONNECTING;

    cr_assert_eq(s->deadline != INT64_MAX, waits);
    cr_assert(s->state != DUCT_STATE_DISCONNECTED || s->deadline <= now + s->rules.most_ns);
    cr_assert(s->state != DUCT_STATE_CONNECTED || (s->cause == DUCT_OK && s->attempts == 0));
    cr_assert(s->state == DUCT_STATE_CONNECTED || s->state == DUCT_STATE_CONNECTING ||
              s->cause != DUCT_OK);
    cr_assert(s->rules.attempts_max == 0 || s->attempts <= s->rules.attempts_max);
}

static void step(struct di_session *s, uint64_t choice, int64_t *now)
{
    static const enum duct_err causes[] = {DUCT_EPEER, DUCT_ETIMEOUT, DUCT_ENOTFOUND, DUCT_EOS,
                                           DUCT_ECLOSED};
    enum duct_err cause = causes[choice >> 8 & 0xff ? choice % 4 : 4];

    if (s->deadline != INT64_MAX && choice % 3 == 0)
        *now = s->deadline;
    else
        *now += (int64_t)(choice >> 16 & 0xffffff);
    if (s->state == DUCT_STATE_CONNECTED) {
        di_session_lost(s, cause, *now);
    } else if (s->state != DUCT_STATE_DISCONNECTED && choice % 5 == 0) {
        di_session_connected(s, *now);
    } else if (s->state != DUCT_STATE_DISCONNECTED && choice % 7 == 0) {
        di_session_failed(s, cause, *now);
    } else {
        enum duct_state before = s->state;
        switch (di_session_due(s, *now)) {
        case DI_SESSION_NOTHING:
            cr_assert_eq(s->state, before);
            break;
        case DI_SESSION_DIAL:
            cr_assert_eq(before, DUCT_STATE_DISCONNECTED);
            cr_assert_eq(s->state, DUCT_STATE_RECONNECTING);
            break;
        case DI_SESSION_ABANDON:
            cr_assert_neq(before, DUCT_STATE_DISCONNECTED);
            di_session_failed(s, DUCT_ETIMEOUT, *now);
            break;
        }
    }
}

Test(session, any_history)
{
    uint64_t reached[8] = {0};

    for (uint64_t seed = 1; seed <= 500; seed++) {
        uint64_t state = seed * 0x9e3779b97f4a7c15ull;
        struct di_session session = begun(seed % 4 == 0 ? 5 : 0);
        int64_t now = 0;
        for (int i = 0; i < 400 && session.state != DUCT_STATE_CLOSED; i++) {
            step(&session, next(&state), &now);
            check(&session, now);
            reached[session.state]++;
        }
        di_session_close(&session);
        cr_assert_eq(session.state, DUCT_STATE_CLOSED);
    }
    for (int state = DUCT_STATE_CONNECTING; state <= DUCT_STATE_CLOSED; state++)
        cr_assert_gt(reached[state], 0, "no history led to state %d", state);
}
