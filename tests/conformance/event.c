/* SPDX-License-Identifier: Apache-2.0 */
#include <unistd.h>

#include "tests/conformance/suite.h"

/* Events: what is reported, how often, and in what order. */

static struct duct_event next(struct side *s)
{
    struct duct_event event = {0};
    size_t count = 0;

    OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
    CHECK(s, count == 1);
    return event;
}

static void nothing(struct side *s)
{
    struct duct_event event;
    size_t count = 9;

    GIVES(s, duct_context_wait(s->context, &event, 1, &count, 0), DUCT_EAGAIN);
    CHECK(s, count == 0);
    GIVES(s, duct_context_wait(s->context, &event, 1, &count, A_BIT), DUCT_ETIMEOUT);
    CHECK(s, count == 0);
}

static void whole_life(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    int mark, mark2;
    struct duct_event event;

    options.context = side_context(s);
    options.user = &mark;
    OK(s, duct_listen(&s->listener, s->bare, &options));
    nothing(s);
    tell(s);
    for (int i = 0; i < 3; i++) {
        event = next(s);
        CHECK(s, event.type == DUCT_EVENT_ACCEPTED && event.listener == s->listener);
        CHECK(s, event.user == &mark && event.pipe == NULL);
    }
    OK(s, duct_accept(s->listener, &s->pipe, 0));
    CHECK(s, duct_pipe_user(s->pipe) == &mark);
    duct_pipe_set_user(s->pipe, &mark2);
    event = next(s);
    CHECK(s, event.type == DUCT_EVENT_STATE && event.state == DUCT_STATE_CONNECTED);
    CHECK(s, event.pipe == s->pipe && event.user == &mark2 && event.err == DUCT_OK);
    nothing(s);
    tell(s);
    /* Level-triggered: as long as it is true. */
    for (int i = 0; i < 3; i++) {
        event = next(s);
        CHECK(s, event.type == DUCT_EVENT_READABLE && event.pipe == s->pipe);
    }
    take(s, 8, 1);
    take(s, 3000, 2);
    nothing(s);
    tell(s);
    /* The message before the end; and each end once. */
    bool state = false, received = false;
    while ((event = next(s)).type != DUCT_EVENT_CLOSED) {
        if (event.type == DUCT_EVENT_READABLE && !received) {
            take(s, 8, 3);
            received = true;
        } else {
            CHECK(s, !state && event.type == DUCT_EVENT_STATE);
            CHECK(s, event.state == DUCT_STATE_CLOSED && event.err == DUCT_ECLOSED);
            state = true;
        }
    }
    CHECK(s, state && received && event.err == DUCT_ECLOSED);
    nothing(s);
}

static void lives_there(struct side *s)
{
    await(s);
    side_dial(s, s->bare);
    await(s);
    put(s, 8, 1);
    put(s, 3000, 2);
    await(s);
    put(s, 8, 3);
    duct_pipe_close(s->pipe);
}

CONFORMS(whole_life, 0, BARE, "", whole_life, lives_there)

static void skip_state(struct side *s)
{
    struct duct_event event = next(s);

    CHECK(s, event.type == DUCT_EVENT_STATE && event.state == DUCT_STATE_CONNECTED);
}

/* ---- Death ---- */

static void dies_there(struct side *s)
{
    put(s, 8, 1);
    tell(s);
    await(s);
    if (s->process)
        _exit(0);
}

static void sees_death(struct side *s)
{
    struct duct_event event;

    skip_state(s);
    await(s);
    tell(s);
    event = next(s);
    while (event.type == DUCT_EVENT_STATE)
        event = next(s);
    CHECK(s, event.type == DUCT_EVENT_READABLE);
    take(s, 8, 1);
    event = next(s);
    if (event.type == DUCT_EVENT_STATE) {
        CHECK(s, event.state == DUCT_STATE_DISCONNECTED && event.err == DUCT_EPEER);
        event = next(s);
    }
    CHECK(s, event.type == DUCT_EVENT_ERROR && event.err == DUCT_EPEER);
    nothing(s);
}

CONFORMS_PROCESS(sees_death, 0, 0, "", sees_death, dies_there)

/* ---- WRITABLE, and masks ---- */

