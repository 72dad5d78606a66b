/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "tests/conformance/suite.h"

/* Waiting: timeouts, cancel, wake; and every way to wait and to be woken, changed at run time. */

static void times_out(struct side *s)
{
    struct duct_msg msg, loan;
    unsigned char byte;
    size_t size, done;

    GIVES(s, duct_recv(s->pipe, &msg, 0), DUCT_EAGAIN);
    GIVES(s, duct_recv(s->pipe, &msg, 1), DUCT_ETIMEOUT);
    GIVES(s, duct_recv(s->pipe, &msg, A_BIT), DUCT_ETIMEOUT);
    GIVES(s, duct_recv(s->pipe, &msg, -1), DUCT_EINVAL);
    GIVES(s, duct_read(s->pipe, &byte, 1, &size, NULL, 0), DUCT_EAGAIN);
    GIVES(s, duct_read(s->pipe, &byte, 1, &size, NULL, A_BIT), DUCT_ETIMEOUT);
    GIVES(s, duct_read(s->pipe, &byte, 1, NULL, NULL, 0), DUCT_EINVAL);
    GIVES(s, duct_read(s->pipe, NULL, 1, &size, NULL, 0), DUCT_EINVAL);
    OK(s, duct_msg_loan(s->pipe, 4, &loan));
    if (s->scheme->can & CAN_SHARE) {
        while (duct_write(s->pipe, "full", 4, 0, 0) == DUCT_OK)
            continue;
        GIVES(s, duct_write(s->pipe, "full", 4, 0, 1), DUCT_ETIMEOUT);
        GIVES(s, duct_write(s->pipe, "full", 4, 0, A_BIT), DUCT_ETIMEOUT);
        GIVES(s, duct_write(s->pipe, "full", 4, 0, -7), DUCT_EINVAL);
        GIVES(s, duct_send(s->pipe, &loan, A_BIT), DUCT_ETIMEOUT);
        GIVES(s, duct_send_batch(s->pipe, &loan, 1, &done, A_BIT), DUCT_ETIMEOUT);
        CHECK(s, done == 0 && loan.data != NULL);
        struct duct_view view = {"full", 4, 0};
        GIVES(s, duct_write_batch(s->pipe, &view, 1, &done, 0), DUCT_EAGAIN);
    }
    tell(s);
}

CONFORMS_KEPT(times_out, 0, 0, "", times_out, there_waits)
CONFORMS_KEPT(times_out_parked, 0, 0, "wait=park", times_out, there_waits)
CONFORMS_KEPT(times_out_spinning, 0, 0, "wait=spin", times_out, there_waits)
CONFORMS_KEPT(times_out_yielding, 0, 0, "wait=yield", times_out, there_waits)

/* ---- Cancel and wake ---- */

enum ask { CANCEL_CONTEXT, CANCEL_PIPE, WAKE };

static struct side *asked;
static enum ask how;

static void ask(void)
{
    if (how == CANCEL_CONTEXT)
        duct_context_cancel(asked->context);
    else if (how == CANCEL_PIPE)
        duct_pipe_cancel(asked->pipe);
    else
        duct_context_wake(asked->context);
}

static void *ask_now(void *unused)
{
    (void)unused;
    ask();
    return NULL;
}

static void on_signal(int number)
{
    (void)number;
    ask();
}

static pthread_t start(struct side *s, enum ask what)
{
    pthread_t thread;

    asked = s;
    how = what;
    CHECK(s, pthread_create(&thread, NULL, ask_now, NULL) == 0);
    return thread;
}

