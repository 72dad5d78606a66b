/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <pthread.h>

#include "tests/conformance/generations.h"

/* Pipes that come back: states, what waits meanwhile, what is kept, what outlives a session. */

#define QUICK "?reconnect=1&pause=2ms&pause_max=20ms"

/* ---- There ---- */

static void serves_and_dies(struct side *s)
{
    serve(s);
    await(s);
}

static void takes_one_and_closes(struct side *s)
{
    serve(s);
    take(s, 100, 1);
    duct_pipe_close_with(s->pipe, 7, "that was all", DUCT_SECOND);
}

/* ---- It comes back, and an orderly close is the end ---- */

static void there_twice(struct side *s)
{
    generation(s, serves_and_dies);
    await(s);
    generation(s, takes_one_and_closes);
}

static void comes_back(struct side *s)
{
    struct history history = {.count = 0};

    dial_with(s, QUICK);
    uint64_t first = info_of(s, s->pipe).session_id;
    CHECK(s, info_of(s, s->pipe).reconnects == 1);
    tell(s);
    until(s, DUCT_STATE_DISCONNECTED, &history);
    CHECK(s, history.count == 1 && history.event[0].err == DUCT_EPEER);
    CHECK(s, info_of(s, s->pipe).end == DUCT_OK && info_of(s, s->pipe).lost == DUCT_EPEER);
    until(s, DUCT_STATE_RECONNECTING, &history);
    /* Nobody listens yet: the attempt fails, and says why. */
    until(s, DUCT_STATE_DISCONNECTED, &history);
    CHECK(s, history.event[history.count - 1].err == DUCT_ENOTFOUND);
    tell(s);
    until(s, DUCT_STATE_CONNECTED, &history);
    CHECK(s, history.event[history.count - 1].err == DUCT_OK);
    CHECK(s, history.event[history.count - 2].state == DUCT_STATE_RECONNECTING);
    CHECK(s, info_of(s, s->pipe).session_id != first);
    put(s, 100, 1);
    struct duct_msg msg;
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECLOSED);
    CHECK(s, info_of(s, s->pipe).state == DUCT_STATE_CLOSED);
    CHECK(s, info_of(s, s->pipe).close_code == 7);
    CHECK(s, strcmp(info_of(s, s->pipe).close_text, "that was all") == 0);
    CHECK(s, stats_of(s, s->pipe).sessions == 2 && stats_of(s, s->pipe).redials >= 2);
    CHECK(s, stats_of(s, s->pipe).sent_msgs == 1);
    await(s);
}

CONFORMS_PROCESS(reconnects, 0, BARE, "", comes_back, there_twice)

/* ---- It can be moved, with a peer and without ---- */

static void moves(struct side *s)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *first, *other;
    struct duct_msg end;

    dial_with(s, QUICK);
    lose(s);
    first = s->context;
    options.io = s->io;
    OK(s, duct_context_open(&other, &options));
    OK(s, duct_pipe_move(s->pipe, other));
    s->context = other;
    until(s, DUCT_STATE_RECONNECTING, NULL);
    OK(s, duct_pipe_move(s->pipe, first));
    OK(s, duct_pipe_move(s->pipe, other));
    tell(s);
    until(s, DUCT_STATE_CONNECTED, NULL);
    OK(s, duct_pipe_move(s->pipe, first));
    s->context = first;
    put(s, 100, 1);
    GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
    duct_context_close(other);
    await(s);
}

CONFORMS_PROCESS(reconnect_moves, 0, BARE, "", moves, there_twice)

/* ---- Without a buffer calls wait ---- */

static void there_once(struct side *s)
{
    generation(s, serves_and_dies);
    await(s);
}

static void *cancels(void *pipe)
{
    duct_pipe_cancel(pipe);
    return NULL;
}

static void calls_wait(struct side *s)
{
    struct duct_msg msg;
    pthread_t thread;
    int fd;
    struct duct_pipe *halves[2];

    dial_with(s, "?reconnect=1&pause=10s&pause_max=10s");
    lose(s);
    GIVES(s, duct_write(s->pipe, "x", 1, 0, 0), DUCT_EAGAIN);
    GIVES(s, duct_write(s->pipe, "x", 1, 0, A_BIT), DUCT_ETIMEOUT);
    GIVES(s, duct_msg_loan(s->pipe, 8, &msg), DUCT_EAGAIN);
    GIVES(s, duct_recv(s->pipe, &msg, 0), DUCT_EAGAIN);
    GIVES(s, duct_recv(s->pipe, &msg, A_BIT), DUCT_ETIMEOUT);
    CHECK(s, pthread_create(&thread, NULL, cancels, s->pipe) == 0);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECANCELED);
    CHECK(s, pthread_join(thread, NULL) == 0);
    GIVES(s, duct_pipe_fd(s->pipe, &fd), DUCT_ENOTSUP);
    GIVES(s, duct_pipe_split(s->pipe, s->context, s->context, &halves[0], &halves[1]),
          DUCT_ENOTSUP);
    CHECK(s, info_of(s, s->pipe).state == DUCT_STATE_DISCONNECTED);
    duct_pipe_close(s->pipe);
    tell(s);
}