static void writable(struct side *s)
{
    struct duct_event event;

    skip_state(s);
    nothing(s);
    OK(s, duct_pipe_watch(s->pipe, DUCT_WATCH_WRITABLE));
    for (int i = 0; i < 3; i++) {
        event = next(s);
        CHECK(s, event.type == DUCT_EVENT_WRITABLE && event.pipe == s->pipe);
    }
    enum duct_err err;
    while ((err = duct_write(s->pipe, "12345678", 8, 0, 0)) == DUCT_OK)
        continue;
    GIVES(s, err, DUCT_EAGAIN);
    nothing(s);
    tell(s);
    event = next(s);
    CHECK(s, event.type == DUCT_EVENT_WRITABLE);
    OK(s, duct_write(s->pipe, "12345678", 8, 0, 0));
    OK(s, duct_pipe_watch(s->pipe, 0));
    nothing(s);
    /* There is a message, but nobody asked; then somebody does. */
    tell(s);
    await(s);
    nothing(s);
    OK(s, duct_pipe_watch(s->pipe, DUCT_WATCH_READABLE));
    event = next(s);
    CHECK(s, event.type == DUCT_EVENT_READABLE);
    GIVES(s, duct_pipe_watch(s->pipe, 1u << 30), DUCT_EINVAL);
    tell(s);
}

static void makes_room(struct side *s)
{
    struct duct_msg msg;

    await(s);
    while (duct_recv(s->pipe, &msg, A_BIT) == DUCT_OK)
        OK(s, duct_msg_release(&msg));
    await(s);
    put(s, 8, 1);
    tell(s);
    await(s);
}

CONFORMS(writable, CAN_SHARE, 0, "", writable, makes_room)
CONFORMS(writable_slots_8, CAN_SHARE, 0, "slots=8", writable, makes_room)

/* A send that finds no room does not make the context forget what can be received. */
static void full_but_readable(struct side *s)
{
    struct duct_event event;
    enum duct_err err;
    int fd;

    OK(s, duct_context_fd(s->context, &fd));
    skip_state(s);
    tell(s);
    await(s);
    for (int i = 0; i < 3; i++) {
        while ((err = duct_write(s->pipe, "12345678", 8, 0, 0)) == DUCT_OK)
            continue;
        GIVES(s, err, DUCT_EAGAIN);
        event = next(s);
        CHECK(s, event.type == DUCT_EVENT_READABLE);
    }
    /* Nor does a receive that finds nothing make it forget what was asked for. */
    take(s, 8, 1);
    OK(s, duct_pipe_watch(s->pipe, DUCT_WATCH_WRITABLE | DUCT_WATCH_READABLE));
    struct duct_msg msg;
    GIVES(s, duct_recv(s->pipe, &msg, 0), DUCT_EAGAIN);
    tell(s);
    event = next(s);
    CHECK(s, event.type == DUCT_EVENT_WRITABLE);
}

static void readable_when_full(struct side *s)
{
    struct duct_msg msg;
    enum duct_err err;

    await(s);
    put(s, 8, 1);
    tell(s);
    await(s);
    while ((err = duct_recv(s->pipe, &msg, SOON)) == DUCT_OK)
        OK(s, duct_msg_release(&msg));
    GIVES(s, err, DUCT_ECLOSED);
}

CONFORMS(full_but_readable, CAN_SHARE, 0, "", full_but_readable, readable_when_full)

/* ---- Room for fewer events than there are ---- */

enum { PIPES = 5 };

static void five_there(struct side *s)
{
    await(s);
    for (uint64_t i = 0; i < PIPES; i++) {
        side_dial(s, s->bare);
        put(s, 8, i);
    }
    tell(s);
    await(s);
}

static void in_turns(struct side *s)
{
    struct duct_pipe *pipes[PIPES];
    struct duct_event events[3];
    unsigned seen[PIPES];
    size_t count;

    side_listen(s, s->bare);
    tell(s);
    for (int i = 0; i < PIPES; i++) {
        side_accept(s);
        pipes[i] = s->pipe;
        OK(s, duct_pipe_watch(s->pipe, DUCT_WATCH_READABLE));
    }
    await(s);
    /* Nobody reads, and each has its turn. */
    for (size_t room = 1; room <= 3; room++) {
        memset(seen, 0, sizeof(seen));
        for (int i = 0; i < 30; i++) {
            OK(s, duct_context_wait(s->context, events, room, &count, SOON));
            CHECK(s, count >= 1 && count <= room);
            for (size_t k = 0; k < count; k++) {
                for (int p = 0; p < PIPES; p++)
                    seen[p] += events[k].pipe == pipes[p] && events[k].type == DUCT_EVENT_READABLE;
            }
        }
        for (int p = 0; p < PIPES; p++)
            CHECK(s, seen[p] >= 3);
    }
    /* A pipe that is closed takes its events with it. */
    for (int i = 1; i < PIPES; i++)
        duct_pipe_close(pipes[i]);
    for (int i = 0; i < 5; i++)
        CHECK(s, next(s).pipe == pipes[0]);
    tell(s);
}

CONFORMS(in_turns, 0, BARE, "", in_turns, five_there)