static void cancels(struct side *s)
{
    struct duct_msg msg;
    struct duct_pipe *pipe;
    struct duct_event event;
    size_t count;
    pthread_t thread;

    for (int i = 0; i < 20; i++) {
        thread = start(s, i % 2 ? CANCEL_CONTEXT : CANCEL_PIPE);
        GIVES(s, duct_recv(s->pipe, &msg, i % 3 ? SOON : DUCT_FOREVER), DUCT_ECANCELED);
        CHECK(s, pthread_join(thread, NULL) == 0);
    }
    /* Asked for before: the next call that waits. What need not wait goes on. */
    duct_pipe_cancel(s->pipe);
    put(s, 4, 1);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECANCELED);
    GIVES(s, duct_recv(s->pipe, &msg, A_BIT), DUCT_ETIMEOUT);
    thread = start(s, CANCEL_CONTEXT);
    enum duct_err err;
    do {
        err = duct_context_wait(s->context, &event, 1, &count, SOON);
    } while (err == DUCT_OK);
    GIVES(s, err, DUCT_ECANCELED);
    CHECK(s, pthread_join(thread, NULL) == 0);
    thread = start(s, CANCEL_CONTEXT);
    GIVES(s, duct_accept(s->listener, &pipe, SOON), DUCT_ECANCELED);
    CHECK(s, pthread_join(thread, NULL) == 0);
    /* A call with a timeout of 0 does not wait: it neither ends by the request nor uses it up. */
    duct_context_cancel(s->context);
    GIVES(s, duct_accept(s->listener, &pipe, 0), DUCT_EAGAIN);
    GIVES(s, duct_recv(s->pipe, &msg, 0), DUCT_EAGAIN);
    GIVES(s, duct_accept(s->listener, &pipe, SOON), DUCT_ECANCELED);
    duct_context_cancel(s->context);
    do {
        err = duct_context_wait(s->context, &event, 1, &count, 0);
    } while (err == DUCT_OK);
    GIVES(s, err, DUCT_EAGAIN);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECANCELED);
    duct_context_cancel(s->context);
    struct duct_options options = {.size = sizeof(options),
                                   .context = s->context,
                                   .wait_for_listener = DUCT_YES,
                                   .dial_ns = SOON};
    GIVES(s, duct_dial(&pipe, s->nowhere, &options), DUCT_ECANCELED);
    while ((s->scheme->can & CAN_SHARE) && duct_write(s->pipe, "full", 4, 0, 0) == DUCT_OK)
        continue;
    if (s->scheme->can & CAN_SHARE) {
        thread = start(s, CANCEL_PIPE);
        GIVES(s, duct_write(s->pipe, "full", 4, 0, SOON), DUCT_ECANCELED);
        CHECK(s, pthread_join(thread, NULL) == 0);
    }
    tell(s);
}

CONFORMS(cancels, 0, 0, "", cancels, there_waits)
CONFORMS(cancels_parked, 0, 0, "wait=park", cancels, there_waits)
CONFORMS(cancels_spinning, 0, 0, "wait=spin", cancels, there_waits)

static void cancels_by_signal(struct side *s)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct duct_msg msg;
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};

    asked = s;
    CHECK(s, sigaction(SIGUSR1, &action, NULL) == 0);
    CHECK(s, timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
    for (int i = 0; i < 6; i++) {
        how = i % 2 ? CANCEL_CONTEXT : CANCEL_PIPE;
        struct itimerspec in = {.it_value = {.tv_nsec = 1 + i * 3000000}};
        CHECK(s, timer_settime(timer, 0, &in, NULL) == 0);
        GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECANCELED);
    }
    timer_delete(timer);
    tell(s);
}

CONFORMS(cancels_by_signal, 0, 0, "", cancels_by_signal, there_waits)
CONFORMS(cancels_by_signal_parked, 0, 0, "wait=park", cancels_by_signal, there_waits)

static void wakes(struct side *s)
{
    struct duct_event event;
    size_t count;

    OK(s, duct_pipe_watch(s->pipe, 0));
    for (int i = 0; i < 20; i++) {
        pthread_t thread = start(s, WAKE);
        OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
        CHECK(s, count == 0);
        CHECK(s, pthread_join(thread, NULL) == 0);
    }
    duct_context_wake(s->context);
    OK(s, duct_context_wait(s->context, &event, 1, &count, 0));
    CHECK(s, count == 0);
    GIVES(s, duct_context_wait(s->context, &event, 1, &count, 0), DUCT_EAGAIN);
    /* It is not a cancel. */
    struct duct_msg msg;
    duct_context_wake(s->context);
    GIVES(s, duct_recv(s->pipe, &msg, A_BIT), DUCT_ETIMEOUT);
    tell(s);
}

CONFORMS_KEPT(wakes, 0, 0, "", wakes, there_waits)

/* ---- Strategies and doorbells ---- */

static void ping(struct side *s, uint64_t rounds)
{
    for (uint64_t i = 0; i < rounds; i++) {
        put(s, i % 3 == 0 ? 500 : 8, i);
        take(s, i % 3 == 0 ? 500 : 8, i);
    }
}

