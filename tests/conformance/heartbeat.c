/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/wait.h>

#include "tests/conformance/suite.h"

/* Peers that are there and silent, frozen, or never finish what they began. */

static bool has_heartbeat(const struct side *s)
{
    /* Over shared memory the kernel says whether the peer lives. */
    return strcmp(info_of((struct side *)(uintptr_t)s, s->pipe).scheme, "shm") != 0;
}

/* ---- Nothing is said for long, and nothing happens ---- */

static void receives_nothing(struct side *s)
{
    struct duct_msg msg;

    /* Far longer than it takes to be found gone. */
    GIVES(s, duct_recv(s->pipe, &msg, 1500 * DUCT_MILLISECOND), DUCT_ETIMEOUT);
    put(s, 100, 1);
    duct_pipe_close_with(s->pipe, 0, NULL, SOON);
}

static void waits_for_one(struct side *s)
{
    struct duct_msg end;

    take(s, 100, 1);
    GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
}

CONFORMS(heartbeat_of_a_silent_peer, 0, 0, "heartbeat=100ms&heartbeat_missed=10", receives_nothing,
         waits_for_one)

/* ---- One that is frozen is found, and one that waits for it told ---- */

static void freeze(struct side *s)
{
    siginfo_t info;

    CHECK(s, kill(s->other_pid, SIGSTOP) == 0);
    CHECK(s, waitid(P_PID, (id_t)s->other_pid, &info, WSTOPPED | WNOWAIT) == 0);
}

static void finds_it_frozen(struct side *s)
{
    struct duct_event event;
    struct duct_msg msg;
    size_t count;

    put(s, 100, 1);
    if (has_heartbeat(s)) {
        freeze(s);
        do {
            OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
        } while (count == 0 || event.type != DUCT_EVENT_ERROR);
        CHECK(s, event.err == DUCT_EPEER);
        CHECK(s, info_of(s, s->pipe).end == DUCT_EPEER);
        GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_EPEER);
        CHECK(s, kill(s->other_pid, SIGCONT) == 0);
    }
    duct_pipe_close(s->pipe);
}

static void is_frozen(struct side *s)
{
    struct duct_msg end;

    take(s, 100, 1);
    /* Many a question lies before the good-bye, and nobody takes the answers any more. Who gave us up did not close in
     * order, or one that reconnects would not come back. */
    GIVES(s, duct_recv(s->pipe, &end, SOON), has_heartbeat(s) ? DUCT_EPEER : DUCT_ECLOSED);
}

CONFORMS_PROCESS(heartbeat_of_a_frozen_peer, 0, 0, "heartbeat=10ms&heartbeat_missed=20",
                 finds_it_frozen, is_frozen)

/* ---- A program that takes nothing does not take its peer for dead ---- */

static void takes_late(struct side *s)
{
    struct duct_event event;
    size_t count;

    await(s);
    OK(s, duct_pipe_watch(s->pipe, DUCT_WATCH_END));
    /* The loop runs, and what has come lies there. */
    GIVES(s, duct_context_wait(s->context, &event, 1, &count, 15 * A_BIT), DUCT_ETIMEOUT);
    take(s, 100, 1);
    put(s, 100, 2);
    take(s, 100, 3);
    duct_pipe_close(s->pipe);
}

static void sends_and_waits(struct side *s)
{
    struct duct_msg end;

    put(s, 100, 1);
    tell(s);
    take(s, 100, 2);
    put(s, 100, 3);
    GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
}

CONFORMS(heartbeat_of_a_slow_program, 0, 0, "heartbeat=20ms&heartbeat_missed=100", takes_late,
         sends_and_waits)
