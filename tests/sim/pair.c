/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/pair.h"

#include <stdio.h>

#include "tests/sim/comeback.h"
#include "tests/sim/scheme.h"

/* How long calls wait where the script does not say: longer than a kernel takes to give a silent peer up. */
#define LONG (120 * DUCT_SECOND)

/* What a call may be late for anything but a jump of the clock: others' looks at nothing, and the millisecond after which
 * who spins looks at the kernel. */
#define SLACK (2 * DUCT_MILLISECOND)

static const struct sim_script *script_of(const struct sim_node *node)
{
    return ((struct sim_case *)node->user)->script;
}

static const char *address(const char *given)
{
    return given != NULL ? given : "sim://here";
}

void sim_within(struct sim_node *node, int64_t begun, int64_t timeout_ns, const char *call)
{
    int64_t took = di_sim_now(node->world->sim) - begun;

    SIM_CHECK(node,
              timeout_ns == DUCT_FOREVER || took <= timeout_ns + SLACK + node->world->lateness,
              "%s took %lld us and was given %lld", call, (long long)took / 1000,
              (long long)timeout_ns / 1000);
}

enum duct_err sim_dial(struct sim_node *node, struct duct_pipe **pipe, const char *query)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[300];

    options.context = node->context;
    snprintf(url, sizeof(url), "%s%s", address(script_of(node)->at),
             query != NULL ? query : "?wait_listener=1");
    return duct_dial(pipe, url, &options);
}

enum duct_err sim_listen(struct sim_node *node, struct duct_listener **listener, const char *query)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[300];

    options.context = node->context;
    snprintf(url, sizeof(url), "%s%s", address(script_of(node)->listen_at),
             query != NULL ? query : "");
    return duct_listen(listener, url, &options);
}

/* ---- Speaking ---- */

static int64_t patience(const struct sim_script *script)
{
    return script->timeout_ns != 0 ? script->timeout_ns : LONG;
}

static enum sim_way way_of(struct sim_node *node)
{
    enum sim_way way = script_of(node)->way;

    return way == SIM_WAYS ? (enum sim_way)sim_any(node, SIM_WAYS) : way;
}

static enum duct_err say(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                         int64_t timeout_ns)
{
    const struct sim_script *script = script_of(node);
    int64_t begun = di_sim_now(node->world->sim);
    uint32_t size = script->fixed ? script->size : (uint32_t)sim_any(node, script->size + 1);
    enum duct_err err = sim_say(node, pipe, side, way_of(node), size, timeout_ns);

    di_sim_note(node->world->sim, side == SIM_DIALER ? "dialer said" : "listener said",
                (int64_t)(sim_talk_of(node, pipe, side)->session & 0xffff), err);
    sim_within(node, begun, timeout_ns, "a send");
    return err;
}

static enum duct_err hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                          int64_t timeout_ns)
{
    int64_t begun = di_sim_now(node->world->sim);
    enum duct_err err = sim_hear(node, pipe, side, way_of(node), timeout_ns);

    di_sim_note(node->world->sim, side == SIM_DIALER ? "dialer heard" : "listener heard",
                (int64_t)(sim_talk_of(node, pipe, side)->session & 0xffff), err);
    sim_within(node, begun, timeout_ns, "a receive");
    return err;
}

static bool ends(const struct sim_script *script, enum sim_side side)
{
    return script->listener_ends == (side == SIM_LISTENER);
}

/* Until the other side ends it; whoever is to end it itself, until the script's messages are there. */
static enum duct_err hear_all(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    const struct sim_script *script = script_of(node);
    const struct sim_flow *in = &sim_talk_of(node, pipe, side)->flows[!side];
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK && !(ends(script, side) && in->taken >= script->messages))
        err = hear(node, pipe, side, patience(script));
    return err;
}

/* What an ended pipe still has; then how it ended. */
static enum duct_err hear_rest(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK)
        err = hear(node, pipe, side, patience(script_of(node)));
    return err;
}

static enum duct_err say_all(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    const struct sim_script *script = script_of(node);
    const struct sim_flow *flow = &sim_talk_of(node, pipe, side)->flows[side];
    enum duct_err err = DUCT_OK;

    while (flow->accepted < script->messages && err == DUCT_OK)
        err = say(node, pipe, side, patience(script));
    return err == DUCT_OK ? duct_flush(pipe) : err;
}

/* The call had its time, and the pipe goes on: one that ended for want of the rest of a message says TIMEOUT too. */
static bool nothing_yet(struct duct_pipe *pipe, enum duct_err err)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    return err == DUCT_EAGAIN ||
           (err == DUCT_ETIMEOUT && duct_pipe_info(pipe, &info) == DUCT_OK && info.end == DUCT_OK);
}

