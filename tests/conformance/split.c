/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdio.h>

#include "tests/conformance/suite.h"

/* Halves, moves and adoption: one pipe, more than one thread or context. */

struct half {
    struct side *side;
    struct duct_context *context;
    struct duct_pipe *pipe;
    uint64_t count;
    bool events; /* waits for the context, not for the pipe */
    const char *wrong;
};

static struct duct_context *open_context(struct side *s)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    options.io = s->io;
    OK(s, duct_context_open(&context, &options));
    return context;
}

#define WRONG_UNLESS(half, condition)   \
    do {                                \
        if (!(condition)) {             \
            (half)->wrong = #condition; \
            return NULL;                \
        }                               \
    } while (0)

static void *half_sends(void *arg)
{
    struct half *h = arg;
    struct duct_msg msg;

    WRONG_UNLESS(h, duct_context_adopt(h->context) == DUCT_OK);
    WRONG_UNLESS(h, duct_recv(h->pipe, &msg, 0) == DUCT_EINVAL);
    for (uint64_t i = 0; i < h->count; i++) {
        size_t size = i % 5 == 0 ? 700 : 16;
        WRONG_UNLESS(h,
                     duct_msg_loan_aligned(h->pipe, size, DUCT_ALIGN_LINE, SOON, &msg) == DUCT_OK);
        fill(msg.data, size, i);
        msg.tag = i;
        WRONG_UNLESS(h, duct_send(h->pipe, &msg, SOON) == DUCT_OK);
    }
    return NULL;
}

static void *half_receives(void *arg)
{
    struct half *h = arg;
    struct duct_event event;
    struct duct_msg msg;
    size_t count;

    WRONG_UNLESS(h, duct_context_adopt(h->context) == DUCT_OK);
    WRONG_UNLESS(h, duct_write(h->pipe, "x", 1, 0, 0) == DUCT_EINVAL);
    WRONG_UNLESS(h, duct_msg_loan(h->pipe, 1, &msg) == DUCT_EINVAL);
    for (uint64_t i = 0; i < h->count; i++) {
        while (h->events && duct_recv(h->pipe, &msg, 0) != DUCT_OK) {
            WRONG_UNLESS(h, duct_context_wait(h->context, &event, 1, &count, SOON) == DUCT_OK);
            msg.data = NULL;
        }
        if (!h->events)
            WRONG_UNLESS(h, duct_recv(h->pipe, &msg, SOON) == DUCT_OK);
        WRONG_UNLESS(h, msg.tag == i && filled(msg.data, msg.size, i));
        WRONG_UNLESS(h, duct_msg_release(&msg) == DUCT_OK);
    }
    return NULL;
}

static void run_halves(struct side *s, uint64_t count, bool events)
{
    struct half sends = {.side = s, .context = open_context(s), .count = count};
    struct half receives = {
        .side = s, .context = open_context(s), .count = count, .events = events};
    pthread_t threads[2];

    OK(s, duct_pipe_split(s->pipe, sends.context, receives.context, &sends.pipe, &receives.pipe));
    s->pipe = NULL;
    CHECK(s, pthread_create(&threads[0], NULL, half_sends, &sends) == 0);
    CHECK(s, pthread_create(&threads[1], NULL, half_receives, &receives) == 0);
    CHECK(s, pthread_join(threads[0], NULL) == 0);
    CHECK(s, pthread_join(threads[1], NULL) == 0);
    CHECK(s, sends.wrong == NULL ? true : (fprintf(stderr, "%s\n", sends.wrong), false));
    CHECK(s, receives.wrong == NULL ? true : (fprintf(stderr, "%s\n", receives.wrong), false));
    OK(s, duct_context_adopt(sends.context));
    OK(s, duct_context_adopt(receives.context));
    tell(s);
    await(s);
    duct_context_close(sends.context);
    duct_context_close(receives.context);
}

static void halves(struct side *s)
{
    run_halves(s, 5000, false);
}

static void halves_with_events(struct side *s)
{
    run_halves(s, 2000, true);
}

/* Both ways at once: the whole of the traffic goes through two halves on either side. */
CONFORMS(halves, 0, 0, "", halves, halves)
CONFORMS(halves_parked, 0, 0, "wait=park&slots=8", halves, halves)
CONFORMS(halves_socket, 0, 0, "wait=park&bell=socket&slots=8", halves, halves)
CONFORMS(halves_eventfd, 0, 0, "wait=park&bell=eventfd&slots=8", halves, halves)
CONFORMS(halves_with_events, 0, 0, "wait=park&slots=8", halves_with_events, halves_with_events)
CONFORMS(halves_with_events_socket, 0, 0, "wait=park&slots=8&bell=socket", halves_with_events,
         halves_with_events)

/* Both halves on one context, which is allowed. */
static void one_context(struct side *s)
{
    struct duct_pipe *sender, *receiver;
    struct duct_event event;
    size_t count;

    OK(s, duct_pipe_split(s->pipe, s->context, s->context, &sender, &receiver));
    for (uint64_t i = 0; i < 200; i++) {
        s->pipe = sender;
        put(s, 8, i);
        s->pipe = receiver;
        take(s, 8, i);
    }
    /* Nothing to do, and that is what it does. */
    enum duct_err err;
    unsigned rounds = 0;
    while ((err = duct_context_wait(s->context, &event, 1, &count, A_BIT)) == DUCT_OK)
        CHECK(s, ++rounds < 50);
    GIVES(s, err, DUCT_ETIMEOUT);
    CHECK(s, stats_of(s, sender).sent_msgs == 200 && stats_of(s, receiver).received_msgs == 200);
    CHECK(s, stats_of(s, sender).received_msgs == 0 && stats_of(s, receiver).sent_msgs == 0);
    CHECK(s, stats_of(s, receiver).doorbells_heard < 2000);
    duct_pipe_close(sender);
    duct_pipe_close(receiver);
}

