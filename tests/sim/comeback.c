/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/comeback.h"

/* The dialer, who goes on whatever becomes of its peer, and whoever sees to that. */

/* Calls of one dialer, each of which may be for nothing; and times what the script asks for that it says, while there
 * are misfortunes to come. */
enum { TRIES = 3000, MOST = 5 };

/* At least what keeping a message takes beside its bytes. */
enum { KEPT_COST = 200 };

static const struct sim_script *script_of(const struct sim_node *node)
{
    return ((struct sim_case *)node->user)->script;
}

static enum sim_way way_of(struct sim_node *node)
{
    enum sim_way way = script_of(node)->way;

    return way == SIM_WAYS ? (enum sim_way)sim_any(node, SIM_WAYS) : way;
}

static bool nothing_yet(enum duct_err err)
{
    return err == DUCT_EAGAIN || err == DUCT_ETIMEOUT || err == DUCT_ECANCELED;
}

static int64_t any_patience(struct sim_node *node)
{
    static const int64_t some[] = {0, DUCT_MILLISECOND, 100 * DUCT_MILLISECOND, 5 * DUCT_SECOND};

    return some[sim_any(node, sizeof(some) / sizeof(some[0]))];
}

static void note(struct sim_node *node, const char *what, struct duct_pipe *pipe,
                 struct sim_saga *saga, enum duct_err err)
{
    di_sim_note(node->world->sim, what, saga->out.accepted, err);
    sim_saga_look(node, pipe, saga, script_of(node)->downtime);
}

static enum duct_err say(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga)
{
    const struct sim_script *script = script_of(node);
    uint32_t size = script->fixed ? script->size : (uint32_t)sim_any(node, script->size + 1);
    int64_t timeout_ns = any_patience(node), begun;

    /* Some hold a loan while its session ends. */
    saga->out.dally_ns = sim_any(node, 8) == 0 ? (int64_t)sim_any(node, 500) * DUCT_MILLISECOND : 0;
    begun = di_sim_now(node->world->sim) + saga->out.dally_ns;
    enum duct_err err = sim_flow_say(node, pipe, &saga->out, way_of(node), size, timeout_ns);
    note(node, "dialer said", pipe, saga, err);
    sim_within(node, begun, timeout_ns, "a send");
    /* What the buffer will never hold waits for a session. */
    bool too_big = script->downtime > 0 && script->downtime < script->size + KEPT_COST;
    return err == DUCT_ETOOBIG && too_big ? DUCT_EAGAIN : err;
}

static enum duct_err hear(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                          int64_t timeout_ns)
{
    int64_t begun = di_sim_now(node->world->sim);
    enum duct_err err = sim_saga_hear(node, pipe, saga, way_of(node), timeout_ns);

    note(node, "dialer heard", pipe, saga, err);
    sim_within(node, begun, timeout_ns, "a receive");
    return err;
}

/* What the pipe has now. */
static enum duct_err hear_some(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga)
{
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK)
        err = hear(node, pipe, saga, 0);
    return nothing_yet(err) ? DUCT_OK : err;
}

/* All that the script wants said, with what is said back. */
static enum duct_err talk(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga)
{
    const struct sim_script *script = script_of(node);
    const struct sim_comeback *world = node->user;
    enum duct_err err = DUCT_OK;

    for (unsigned i = 0; i < TRIES && err == DUCT_OK; i++) {
        bool enough = saga->out.accepted >= script->messages;
        bool all_said = enough && (world->calm || saga->out.accepted >= MOST * script->messages);
        if (all_said && world->calm)
            break;
        if (sim_any(node, 4) == 0)
            sim_pass(node, (int64_t)sim_any(node, 100) * DUCT_MILLISECOND);
        err = all_said ? DUCT_OK : say(node, pipe, saga);
        if (err == DUCT_OK)
            err = duct_flush(pipe);
        bool waits = all_said || script->talking == SIM_CALLS || nothing_yet(err);
        if (err == DUCT_OK || nothing_yet(err))
            err = hear(node, pipe, saga, waits ? 300 * DUCT_MILLISECOND : 0);
        if (nothing_yet(err))
            err = DUCT_OK;
    }
    return err;
}