/* Both send, and each receives when it cannot. */
static enum duct_err say_and_hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    const struct sim_script *script = script_of(node);
    const struct sim_talk *talk = sim_talk_of(node, pipe, side);
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK && (talk->flows[side].accepted < script->messages ||
                              talk->flows[!side].taken < script->messages)) {
        bool all_said = talk->flows[side].accepted >= script->messages;
        if (!all_said)
            err = say(node, pipe, side, (int64_t)sim_any(node, 2) * DUCT_MILLISECOND);
        else
            err = duct_flush(pipe);
        if (err == DUCT_OK || nothing_yet(pipe, err))
            err = hear(node, pipe, side,
                       all_said ? patience(script) : (int64_t)sim_any(node, 2) * DUCT_MILLISECOND);
        bool heard_all = talk->flows[!side].taken >= script->messages;
        if ((!all_said || (heard_all && err == DUCT_ETIMEOUT)) && nothing_yet(pipe, err))
            err = DUCT_OK;
    }
    return err == DUCT_OK ? duct_flush(pipe) : err;
}

static enum duct_err ask_all(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    const struct sim_script *script = script_of(node);
    const struct sim_talk *talk = sim_talk_of(node, pipe, side);
    enum duct_err err = DUCT_OK;

    for (unsigned i = 0; i < script->messages && err == DUCT_OK; i++) {
        err = say(node, pipe, side, patience(script));
        if (err == DUCT_OK)
            err = duct_flush(pipe);
        /* A batch is answered by as many. */
        while (err == DUCT_OK && talk->flows[!side].taken < talk->flows[side].accepted)
            err = hear(node, pipe, side, patience(script));
    }
    return err;
}

static enum duct_err answer_all(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    const struct sim_script *script = script_of(node);
    const struct sim_talk *talk = sim_talk_of(node, pipe, side);
    enum duct_err err = DUCT_OK;

    while (!(ends(script, side) && talk->flows[!side].taken >= script->messages) &&
           (err = hear(node, pipe, side, patience(script))) == DUCT_OK) {
        while (err == DUCT_OK && talk->flows[side].accepted < talk->flows[!side].taken)
            err = say(node, pipe, side, patience(script));
        if (err == DUCT_OK)
            err = duct_flush(pipe);
        if (err != DUCT_OK)
            break;
    }
    return err;
}

static void farewell(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                     enum duct_err err)
{
    const struct sim_script *script = script_of(node);

    if (err == DUCT_OK && ends(script, side)) {
        sim_part(node, pipe, side, 7, "that was all", script->linger_ns);
        return;
    }
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    if (err == DUCT_OK || (duct_pipe_info(pipe, &info) == DUCT_OK && info.end != DUCT_OK))
        err = hear_rest(node, pipe, side);
    /* One after the other: the last may have to wait for the misfortunes of all the others. */
    bool queues = script->harm && script->dialers > 1 && !script->events;
    SIM_CHECK(node,
              err != DUCT_ETIMEOUT || script->timeout_ns != 0 || queues || script->impatient ||
                  node->world->lateness > 0,
              "the other side is silent, and nobody gives it up");
    if (duct_pipe_info(pipe, &info) == DUCT_OK && info.end == DUCT_OK) {
        sim_part(node, pipe, side, 8, "enough", 0); /* a call failed, the pipe has not */
        return;
    }
    if (err == DUCT_ETIMEOUT)
        (void)hear_rest(node, pipe, side); /* it has ended since */
    SIM_CHECK(node, script->end_must == 0 || (script->end_must & SIM_MAY(info.end)),
              "the pipe ended with %s", duct_err_text(info.end));
    sim_mourn(node, pipe, side);
}

void sim_converse(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    enum sim_talking talking = script_of(node)->talking;
    enum duct_err err = DUCT_OK;

    (void)sim_talk_of(node, pipe, side);
    if (talking == SIM_BOTH)
        err = say_and_hear(node, pipe, side);
    else if (talking == SIM_CALLS)
        err = side == SIM_DIALER ? ask_all(node, pipe, side) : answer_all(node, pipe, side);
    else if (talking == (side == SIM_DIALER ? SIM_STREAM : SIM_BACK))
        err = say_all(node, pipe, side);
    else if (talking != SIM_SILENT)
        err = hear_all(node, pipe, side);
    farewell(node, pipe, side, err);
}

/* ---- Programs ---- */