CONFORMS(one_context, 0, 0, "", one_context, there_echoes)
CONFORMS(one_context_parked, 0, 0, "wait=park", one_context, there_echoes)

/* Closing one half ends the other, in order. */
static void closes_sender(struct side *s)
{
    struct duct_context *contexts[2] = {open_context(s), open_context(s)};
    struct duct_pipe *sender, *receiver;
    struct duct_msg msg;

    OK(s, duct_pipe_split(s->pipe, contexts[0], contexts[1], &sender, &receiver));
    duct_pipe_close(sender);
    GIVES(s, duct_recv(receiver, &msg, SOON), DUCT_ECLOSED);
    duct_pipe_close(receiver);
    duct_context_close(contexts[0]);
    duct_context_close(contexts[1]);
}

static void closes_receiver(struct side *s)
{
    struct duct_context *contexts[2] = {open_context(s), open_context(s)};
    struct duct_pipe *sender, *receiver;
    enum duct_err err;

    OK(s, duct_pipe_split(s->pipe, contexts[0], contexts[1], &sender, &receiver));
    duct_pipe_close(receiver);
    while ((err = duct_write(sender, "x", 1, 0, SOON)) == DUCT_OK)
        continue;
    GIVES(s, err, DUCT_ECLOSED);
    duct_pipe_close(sender);
    duct_context_close(contexts[0]);
    duct_context_close(contexts[1]);
}

static void waits_for_the_end(struct side *s)
{
    struct duct_msg msg;
    enum duct_err err;

    while ((err = duct_recv(s->pipe, &msg, SOON)) == DUCT_OK)
        OK(s, duct_msg_release(&msg));
    GIVES(s, err, DUCT_ECLOSED);
}

CONFORMS(closes_sender, 0, 0, "", closes_sender, waits_for_the_end)
CONFORMS(closes_receiver, 0, 0, "", closes_receiver, waits_for_the_end)

/* ---- Move ---- */

static void moves(struct side *s)
{
    struct duct_context *other = open_context(s);
    struct duct_context *own = s->context;
    struct duct_event event;
    struct duct_msg held;
    size_t count;

    for (uint64_t i = 0; i < 50; i++) {
        put(s, 300, i);
        OK(s, duct_recv(s->pipe, &held, SOON));
        OK(s, duct_pipe_move(s->pipe, i % 2 ? own : other));
        OK(s, duct_pipe_move(s->pipe, i % 2 ? own : other));
        OK(s, duct_msg_release(&held));
    }
    GIVES(s, duct_pipe_move(s->pipe, NULL), DUCT_EINVAL);
    OK(s, duct_pipe_move(s->pipe, other));
    put(s, 8, 1);
    do {
        OK(s, duct_context_wait(other, &event, 1, &count, SOON));
    } while (event.type != DUCT_EVENT_READABLE);
    CHECK(s, event.pipe == s->pipe);
    take(s, 8, 1);
    /* Its old context is empty, and may go. */
    GIVES(s, duct_context_wait(own, &event, 1, &count, 0), DUCT_EAGAIN);
    duct_listener_close(s->listener);
    duct_context_close(own);
    put(s, 9, 2);
    take(s, 9, 2);
    s->context = other;
}

CONFORMS(moves, 0, 0, "", moves, there_echoes)
CONFORMS(moves_parked, 0, 0, "wait=park", moves, there_echoes)

/* ---- Adoption ---- */

static void *adopts(void *arg)
{
    struct half *h = arg;
    struct duct_msg msg;

    WRONG_UNLESS(h, duct_context_adopt(h->context) == DUCT_OK);
    for (uint64_t i = 0; i < h->count; i++) {
        WRONG_UNLESS(h, duct_write(h->pipe, "abcdefgh", 8, i, SOON) == DUCT_OK);
        WRONG_UNLESS(h, duct_recv(h->pipe, &msg, SOON) == DUCT_OK);
        WRONG_UNLESS(h, msg.tag == i && duct_msg_release(&msg) == DUCT_OK);
    }
    return NULL;
}

static void adopted(struct side *s)
{
    pthread_t thread;

    for (int i = 0; i < 10; i++) {
        struct half h = {.side = s, .context = s->context, .pipe = s->pipe, .count = 20};
        CHECK(s, pthread_create(&thread, NULL, adopts, &h) == 0);
        CHECK(s, pthread_join(thread, NULL) == 0);
        CHECK(s, h.wrong == NULL);
        OK(s, duct_context_adopt(s->context));
        put(s, 8, 1);
        take(s, 8, 1);
    }
    GIVES(s, duct_context_adopt(NULL), DUCT_EINVAL);
}

CONFORMS(adopted, 0, 0, "", adopted, there_echoes)
CONFORMS(adopted_parked, 0, 0, "wait=park", adopted, there_echoes)