CONFORMS_PROCESS(reconnect_waits, 0, BARE, "", calls_wait, there_once)

/* ---- A receive that finds a change does not keep it to itself ---- */

static void change_behind_a_receive(struct side *s)
{
    struct pollfd ask = {.events = POLLIN};
    struct duct_event events[8];
    struct duct_msg msg;
    bool told = false;
    size_t count;

    dial_with(s, QUICK);
    OK(s, duct_context_fd(s->context, &ask.fd));
    while (duct_context_wait(s->context, events, 8, &count, 0) == DUCT_OK)
        continue;
    tell(s);
    /* Every round but the first follows an attempt, which is a change as well. */
    for (unsigned round = 0; round < 20 && !told; round++) {
        CHECK(s, poll(&ask, 1, (int)(SOON / DUCT_MILLISECOND)) == 1);
        GIVES(s, duct_recv(s->pipe, &msg, 0), DUCT_EAGAIN);
        if (duct_context_wait(s->context, events, 8, &count, 0) != DUCT_OK)
            continue;
        for (size_t i = 0; i < count; i++)
            told |= events[i].type == DUCT_EVENT_STATE &&
                    events[i].state == DUCT_STATE_DISCONNECTED && events[i].err == DUCT_EPEER;
    }
    CHECK(s, told);
    duct_pipe_close(s->pipe);
    tell(s);
}

CONFORMS_PROCESS(reconnect_change_behind_a_receive, 0, BARE, "", change_behind_a_receive,
                 there_once)

/* ---- With one they are kept, in order ---- */

static size_t size_of(uint64_t i)
{
    return i % 3 == 0 ? 5000 : 100;
}

/* Every message from 1 on, up to one that says how many there were. */
static void takes_all(struct side *s)
{
    struct duct_msg msg;
    uint64_t count = 0;

    serve(s);
    for (;; count++) {
        OK(s, duct_recv(s->pipe, &msg, SOON));
        if (msg.tag == 0)
            break;
        CHECK(s, msg.tag == count + 1);
        CHECK(s, msg.size == size_of(msg.tag) && filled(msg.data, msg.size, msg.tag));
        OK(s, duct_msg_release(&msg));
    }
    CHECK(s, msg.size == 8 && memcmp(msg.data, &count, 8) == 0);
    OK(s, duct_msg_release(&msg));
    duct_pipe_close(s->pipe);
}

static void there_takes_all(struct side *s)
{
    generation(s, serves_and_dies);
    await(s);
    generation(s, takes_all);
}

static bool keep_one(struct side *s, uint64_t i)
{
    struct duct_msg msg;
    unsigned char bytes[5000];

    if (i % 2 == 0) {
        fill(bytes, size_of(i), i);
        return duct_write(s->pipe, bytes, size_of(i), i, 0) == DUCT_OK;
    }
    if (duct_msg_loan(s->pipe, size_of(i), &msg) != DUCT_OK)
        return false;
    fill(msg.data, msg.size, i);
    msg.tag = i;
    OK(s, duct_send(s->pipe, &msg, 0));
    return true;
}

static void keeps(struct side *s)
{
    struct duct_msg msg;
    uint64_t count = 0;

    dial_with(s, QUICK "&downtime_buffer=64k");
    lose(s);
    while (keep_one(s, count + 1))
        count++;
    CHECK(s, says("downtime buffer"));
    struct duct_pipe_info info = info_of(s, s->pipe);
    CHECK(s, count > 10 && info.kept_msgs == count);
    CHECK(s, info.kept_bytes <= 65536 && info.kept_bytes > 50000);
    GIVES(s, duct_write(s->pipe, &count, sizeof(count), 0, 0), DUCT_OK);
    tell(s);
    await(s);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECLOSED);
    CHECK(s, info_of(s, s->pipe).kept_msgs == 0);
    CHECK(s, stats_of(s, s->pipe).sent_msgs == count + 1);
    CHECK(s, stats_of(s, s->pipe).dropped_unsent == 0);
}

