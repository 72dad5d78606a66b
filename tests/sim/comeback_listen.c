/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/comeback.h"

/* The listener of those who come back: serves all pipes there are by events, and goes and comes itself. */

/* Receives of one event, so that every pipe has its turn. */
enum { TURN = 4 };

struct host {
    struct sim_node *node;
    struct sim_comeback *world;
    struct duct_listener *listener; /* NULL: none now */
    unsigned pipes;                 /* open */
};

static bool answers(const struct host *host)
{
    enum sim_talking talking = host->world->play.script->talking;

    return talking == SIM_CALLS || talking == SIM_BOTH;
}

static enum sim_way way_of(const struct host *host)
{
    enum sim_way way = host->world->play.script->way;

    return way == SIM_WAYS ? (enum sim_way)sim_any(host->node, SIM_WAYS) : way;
}

/* One answer for each message that came, as far as that goes without waiting. */
static void answer(const struct host *host, struct duct_pipe *pipe, struct sim_chapter *chapter)
{
    const struct sim_script *script = host->world->play.script;
    uint32_t owed = answers(host) ? chapter->next - chapter->first : 0;
    uint32_t watch = DUCT_WATCH_READABLE | DUCT_WATCH_END;
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK && chapter->back.accepted < owed) {
        uint32_t size = (uint32_t)sim_any(host->node, script->size + 1);
        err = sim_flow_say(host->node, pipe, &chapter->back, way_of(host), size, 0);
    }
    if (err == DUCT_OK)
        err = duct_flush(pipe);
    if (chapter->back.accepted < owed)
        watch |= DUCT_WATCH_WRITABLE;
    /* What has ended says so by an event of its own. */
    enum duct_err watched = duct_pipe_watch(pipe, watch);
    SIM_CHECK(host->node, watched == DUCT_OK, "duct_pipe_watch: %s", duct_err_text(watched));
}

static void take(const struct host *host, struct duct_pipe *pipe, struct sim_chapter *chapter,
                 unsigned most)
{
    enum duct_err err = DUCT_OK;

    for (unsigned i = 0; i < most && err == DUCT_OK; i++) {
        err = sim_chapter_hear(host->node, pipe, chapter, way_of(host), 0);
        di_sim_note(host->node->world->sim, "host heard", chapter->next, err);
    }
}

static void visit(struct host *host)
{
    struct duct_pipe *pipe;
    enum duct_err err = duct_accept(host->listener, &pipe, 0);

    SIM_CHECK(host->node,
              err == DUCT_OK || err == DUCT_EAGAIN || err == DUCT_ECLOSED || host->world->harm,
              "accept gave %s", duct_err_text(err));
    if (err == DUCT_ELIMIT)
        sim_pass(host->node, DUCT_MILLISECOND);
    if (err != DUCT_OK)
        return;
    struct sim_chapter *chapter = sim_chapter_of(host->node, pipe);
    di_sim_note(host->node->world->sim, "host has", (int64_t)(chapter->session & 0xffff), 0);
    duct_pipe_set_user(pipe, chapter);
    host->pipes++;
    answer(host, pipe, chapter);
}

static void part(struct host *host, struct duct_pipe *pipe, struct sim_chapter *chapter)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    /* What came before the end is still there. */
    take(host, pipe, chapter, UINT32_MAX);
    enum duct_err err = duct_pipe_info(pipe, &info);
    SIM_CHECK(host->node, err == DUCT_OK && info.end != DUCT_OK, "told of an end that was none");
    SIM_CHECK(host->node, info.end != DUCT_ECORRUPT, "corrupt, between two honest peers");
    SIM_CHECK(host->node, info.end != DUCT_EAGAIN, "ended with AGAIN");
    duct_pipe_close(pipe);
    host->pipes--;
}

static void on_event(struct host *host, const struct duct_event *event)
{
    struct sim_chapter *chapter = event->pipe != NULL ? duct_pipe_user(event->pipe) : NULL;

    switch (event->type) {
    case DUCT_EVENT_ACCEPTED:
        visit(host);
        break;
    case DUCT_EVENT_READABLE:
        take(host, event->pipe, chapter, TURN);
        answer(host, event->pipe, chapter);
        break;
    case DUCT_EVENT_WRITABLE:
        answer(host, event->pipe, chapter);
        break;
    case DUCT_EVENT_ERROR:
    case DUCT_EVENT_CLOSED:
        part(host, event->pipe, chapter);
        break;
    case DUCT_EVENT_STATE:
        break;
    }
}

/* ---- Going and coming ---- */

static void open_again(struct host *host)
{
    enum duct_err err = DUCT_EAGAIN;

    for (unsigned i = 0; i < 1000 && err != DUCT_OK; i++) {
        err = sim_listen(host->node, &host->listener, host->world->play.script->listen);
        if (err != DUCT_OK)
            sim_pass(host->node, DUCT_MILLISECOND);
        SIM_CHECK(host->node, err == DUCT_OK || host->world->harm, "listening gave %s",
                  duct_err_detail());
    }
    SIM_CHECK(host->node, err == DUCT_OK, "listening gave %s", duct_err_detail());
}

/* As if the process had died: the kernel resets what it had, and nobody says good-bye. */
static void die(struct host *host)
{
    di_sim_strike(host->node->world->sim, DI_SIM_RESET);
    duct_listener_close(host->listener);
    host->listener = NULL;
    sim_pass(host->node, host->world->down_ns);
    host->world->down = false;
    open_again(host);
}

/* Nobody who has begun to dial is turned away, and the address is free meanwhile. */
static void hand_over(struct host *host)
{
    struct duct_listener *old = host->listener, *fresh;
    enum duct_err err = duct_listener_shutdown(old, 0);

    open_again(host);
    fresh = host->listener;
    host->listener = old;
    for (unsigned i = 0;
         i < 1000 && (err == DUCT_ETIMEOUT || err == DUCT_EAGAIN || err == DUCT_ECANCELED); i++)
        err = duct_listener_shutdown(old, 100 * DUCT_MILLISECOND);
    SIM_CHECK(host->node, err == DUCT_OK, "a listener does not shut down: %s", duct_err_text(err));
    struct duct_pipe *none = NULL;
    for (unsigned before = UINT32_MAX; before != host->pipes;) {
        before = host->pipes;
        visit(host);
    }
    if (!host->world->harm) {
        err = duct_accept(old, &none, 0);
        SIM_CHECK(host->node, err == DUCT_ECLOSED, "accepting after a shutdown gave %s",
                  duct_err_text(err));
    }
    duct_listener_close(old);
    host->listener = fresh;
    host->world->replaced = false;
}

void sim_comeback_listener(struct sim_node *self)
{
    struct sim_comeback *world = self->user;
    struct host host = {.node = self, .world = world};
    struct duct_event event;
    size_t count;

    open_again(&host);
    world->listener = self->context;
    while (host.listener != NULL && (world->play.dialers_left > 0 || host.pipes > 0)) {
        if (world->down)
            die(&host);
        else if (world->replaced)
            hand_over(&host);
        /* One at a time: an event closes pipes of which another one may tell. */
        enum duct_err err = duct_context_wait(self->context, &event, 1, &count, DUCT_SECOND);
        SIM_CHECK(self, err == DUCT_OK || err == DUCT_ETIMEOUT || err == DUCT_ECANCELED,
                  "waiting for events gave %s", duct_err_text(err));
        if (err == DUCT_OK && count == 1)
            on_event(&host, &event);
        else if (err == DUCT_EOS)
            break;
    }
    world->listener = NULL;
    duct_listener_close(host.listener);
}