/* A pipe that nobody accepts keeps neither pipes from being reported nor the loop from running. */
static void nobody_accepts(struct side *s)
{
    struct duct_event event;
    bool readable = false, accepted = false;

    OK(s, duct_pipe_watch(s->pipe, DUCT_WATCH_READABLE));
    tell(s);
    for (int i = 0; i < 10000000 && !(readable && accepted); i++) {
        event = next(s);
        accepted |= event.type == DUCT_EVENT_ACCEPTED;
        readable |= event.type == DUCT_EVENT_READABLE;
    }
    CHECK(s, readable && accepted);
    tell(s);
}

static void dials_again_and_sends(struct side *s)
{
    struct duct_pipe *first = s->pipe;

    await(s);
    side_dial(s, s->url);
    s->pipe = first;
    put(s, 8, 1);
    await(s);
}

CONFORMS(nobody_accepts, 0, 0, "", nobody_accepts, dials_again_and_sends)

/* ---- Callbacks ---- */

struct callback {
    struct side *side;
    unsigned readable;
    unsigned ended;
    unsigned states;
};

static void on_state_change(void *user, const struct duct_event *event)
{
    struct callback *c = user;

    CHECK(c->side, event->type == DUCT_EVENT_STATE);
    c->states++;
}

static void on_event(void *user, const struct duct_event *event)
{
    struct callback *c = user;
    struct side *s = c->side;
    struct duct_msg msg;
    struct duct_event other;
    struct duct_pipe *pipe;
    size_t count;

    CHECK(s, event->type != DUCT_EVENT_STATE);
    if (event->type == DUCT_EVENT_READABLE) {
        c->readable++;
        GIVES(s, duct_context_wait(s->context, &other, 1, &count, 0), DUCT_EINVAL);
        GIVES(s, duct_context_run(s->context, 0), DUCT_EINVAL);
        GIVES(s,
              duct_dial(&pipe, s->bare,
                        &(struct duct_options){.size = sizeof(struct duct_options),
                                               .context = s->context}),
              DUCT_EINVAL);
        OK(s, duct_recv(event->pipe, &msg, 0));
        OK(s, duct_msg_release(&msg));
        if (duct_recv(event->pipe, &msg, SOON) == DUCT_OK)
            OK(s, duct_msg_release(&msg));
        else
            CHECK(s, says("callback"));
        GIVES(s, duct_accept(s->listener, &pipe, SOON), DUCT_EINVAL);
        GIVES(s, duct_accept(s->listener, &pipe, 0), DUCT_EAGAIN);
    }
    if (event->type == DUCT_EVENT_CLOSED) {
        c->ended++;
        duct_pipe_close(event->pipe);
    }
}

static void callbacks(struct side *s)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct callback c = {.side = s};

    options.io = s->io;
    options.on_event = on_event;
    options.on_state_change = on_state_change;
    options.user = &c;
    OK(s, duct_context_open(&s->context, &options));
    side_listen(s, s->bare);
    tell(s);
    side_accept(s);
    while (c.ended == 0)
        OK(s, duct_context_run(s->context, SOON));
    CHECK(s, c.readable >= 1 && c.ended == 1 && c.states >= 1);
    GIVES(s, duct_context_run(s->context, 0), DUCT_EAGAIN);
    GIVES(s, duct_context_run(s->context, A_BIT), DUCT_ETIMEOUT);
}

static void sends_three(struct side *s)
{
    await(s);
    side_dial(s, s->bare);
    GIVES(s, duct_context_run(s->context, 0), DUCT_EINVAL);
    for (uint64_t i = 0; i < 3; i++)
        put(s, 8, i);
    duct_pipe_close(s->pipe);
}

CONFORMS(callbacks, 0, BARE, "", callbacks, sends_three)

static void bad_arguments(struct side *s)
{
    struct duct_event event;
    size_t count;

    side_context(s);
    GIVES(s, duct_context_wait(NULL, &event, 1, &count, 0), DUCT_EINVAL);
    GIVES(s, duct_context_wait(s->context, NULL, 1, &count, 0), DUCT_EINVAL);
    GIVES(s, duct_context_wait(s->context, &event, 0, &count, 0), DUCT_EINVAL);
    GIVES(s, duct_context_wait(s->context, &event, 1, NULL, 0), DUCT_EINVAL);
    GIVES(s, duct_context_wait(s->context, &event, 1, &count, -1), DUCT_EINVAL);
    GIVES(s, duct_context_fd(s->context, NULL), DUCT_EINVAL);
    GIVES(s, duct_context_open(NULL, NULL), DUCT_EINVAL);
    nothing(s);
}

CONFORMS(bad_arguments, 0, BARE, "", bad_arguments, there_nothing)