CONFORMS_PROCESS(reconnect_keeps, 0, BARE, "", keeps, there_takes_all)

/* ---- What is too many attempts ---- */

static void gives_up(struct side *s)
{
    struct history history = {.count = 0};
    struct duct_msg msg;

    dial_with(s, QUICK "&attempts=3");
    tell(s);
    until(s, DUCT_STATE_CLOSED, &history);
    CHECK(s, history.event[history.count - 1].err == DUCT_ENOTFOUND);
    /* Lost, and three times an attempt that failed; the last failure is the end. */
    CHECK(s, history.count == 7);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ENOTFOUND);
    GIVES(s, duct_write(s->pipe, "x", 1, 0, SOON), DUCT_ENOTFOUND);
    CHECK(s, info_of(s, s->pipe).end == DUCT_ENOTFOUND);
    CHECK(s, info_of(s, s->pipe).attempts == 3 && stats_of(s, s->pipe).redials == 3);
    tell(s);
}

CONFORMS_PROCESS(reconnect_gives_up, 0, BARE, "", gives_up, there_once)

/* ---- Loans outlive their session ---- */

static void takes_three(struct side *s)
{
    serve(s);
    take(s, 3000, 3);
    take(s, 30, 4);
    take(s, 200, 5);
    duct_pipe_close(s->pipe);
}

static void there_takes_three(struct side *s)
{
    generation(s, serves_and_dies);
    await(s);
    generation(s, takes_three);
}

static void loans_survive(struct side *s)
{
    struct duct_msg first, second, third, fourth;

    dial_with(s, QUICK "&downtime_buffer=64k");
    OK(s, duct_msg_loan(s->pipe, 3000, &first));
    OK(s, duct_msg_loan(s->pipe, 30, &second));
    OK(s, duct_msg_loan(s->pipe, 30, &fourth));
    fill(first.data, 1000, 3);
    lose(s);
    OK(s, duct_msg_loan(s->pipe, 200, &third));
    fill(first.data, 3000, 3);
    first.tag = 3;
    tell(s);
    until(s, DUCT_STATE_CONNECTED, NULL);
    OK(s, duct_send(s->pipe, &first, SOON));
    fill(second.data, 30, 4);
    second.tag = 4;
    OK(s, duct_send(s->pipe, &second, SOON));
    GIVES(s, duct_send(s->pipe, &second, SOON), DUCT_EINVAL);
    fill(third.data, 200, 5);
    third.tag = 5;
    OK(s, duct_send(s->pipe, &third, SOON));
    OK(s, duct_msg_discard(&fourth));
    GIVES(s, duct_recv(s->pipe, &first, SOON), DUCT_ECLOSED);
    CHECK(s, stats_of(s, s->pipe).dropped_unsent == 1);
    await(s);
}

CONFORMS_PROCESS(reconnect_loans, 0, BARE, "", loans_survive, there_takes_three)

/* ---- What had arrived is received, before what comes later ---- */

static void sends_three_and_dies(struct side *s)
{
    serve(s);
    for (uint64_t i = 0; i < 3; i++)
        put(s, 300, i);
    tell(s);
    await(s);
}

static void sends_two(struct side *s)
{
    serve(s);
    put(s, 300, 3);
    put(s, 300, 4);
    duct_pipe_close(s->pipe);
}

static void there_sends(struct side *s)
{
    generation(s, sends_three_and_dies);
    await(s);
    generation(s, sends_two);
}

static void takes_what_arrived(struct side *s)
{
    struct duct_msg held, end;

    dial_with(s, QUICK);
    await(s);
    OK(s, duct_recv(s->pipe, &held, SOON));
    lose(s);
    tell(s);
    until(s, DUCT_STATE_CONNECTED, NULL);
    for (uint64_t i = 1; i < 5; i++)
        take(s, 300, i);
    CHECK(s, filled(held.data, 300, 0));
    OK(s, duct_msg_release(&held));
    GIVES(s, duct_recv(s->pipe, &end, SOON), DUCT_ECLOSED);
    CHECK(s, stats_of(s, s->pipe).received_msgs == 5);
    CHECK(s, stats_of(s, s->pipe).lost_received == 0);
    await(s);
}

/* A stream's end is found behind what it sent: one must have taken that. */
CONFORMS_PROCESS(reconnect_receives_what_arrived, CAN_SHARE, BARE, "", takes_what_arrived,
                 there_sends)