void sim_dialer(struct sim_node *self)
{
    struct sim_case *play = self->user;
    const struct sim_script *script = play->script;
    struct duct_pipe *pipe;
    enum duct_err err = sim_dial(self, &pipe, script->dial);

    SIM_CHECK(self, script->dial_must == 0 || (script->dial_must & SIM_MAY(err)),
              "dialling gave %s", err == DUCT_OK ? "a pipe" : duct_err_detail());
    SIM_CHECK(self, err == DUCT_OK || ((script->dial_may | script->dial_must) & SIM_MAY(err)),
              "dialling gave %s (%s)", duct_err_text(err), duct_err_detail());
    if (err == DUCT_OK)
        sim_converse(self, pipe, SIM_DIALER);
    play->dialers_left--;
}

/* One after the other, with calls that wait. */
static void serve_each(struct sim_node *self, struct duct_listener *listener)
{
    struct sim_case *play = self->user;
    struct duct_pipe *pipe;

    while (play->dialers_left > 0) {
        enum duct_err err = duct_accept(listener, &pipe, DUCT_SECOND);
        if (err == DUCT_OK)
            sim_converse(self, pipe, SIM_LISTENER);
        else if (err != DUCT_ETIMEOUT && err != DUCT_ECANCELED &&
                 !(err == DUCT_ELIMIT && play->script->harm)) {
            SIM_CHECK(self, false, "accept gave %s (%s)", duct_err_text(err), duct_err_detail());
            return;
        }
    }
}

void sim_listener(struct sim_node *self)
{
    struct sim_case *play = self->user;
    struct duct_listener *listener;
    enum duct_err err = sim_listen(self, &listener, play->script->listen);

    for (unsigned i = 0; err == DUCT_ELIMIT && play->script->harm && i < 100; i++)
        err = sim_listen(self, &listener, play->script->listen);
    SIM_CHECK(self, err == DUCT_OK, "listening gave %s", duct_err_detail());
    if (err != DUCT_OK)
        return;
    if (play->script->events)
        sim_serve(self, listener);
    else
        serve_each(self, listener);
    duct_listener_close(listener);
}

/* Other threads may cancel and wake: here it is another program. */
static void meddle(struct sim_node *self)
{
    struct sim_world *world = self->world;

    for (unsigned i = 0; i < script_of(self)->meddles; i++) {
        sim_pass(self, (int64_t)sim_any(self, 20 * DUCT_MILLISECOND));
        struct sim_node *victim = &world->nodes[sim_any(self, world->count)];
        if (victim == self || victim->ended || victim->context == NULL)
            continue;
        if (sim_any(self, 2) == 0)
            duct_context_cancel(victim->context);
        else
            duct_context_wake(victim->context);
    }
}

static void play_comeback(struct sim_world *world, const struct sim_script *script)
{
    static struct sim_comeback play;

    play = (struct sim_comeback){
        .play = {.script = script,
                 .world = world,
                 .dialers_left = script->dialers != 0 ? script->dialers : 1},
        .harm = script->harm,
    };
    sim_sagas_reset();
    sim_world_add(world, "listener", sim_comeback_listener, &play);
    for (unsigned i = 0; i < play.play.dialers_left; i++)
        sim_world_add(world, "dialer", sim_comeback_dialer, &play);
    sim_world_add(world, "fate", sim_comeback_fate, &play);
    if (script->meddles > 0)
        sim_world_add(world, "meddler", meddle, &play);
    sim_world_run(world);
    struct di_sim_count count = di_sim_counted(world->sim);
    uint64_t losses = script->harm ? UINT64_MAX : (uint64_t)count.cuts + count.resets;
    if (!world->stuck)
        sim_sagas_check(world, losses);
}

void sim_play(struct sim_world *world, const struct sim_script *script)
{
    static struct sim_case play;

    world->impatient = script->impatient;
    sim_scheme_frames(script->frame_max);
    if (script->comes_back) {
        play_comeback(world, script);
        return;
    }
    play = (struct sim_case){.script = script,
                             .world = world,
                             .dialers_left = script->dialers != 0 ? script->dialers : 1};
    sim_talks_reset();
    sim_world_add(world, "listener", sim_listener, &play);
    for (unsigned i = 0; i < play.dialers_left; i++)
        sim_world_add(world, "dialer", sim_dialer, &play);
    if (script->meddles > 0)
        sim_world_add(world, "meddler", meddle, &play);
    sim_world_run(world);
    struct di_sim_count count = di_sim_counted(world->sim);
    if (!world->stuck)
        sim_talks_check(world, script->harm || count.cuts + count.resets > 0);
}