/* Whichever of this side's ways is set while the peer is at another. */
static void every_way(struct side *s)
{
    static const enum duct_wait waits[] = {DUCT_WAIT_SPIN, DUCT_WAIT_YIELD, DUCT_WAIT_SPIN_PARK,
                                           DUCT_WAIT_PARK, DUCT_WAIT_DEFAULT};
    static const enum duct_bell bells[] = {DUCT_BELL_FUTEX, DUCT_BELL_EVENTFD, DUCT_BELL_SOCKET,
                                           DUCT_BELL_AUTO};
    static const enum duct_fence fences[] = {DUCT_FENCE_SENDER, DUCT_FENCE_SLEEPER,
                                             DUCT_FENCE_DEFAULT};
    struct duct_msg msg;

    for (unsigned i = 0; i < 60; i++) {
        struct duct_waiting waiting = {.wait = waits[i % 5],
                                       .bell = bells[i / 5 % 4],
                                       .fence = fences[i / 20],
                                       .spin_ns = i % 2 ? 5 * DUCT_MICROSECOND : 0};
        enum duct_err err = duct_pipe_set_waiting(s->pipe, &waiting);
        if (waiting.bell == DUCT_BELL_FUTEX && s->io == DUCT_IO_EPOLL) {
            GIVES(s, err, DUCT_ENOTSUP);
            continue;
        }
        OK(s, err);
        if (waiting.bell != DUCT_BELL_AUTO)
            CHECK(s, info_of(s, s->pipe).bell == waiting.bell);
        ping(s, 25);
        GIVES(s, duct_recv(s->pipe, &msg, DUCT_MILLISECOND), DUCT_ETIMEOUT);
        ping(s, 5);
    }
    struct duct_waiting wrong = {.wait = (enum duct_wait)99};
    GIVES(s, duct_pipe_set_waiting(s->pipe, &wrong), DUCT_EINVAL);
    GIVES(s, duct_pipe_set_waiting(s->pipe, NULL), DUCT_EINVAL);
}

CONFORMS(every_way, CAN_DOORBELL, 0, "", every_way, there_echoes)
CONFORMS(every_way_socket, CAN_DOORBELL, 0, "bell=socket&wait=park", every_way, there_echoes)
CONFORMS(every_way_eventfd, CAN_DOORBELL, 0, "bell=eventfd&wait=park", every_way, there_echoes)
CONFORMS(every_way_spinning, CAN_DOORBELL, 0, "wait=yield", every_way, there_echoes)

static void pings(struct side *s)
{
    ping(s, 500);
    struct duct_pipe_stats stats = stats_of(s, s->pipe);
    CHECK(s, stats.sent_msgs == 500 && stats.received_msgs == 500);
    CHECK(s, stats.sent_bytes == stats.received_bytes);
}

CONFORMS(bell_socket, CAN_DOORBELL, 0, "bell=socket&wait=park", pings, there_echoes)
CONFORMS(bell_eventfd, CAN_DOORBELL, 0, "bell=eventfd&wait=park", pings, there_echoes)
CONFORMS(bell_auto, CAN_DOORBELL, 0, "wait=park", pings, there_echoes)
CONFORMS_KEPT(wait_spin, 0, 0, "wait=spin", pings, there_echoes)
CONFORMS_KEPT(wait_yield, 0, 0, "wait=yield", pings, there_echoes)
CONFORMS_KEPT(wait_short_spin, 0, 0, "wait=spin-park&spin=1us", pings, there_echoes)
CONFORMS_KEPT(fence_sleeper_parked, 0, 0, "fence=sleeper&wait=park", pings, there_echoes)

/* Nothing of this peer's descriptors is used. */
static void untrusted(struct side *s)
{
    struct duct_waiting waiting = {.bell = DUCT_BELL_EVENTFD};
    int fd;

    CHECK(s, info_of(s, s->pipe).bell != DUCT_BELL_EVENTFD);
    GIVES(s, duct_pipe_set_waiting(s->pipe, &waiting), DUCT_EDENIED);
    GIVES(s, duct_pipe_fd(s->pipe, &fd), DUCT_ENOTSUP);
    pings(s);
}

CONFORMS(untrusted, CAN_DOORBELL, 0, "untrusted=1&wait=park", untrusted, there_echoes)
CONFORMS(untrusted_eventfd, CAN_DOORBELL, 0, "untrusted=1&wait=park&bell=eventfd", untrusted,
         there_echoes)