/* Until the other side has all; what it said meanwhile may stand before its word that it has. */
static bool drain(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga)
{
    enum duct_err err = DUCT_ETIMEOUT;

    for (unsigned i = 0; i < TRIES && nothing_yet(err); i++) {
        int64_t begun = di_sim_now(node->world->sim);
        err = duct_pipe_drain(pipe, 100 * DUCT_MILLISECOND);
        note(node, "dialer drained", pipe, saga, err);
        sim_within(node, begun, 100 * DUCT_MILLISECOND, "draining");
        if (nothing_yet(err)) {
            enum duct_err heard = hear_some(node, pipe, saga);
            err = heard == DUCT_OK ? err : heard;
        }
    }
    return err == DUCT_OK;
}

static void finish(struct sim_node *self, struct duct_pipe *pipe, struct sim_saga *saga,
                   enum duct_err err)
{
    const struct sim_comeback *world = self->user;
    const struct sim_script *script = world->play.script;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    bool drained = err == DUCT_OK && drain(self, pipe, saga);

    if (duct_pipe_info(pipe, &info) == DUCT_OK && info.end != DUCT_OK) {
        while (err == DUCT_OK)
            err = hear(self, pipe, saga, 0);
        (void)!duct_pipe_info(pipe, &info);
    }
    sim_saga_settle(self, pipe, saga, drained);
    SIM_CHECK(self, script->end_must == 0 || (script->end_must & SIM_MAY(info.end)),
              "the pipe ended with %s", duct_err_text(info.end));
    SIM_CHECK(self, info.end != DUCT_ECORRUPT, "corrupt, between two honest peers");
    /* Where attempts have no end, a pipe goes on until it is closed. */
    if (!world->harm && script->end_must == 0) {
        SIM_CHECK(self, info.end == DUCT_OK, "ended with %s, and was to come back",
                  duct_err_text(info.end));
        SIM_CHECK(self, drained && saga->out.accepted >= script->messages,
                  "did not come back: %u of %u messages sent, %s", saga->out.accepted,
                  script->messages, drained ? "drained" : duct_err_detail());
    }
    duct_pipe_close_with(pipe, 7, "that was all", script->linger_ns);
}

void sim_comeback_dialer(struct sim_node *self)
{
    struct sim_comeback *world = self->user;
    struct duct_pipe *pipe;
    enum duct_err err = sim_dial(self, &pipe, world->play.script->dial);

    SIM_CHECK(self, err == DUCT_OK || world->harm || nothing_yet(err) || err == DUCT_EPEER,
              "dialling gave %s (%s)", duct_err_text(err), duct_err_detail());
    if (err == DUCT_OK) {
        struct sim_saga *saga = sim_saga_begin(self);
        sim_saga_look(self, pipe, saga, world->play.script->downtime);
        err = talk(self, pipe, saga);
        finish(self, pipe, saga, err);
    }
    world->play.dialers_left--;
}

/* ---- Fate ---- */

void sim_comeback_fate(struct sim_node *self)
{
    struct sim_comeback *world = self->user;
    struct di_sim *sim = self->world->sim;

    for (unsigned i = 0; i < world->play.script->outages && world->play.dialers_left > 0; i++) {
        sim_pass(self, (int64_t)sim_any(self, 400) * DUCT_MILLISECOND);
        switch (sim_any(self, 4)) {
        case 0:
            di_sim_strike(sim, DI_SIM_RESET);
            break;
        case 1:
            di_sim_strike(sim, DI_SIM_CUT);
            break;
        case 2:
            world->down_ns = (int64_t)sim_any(self, 3000) * DUCT_MILLISECOND;
            world->down = true;
            break;
        default:
            world->replaced = true;
            break;
        }
        if (world->listener != NULL)
            duct_context_wake(world->listener);
        while ((world->down || world->replaced) && world->listener != NULL)
            sim_pass(self, 10 * DUCT_MILLISECOND);
    }
    world->calm = true;
}
