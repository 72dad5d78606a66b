/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenarios.h"

/* Scenarios of the life of a connection: judged, ended, and made anew, with programs of their own. */

static const struct sim_script plain = {.talking = SIM_BOTH, .messages = 1};

/* One dials, with that query; one listens, with that, and accepts. */
struct two {
    struct sim_case play; /* first: sim_dial() and sim_listen() look for it */
    const char *dial, *listen;
    void (*dialer)(struct sim_node *self, struct duct_pipe *pipe);
    void (*listener)(struct sim_node *self, struct duct_pipe *pipe);
};

static void dials(struct sim_node *self)
{
    const struct two *two = self->user;
    struct duct_pipe *pipe;
    enum duct_err err = sim_dial(self, &pipe, two->dial);

    SIM_CHECK(self, err == DUCT_OK, "dial: %s", duct_err_detail());
    if (err == DUCT_OK)
        two->dialer(self, pipe);
}

static void listens(struct sim_node *self)
{
    const struct two *two = self->user;
    struct duct_listener *listener;
    struct duct_pipe *pipe = NULL;
    enum duct_err err = sim_listen(self, &listener, two->listen);

    if (err == DUCT_OK)
        err = duct_accept(listener, &pipe, 10 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_OK, "accept: %s", duct_err_detail());
    if (err == DUCT_OK)
        two->listener(self, pipe);
    duct_listener_close(listener);
}

static void play_two(struct sim_world *world, const struct two *given)
{
    static struct two two;

    two = *given;
    two.play = (struct sim_case){.script = &plain, .world = world};
    sim_talks_reset();
    sim_world_add(world, "listener", listens, &two);
    sim_world_add(world, "dialer", dials, &two);
    sim_world_run(world);
}

static void say_some(struct sim_node *self, struct duct_pipe *pipe, enum sim_side side,
                     unsigned count, uint32_t size)
{
    for (unsigned i = 0; i < count; i++) {
        enum duct_err err = sim_say(self, pipe, side, SIM_WAY_COPY, size, DUCT_SECOND);
        SIM_CHECK(self, err == DUCT_OK, "a send: %s", duct_err_text(err));
    }
}

/* ---- Draining: what the other side threw away was not taken ---- */

static void drain_in_vain(struct sim_node *self, struct duct_pipe *pipe)
{
    say_some(self, pipe, SIM_DIALER, 5, 300);
    enum duct_err err = duct_pipe_drain(pipe, 30 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_ECLOSED, "draining to one who took a part and closed gave %s",
              duct_err_text(err));
    duct_pipe_close(pipe);
}

static void take_one_and_close(struct sim_node *self, struct duct_pipe *pipe)
{
    enum duct_err err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_LOAN, 10 * DUCT_SECOND);

    SIM_CHECK(self, err == DUCT_OK, "a receive: %s", duct_err_text(err));
    sim_pass(self, 50 * DUCT_MILLISECOND);
    duct_pipe_close_with(pipe, 1, "enough", 0);
}

void sim_play_drain_in_vain(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, &(struct two){.dialer = drain_in_vain, .listener = take_one_and_close});
}

/* ---- Both linger, and neither takes any more: they do not wait for each other ---- */

static void say_and_linger(struct sim_node *self, struct duct_pipe *pipe)
{
    int64_t begun = di_sim_now(self->world->sim);
    enum sim_side side = self->program == dials ? SIM_DIALER : SIM_LISTENER;

    say_some(self, pipe, side, 3, 300);
    duct_pipe_close_with(pipe, 1, "enough", 20 * DUCT_SECOND);
    sim_within(self, begun, DUCT_SECOND, "lingering for one who takes nothing any more");
}

void sim_play_both_linger(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, &(struct two){.dialer = say_and_linger, .listener = say_and_linger});
}
