/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/suite.h"

/* Ends: in order, with a reason, by death; and what outlives them. */

static void recv_end(struct side *s, enum duct_err expected)
{
    struct duct_msg msg = {.tag = 3};
    unsigned char byte;
    size_t size, done;

    GIVES(s, duct_recv(s->pipe, &msg, SOON), expected);
    CHECK(s, msg.tag == 3);
    GIVES(s, duct_recv(s->pipe, &msg, 0), expected);
    GIVES(s, duct_read(s->pipe, &byte, 1, &size, NULL, SOON), expected);
    GIVES(s, duct_recv_batch(s->pipe, &msg, 1, &done, SOON), expected);
    GIVES(s, duct_msg_loan(s->pipe, 1, &msg), expected);
    GIVES(s, duct_write(s->pipe, "x", 1, 0, SOON), expected);
    GIVES(s, duct_flush(s->pipe), expected);
    CHECK(s, info_of(s, s->pipe).end == expected);
    CHECK(s, info_of(s, s->pipe).state ==
                 (expected == DUCT_ECLOSED ? DUCT_STATE_CLOSED : DUCT_STATE_DISCONNECTED));
}

/* ---- With a reason ---- */

static void gives_reason(struct side *s)
{
    put(s, 8, 0);
    put(s, 3000, 1);
    duct_pipe_close_with(s->pipe, 42, "done \x1b[31m for today", 0);
}

static void gets_reason(struct side *s)
{
    take(s, 8, 0);
    take(s, 3000, 1);
    recv_end(s, DUCT_ECLOSED);
    CHECK(s, info_of(s, s->pipe).close_code == 42);
    /* What would steer a terminal comes escaped. */
    CHECK(s, strncmp(info_of(s, s->pipe).close_text, "done ", 5) == 0);
    CHECK(s, strstr(info_of(s, s->pipe).close_text, "for today") != NULL);
    CHECK(s, strchr(info_of(s, s->pipe).close_text, 27) == NULL);
}

CONFORMS(close_reason, 0, 0, "", gets_reason, gives_reason)

static void gives_long_reason(struct side *s)
{
    char text[400];

    memset(text, 'r', sizeof(text));
    text[399] = '\0';
    duct_pipe_close_with(s->pipe, UINT32_MAX, text, 0);
}

static void gets_long_reason(struct side *s)
{
    recv_end(s, DUCT_ECLOSED);
    struct duct_pipe_info info = info_of(s, s->pipe);
    CHECK(s, info.close_code == UINT32_MAX && strlen(info.close_text) == DUCT_REASON_MAX - 1);
}

CONFORMS(close_long_reason, 0, 0, "", gets_long_reason, gives_long_reason)

/* ---- Drain ---- */

static void sends_and_closes(struct side *s)
{
    for (uint64_t i = 0; i < 60; i++)
        put(s, i % 4 == 0 ? 400 : 8, i);
    duct_pipe_close(s->pipe);
    tell(s);
    await(s);
}

static void drains(struct side *s)
{
    await(s);
    for (uint64_t i = 0; i < 60; i++)
        take(s, i % 4 == 0 ? 400 : 8, i);
    recv_end(s, DUCT_ECLOSED);
    tell(s);
}

CONFORMS(drain_after_close, CAN_SHARE, 0, "", drains, sends_and_closes)

static void sends_and_dies(struct side *s)
{
    for (uint64_t i = 0; i < 60; i++)
        put(s, i % 4 == 0 ? 400 : 8, i);
    tell(s);
    await(s);
    await(s);
}

static void kill_there(struct side *s)
{
    siginfo_t info;

    CHECK(s, kill(s->other_pid, SIGKILL) == 0);
    CHECK(s, waitid(P_PID, (id_t)s->other_pid, &info, WEXITED | WNOWAIT) == 0);
    s->other_pid = 0;
}

