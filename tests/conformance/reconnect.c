/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/suite.h"

/*
 * Pipes that come back. Here dials; there is a process that has one listener after the other live and die, each
 * in a process of its own, none of which ever says good-bye unless it is said so.
 */

#define QUICK "?reconnect=1&pause=2ms&pause_max=20ms"

/* ---- There: a generation of the listener ---- */

static void generation(struct side *s, script *run)
{
    int status;
    pid_t pid = fork();

    CHECK(s, pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(s);
        _exit(0);
    }
    CHECK(s, waitpid(pid, &status, 0) == pid);
    CHECK(s, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void serve(struct side *s)
{
    side_listen(s, s->bare);
    tell(s);
    side_accept(s);
    /* From now on nobody listens: not even the backlog of a socket that a dying process still has. */
    duct_listener_close(s->listener);
}

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

/* ---- Here: what the events say ---- */

struct history {
    struct duct_event event[64];
    size_t count;
};

/* Notes every change of state up to the one that is waited for. */
static void until(struct side *s, enum duct_state state, struct history *history)
{
    struct duct_event event;
    size_t count;

    for (;;) {
        OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
        if (count == 0 || event.type != DUCT_EVENT_STATE)
            continue;
        if (history != NULL && history->count < 64)
            history->event[history->count++] = event;
        if (event.state == state)
            return;
    }
}

static void dial_with(struct side *s, const char *query)
{
    char url[512];

    await(s);
    snprintf(url, sizeof(url), "%s%s", s->bare, query);
    side_dial(s, url);
    until(s, DUCT_STATE_CONNECTED, NULL);
}

static void lose(struct side *s)
{
    tell(s);
    until(s, DUCT_STATE_DISCONNECTED, NULL);
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

/* ---- Under load: nothing twice, nothing out of order, and every loss counted ---- */

#define GENERATIONS 8
#define MESSAGES    3000u

/* What the generations saw together; they are processes. */
static struct {
    uint64_t last, count;
    unsigned generation;
} * seen;

/* The socket of a process that was killed may be there for a moment longer than the process. */
static void listen_again(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_event event;
    size_t count;
    enum duct_err err = DUCT_EINUSE;

    options.context = side_context(s);
    for (int i = 0; i < 5000 && err == DUCT_EINUSE; i++) {
        err = duct_listen(&s->listener, s->bare, &options);
        if (err == DUCT_EINUSE)
            GIVES(s, duct_context_wait(s->context, &event, 1, &count, DUCT_MILLISECOND),
                  DUCT_ETIMEOUT);
    }
    OK(s, err);
}

static void takes_and_dies(struct side *s)
{
    struct duct_msg msg;

    listen_again(s);
    if (seen->generation == 0)
        tell(s);
    side_accept(s);
    bool final = ++seen->generation == GENERATIONS;
    for (uint64_t i = 0; final || i < 150; i++) {
        enum duct_err err = duct_recv(s->pipe, &msg, SOON);
        if (final && err == DUCT_ECLOSED) {
            duct_context_close(s->context);
            return;
        }
        GIVES(s, err, DUCT_OK);
        CHECK(s, msg.tag > seen->last);
        CHECK(s, filled(msg.data, msg.size, msg.tag));
        seen->last = msg.tag;
        seen->count++;
        OK(s, duct_msg_release(&msg));
    }
}

static void there_dies_often(struct side *s)
{
    seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s, seen != MAP_FAILED);
    while (seen->generation < GENERATIONS)
        generation(s, takes_and_dies);
    CHECK(s, send(s->sync, &seen->count, sizeof(seen->count), 0) == sizeof(seen->count));
}

static unsigned descriptors(void)
{
    DIR *open_ones = opendir("/proc/self/fd");
    unsigned count = 0;

    while (open_ones != NULL && readdir(open_ones) != NULL)
        count++;
    closedir(open_ones);
    return count;
}

/* What was cancelled may take some turns of the loop to be over. */
static void all_closed(struct side *s, unsigned before)
{
    struct duct_event event;
    size_t count;

    for (int i = 0; i < 5000 && descriptors() > before; i++)
        GIVES(s, duct_context_wait(s->context, &event, 1, &count, DUCT_MILLISECOND), DUCT_ETIMEOUT);
    CHECK(s, descriptors() == before);
}

static void sends_under_load(struct side *s)
{
    unsigned char bytes[64];
    uint64_t taken;

    side_context(s);
    unsigned before = descriptors();
    dial_with(s, "?reconnect=1&pause=1ms&pause_max=5ms&downtime_buffer=16k");
    for (uint64_t i = 1; i <= MESSAGES || stats_of(s, s->pipe).sessions < GENERATIONS; i++) {
        fill(bytes, sizeof(bytes), i);
        OK(s, duct_write(s->pipe, bytes, sizeof(bytes), i, SOON));
    }
    struct duct_pipe_stats stats = stats_of(s, s->pipe);
    uint64_t sent = stats.sent_msgs + info_of(s, s->pipe).kept_msgs;
    duct_pipe_close_with(s->pipe, 0, NULL, SOON);
    CHECK(s, recv(s->sync, &taken, sizeof(taken), MSG_WAITALL) == sizeof(taken));
    CHECK(s, taken <= sent && sent <= taken + stats.lost_msgs);
    CHECK(s, stats.dropped_unsent == 0);
    all_closed(s, before);
}

CONFORMS_PROCESS(reconnect_under_load, 0, BARE, "", sends_under_load, there_dies_often)
