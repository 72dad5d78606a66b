/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pair.h"

/* A listener that never waits for one pipe: everything it does is an answer to an event. */

/* Receives of one event, so that every pipe has its turn. */
enum { TURN = 4, EVENTS = 8 };

struct server {
    struct sim_node *node;
    const struct sim_script *script;
    unsigned pipes; /* open */
};

/* How many this side is still to send now. */
static uint32_t owed(const struct server *server, const struct sim_talk *talk)
{
    const struct sim_flow *out = &talk->flows[SIM_LISTENER];

    if (server->script->talking == SIM_CALLS) {
        uint32_t asked = talk->flows[SIM_DIALER].taken;
        return asked > out->accepted ? asked - out->accepted : 0;
    }
    bool speaks = server->script->talking == SIM_BACK || server->script->talking == SIM_BOTH;
    return speaks && out->accepted < server->script->messages
               ? server->script->messages - out->accepted
               : 0;
}

static void gone(struct server *server, struct duct_pipe *pipe)
{
    const struct sim_script *script = server->script;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    if (duct_pipe_info(pipe, &info) == DUCT_OK)
        SIM_CHECK(server->node, script->end_must == 0 || (script->end_must & SIM_MAY(info.end)),
                  "the pipe ended with %s", duct_err_text(info.end));
    sim_mourn(server->node, pipe, SIM_LISTENER);
    server->pipes--;
}

/* Sends what it owes, as far as that goes without waiting; true if the pipe is still open. */
static bool pay(struct server *server, struct duct_pipe *pipe)
{
    struct sim_node *node = server->node;
    const struct sim_script *script = server->script;
    const struct sim_talk *talk = sim_talk_of(node, pipe, SIM_LISTENER);
    enum duct_err err = DUCT_OK;
    uint32_t watch = DUCT_WATCH_READABLE | DUCT_WATCH_STATE | DUCT_WATCH_END;

    for (unsigned i = 0; i < TURN && owed(server, talk) > 0 && err == DUCT_OK; i++) {
        enum sim_way way =
            script->way == SIM_WAYS ? (enum sim_way)sim_any(node, SIM_WAYS) : script->way;
        uint32_t size = script->fixed ? script->size : (uint32_t)sim_any(node, script->size + 1);
        err = sim_say(node, pipe, SIM_LISTENER, way, size, 0);
    }
    if (err == DUCT_OK)
        err = duct_flush(pipe);
    bool heard = script->talking == SIM_SILENT || script->talking == SIM_BACK ||
                 talk->flows[SIM_DIALER].taken >= script->messages;
    if (err == DUCT_OK && script->listener_ends && owed(server, talk) == 0 && heard) {
        sim_part(node, pipe, SIM_LISTENER, 7, "that was all", script->linger_ns);
        server->pipes--;
        return false;
    }
    /* What has ended says so by an event of its own. */
    if (owed(server, talk) > 0)
        watch |= DUCT_WATCH_WRITABLE;
    err = duct_pipe_watch(pipe, watch);
    SIM_CHECK(node, err == DUCT_OK, "duct_pipe_watch: %s", duct_err_text(err));
    return true;
}

static void take(struct server *server, struct duct_pipe *pipe)
{
    struct sim_node *node = server->node;

    for (unsigned i = 0; i < TURN; i++) {
        enum sim_way way = server->script->way == SIM_WAYS ? (enum sim_way)sim_any(node, SIM_WAYS)
                                                           : server->script->way;
        if (sim_hear(node, pipe, SIM_LISTENER, way, 0) != DUCT_OK)
            break;
    }
    (void)pay(server, pipe);
}

static void on_event(struct server *server, const struct duct_event *event)
{
    struct duct_pipe *pipe = event->pipe;
    enum duct_err err;

    switch (event->type) {
    case DUCT_EVENT_ACCEPTED:
        err = duct_accept(event->listener, &pipe, 0);
        SIM_CHECK(server->node,
                  err == DUCT_OK || err == DUCT_EAGAIN ||
                      (err == DUCT_ELIMIT && server->script->harm),
                  "accept gave %s", duct_err_text(err));
        if (err == DUCT_ELIMIT)
            sim_pass(server->node, DUCT_MILLISECOND);
        if (err == DUCT_OK) {
            server->pipes++;
            (void)sim_talk_of(server->node, pipe, SIM_LISTENER);
            (void)pay(server, pipe);
        }
        break;
    case DUCT_EVENT_READABLE:
        take(server, pipe);
        break;
    case DUCT_EVENT_WRITABLE:
        (void)pay(server, pipe);
        break;
    case DUCT_EVENT_ERROR:
    case DUCT_EVENT_CLOSED:
        gone(server, pipe);
        break;
    case DUCT_EVENT_STATE:
        break;
    }
}

void sim_serve(struct sim_node *node, struct duct_listener *listener)
{
    const struct sim_case *play = node->user;
    struct server server = {.node = node, .script = play->script};
    struct duct_event event;
    size_t count;

    (void)listener; /* its events come with those of its pipes */
    while (play->dialers_left > 0 || server.pipes > 0) {
        /* One at a time: an event closes pipes of which another one may tell. */
        enum duct_err err = duct_context_wait(node->context, &event, 1, &count, DUCT_SECOND);
        SIM_CHECK(node, err == DUCT_OK || err == DUCT_ETIMEOUT || err == DUCT_ECANCELED,
                  "waiting for events gave %s", duct_err_text(err));
        if (err == DUCT_OK && count == 1)
            on_event(&server, &event);
        else if (err == DUCT_EOS)
            return;
    }
}