static void drains_the_dead(struct side *s)
{
    struct duct_msg held;

    await(s);
    OK(s, duct_recv(s->pipe, &held, SOON));
    kill_there(s);
    for (uint64_t i = 1; i < 60; i++)
        take(s, i % 4 == 0 ? 400 : 8, i);
    CHECK(s, filled(held.data, 400, 0));
    recv_end(s, DUCT_EPEER);
    CHECK(s, filled(held.data, 400, 0));
    OK(s, duct_msg_release(&held));
}

CONFORMS_PROCESS(drain_after_kill, CAN_SHARE, 0, "", drains_the_dead, sends_and_dies)

/* Blocked in each kind of call when the peer dies. */
static void *kills(void *arg)
{
    kill_there(arg);
    return NULL;
}

static void dies_while(struct side *s, bool sending)
{
    struct duct_msg msg;
    pthread_t thread;
    enum duct_err err = DUCT_OK;

    await(s);
    while (sending && (err = duct_write(s->pipe, "abc", 3, 0, 0)) == DUCT_OK)
        continue;
    CHECK(s, pthread_create(&thread, NULL, kills, s) == 0);
    if (sending)
        GIVES(s, duct_write(s->pipe, "abc", 3, 0, SOON), DUCT_EPEER);
    else
        GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_EPEER);
    CHECK(s, pthread_join(thread, NULL) == 0);
}

static void dies_while_we_receive(struct side *s)
{
    dies_while(s, false);
}

static void dies_while_we_send(struct side *s)
{
    dies_while(s, true);
}

static void waits_for_death(struct side *s)
{
    tell(s);
    await(s);
}

CONFORMS_PROCESS(dies_in_recv, 0, 0, "", dies_while_we_receive, waits_for_death)
CONFORMS_PROCESS(dies_in_recv_parked, 0, 0, "wait=park", dies_while_we_receive, waits_for_death)
CONFORMS_PROCESS(dies_in_recv_spinning, 0, 0, "wait=spin", dies_while_we_receive, waits_for_death)
CONFORMS_PROCESS(dies_in_recv_yielding, 0, 0, "wait=yield", dies_while_we_receive, waits_for_death)
CONFORMS_PROCESS(dies_in_send, CAN_SHARE, 0, "", dies_while_we_send, waits_for_death)
CONFORMS_PROCESS(dies_in_send_parked, CAN_SHARE, 0, "wait=park", dies_while_we_send,
                 waits_for_death)
CONFORMS_PROCESS(dies_in_send_spinning, CAN_SHARE, 0, "wait=spin", dies_while_we_send,
                 waits_for_death)

/* A caller that only polls learns of it too. */
static void dies_while_we_poll(struct side *s)
{
    struct duct_msg msg;
    enum duct_err err;

    await(s);
    kill_there(s);
    while ((err = duct_recv(s->pipe, &msg, 0)) == DUCT_EAGAIN)
        continue;
    GIVES(s, err, DUCT_EPEER);
}

CONFORMS_PROCESS(dies_in_poll, 0, 0, "", dies_while_we_poll, waits_for_death)

static void dies_while_we_stream(struct side *s)
{
    enum duct_err err;

    await(s);
    kill_there(s);
    do {
        err = duct_write(s->pipe, "abc", 3, 0, 0);
    } while (err == DUCT_OK || err == DUCT_EAGAIN);
    GIVES(s, err, DUCT_EPEER);
}

CONFORMS_PROCESS(dies_in_stream, 0, 0, "", dies_while_we_stream, waits_for_death)

/* ---- What outlives a pipe ---- */

static void keeps_messages(struct side *s)
{
    struct duct_msg small, large, small2, large2;

    OK(s, duct_recv(s->pipe, &small, SOON));
    OK(s, duct_recv(s->pipe, &large, SOON));
    OK(s, duct_recv(s->pipe, &small2, SOON));
    OK(s, duct_recv(s->pipe, &large2, SOON));
    duct_pipe_close(s->pipe);
    await(s);
    CHECK(s, filled(small.data, 30, 0) && filled(large.data, 3000, 1));
    OK(s, duct_msg_release(&small));
    OK(s, duct_msg_release(&large));
    duct_context_close(s->context);
    s->context = NULL;
    CHECK(s, filled(small2.data, 30, 2) && filled(large2.data, 3000, 3));
    OK(s, duct_msg_release(&large2));
    OK(s, duct_msg_release(&small2));
}

static void sends_four(struct side *s)
{
    struct duct_msg msg;

    for (uint64_t i = 0; i < 4; i++)
        put(s, i % 2 ? 3000 : 30, i);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECLOSED);
    duct_pipe_close(s->pipe);
    tell(s);
}

CONFORMS(keeps_messages, 0, 0, "", keeps_messages, sends_four)

struct orphan {
    struct duct_msg msg;
    enum duct_err err;
};

static void *release_orphan(void *arg)
{
    struct orphan *orphan = arg;

    orphan->err = duct_msg_release(&orphan->msg);
    return NULL;
}

static void orphans(struct side *s)
{
    struct orphan held[4];
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        OK(s, duct_recv(s->pipe, &held[i].msg, SOON));
    /* Half of them race with the end. */
    for (int i = 0; i < 2; i++)
        CHECK(s, pthread_create(&threads[i], NULL, release_orphan, &held[i]) == 0);
    duct_pipe_close(s->pipe);
    for (int i = 2; i < 4; i++)
        CHECK(s, pthread_create(&threads[i], NULL, release_orphan, &held[i]) == 0);
    for (int i = 0; i < 4; i++) {
        CHECK(s, pthread_join(threads[i], NULL) == 0);
        GIVES(s, held[i].err, DUCT_OK);
    }
    await(s);
}

CONFORMS(orphans, 0, 0, "", orphans, sends_four)

/* Loans that were not sent end with the pipe; closing a context closes its pipes. */
static void closes_with_loans(struct side *s)
{
    struct duct_msg msgs[3];

    OK(s, duct_msg_loan(s->pipe, 8, &msgs[0]));
    OK(s, duct_msg_loan(s->pipe, 3000, &msgs[1]));
    OK(s, duct_msg_loan(s->pipe, 8, &msgs[2]));
    fill(msgs[2].data, 8, 7);
    msgs[2].tag = 7;
    OK(s, duct_send(s->pipe, &msgs[2], SOON));
    duct_context_close(s->context);
    s->context = NULL;
}

static void gets_one_and_end(struct side *s)
{
    take(s, 8, 7);
    recv_end(s, DUCT_ECLOSED);
}

CONFORMS(closes_with_loans, 0, 0, "", closes_with_loans, gets_one_and_end)

/* ---- Linger ---- */

static void lingers(struct side *s)
{
    for (uint64_t i = 0; i < 100; i++)
        put(s, 8, i);
    duct_pipe_close_with(s->pipe, 1, "lingered", SOON);
    /* Returns once everything is taken, and the peer's next call says so. */
    tell(s);
}

static void takes_slowly(struct side *s)
{
    for (uint64_t i = 0; i < 100; i++)
        take(s, 8, i);
    recv_end(s, DUCT_ECLOSED);
    CHECK(s, strcmp(info_of(s, s->pipe).close_text, "lingered") == 0);
    await(s);
}

CONFORMS(lingers, 0, 0, "", takes_slowly, lingers)
CONFORMS(lingers_parked, 0, 0, "wait=park", takes_slowly, lingers)

/* It ends in its time, though nobody takes anything. */
static void lingers_in_vain(struct side *s)
{
    put(s, 8, 1);
    duct_pipe_close_with(s->pipe, 1, "in vain", A_BIT);
    tell(s);
}

static void takes_late(struct side *s)
{
    await(s);
    take(s, 8, 1);
    recv_end(s, DUCT_ECLOSED);
}

CONFORMS(lingers_in_vain, 0, 0, "", takes_late, lingers_in_vain)
