/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/scenarios.h"
#include "tests/sim/scheme.h"

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

/* ---- Who closes is heard by one who is sending at that moment, though a reset would take the word with it ---- */

static void say_and_part(struct sim_node *self, struct duct_pipe *pipe)
{
    say_some(self, pipe, SIM_DIALER, 3, 300);
    int64_t begun = di_sim_now(self->world->sim);
    sim_part(self, pipe, SIM_DIALER, 7, "that was all", 20 * DUCT_SECOND);
    sim_within(self, begun, DUCT_SECOND, "parting from one who hears it");
}

static void chatter(struct sim_node *self, struct duct_pipe *pipe)
{
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK || err == DUCT_EAGAIN) {
        enum duct_err said = sim_say(self, pipe, SIM_LISTENER, SIM_WAY_COPY, 300, 0);
        SIM_CHECK(self, said == DUCT_OK || said == DUCT_EAGAIN || said == DUCT_ECLOSED,
                  "a send: %s", duct_err_text(said));
        sim_pass(self, (int64_t)sim_any(self, 5) * DUCT_MILLISECOND);
        err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_LOAN, 0);
    }
    sim_mourn(self, pipe, SIM_LISTENER);
}

void sim_play_last_word(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, &(struct two){.dialer = say_and_part, .listener = chatter});
    sim_talks_check(world, false);
}

/* ---- Heartbeats: a line that is cut is found in time; a machine that slept is no dead one ---- */

enum { MISSED = 3, BEAT_MS = 500 };
#define BEATS "heartbeat=500ms&heartbeat_missed=3"

static int64_t cut_at;

/* By a call that waits for a message, or by one that waits for events. */
static enum duct_err wait_for_end(struct sim_node *self, struct duct_pipe *pipe, enum sim_side side)
{
    struct duct_event event = {0};
    size_t count = 0;

    if (side == SIM_LISTENER)
        return sim_hear(self, pipe, side, SIM_WAY_LOAN, 120 * DUCT_SECOND);
    enum duct_err err = duct_context_wait(self->context, &event, 1, &count, 120 * DUCT_SECOND);
    while (err == DUCT_OK && event.type != DUCT_EVENT_ERROR && event.type != DUCT_EVENT_CLOSED)
        err = duct_context_wait(self->context, &event, 1, &count, 120 * DUCT_SECOND);
    return err == DUCT_OK ? event.err : err;
}

static void find_cut(struct sim_node *self, struct duct_pipe *pipe)
{
    enum sim_side side = self->program == dials ? SIM_DIALER : SIM_LISTENER;

    say_some(self, pipe, side, 1, 100);
    enum duct_err err = sim_hear(self, pipe, side, SIM_WAY_COPY, DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_OK, "a receive: %s", duct_err_text(err));
    sim_pass(self, (int64_t)sim_any(self, 3000) * DUCT_MILLISECOND);
    if (cut_at == 0) {
        cut_at = di_sim_now(self->world->sim);
        di_sim_strike(self->world->sim, DI_SIM_CUT);
    }
    err = wait_for_end(self, pipe, side);
    SIM_CHECK(self, err == DUCT_EPEER, "a line that was cut: %s", duct_err_text(err));
    /* While nobody called, nobody judged: from then on it may take as long. */
    sim_within(self, cut_at, (MISSED + 2 + 6) * BEAT_MS * DUCT_MILLISECOND, "to find a cut line");
    duct_pipe_close(pipe);
}

void sim_play_cut_found(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    cut_at = 0;
    play_two(world, &(struct two){.dial = "?wait_listener=1&" BEATS,
                                  .listen = "?" BEATS,
                                  .dialer = find_cut,
                                  .listener = find_cut});
}

enum { NAPS = 6 };

static void nap(struct sim_node *self, struct duct_pipe *pipe)
{
    for (unsigned i = 0; i < NAPS; i++) {
        say_some(self, pipe, SIM_DIALER, 1, 100);
        enum duct_err err = sim_hear(self, pipe, SIM_DIALER, SIM_WAY_COPY, DUCT_SECOND);
        SIM_CHECK(self, err == DUCT_OK, "after nap %u: %s", i, duct_err_text(err));
        /* As a virtual machine that is stopped: for the whole world no time passes, but the clock shows it. */
        di_sim_move(self->world->sim, di_sim_now(self->world->sim) + 600 * DUCT_SECOND);
    }
    duct_pipe_close(pipe);
}

static void answer_all(struct sim_node *self, struct duct_pipe *pipe)
{
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK) {
        err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_COPY, 24 * 3600 * DUCT_SECOND);
        if (err == DUCT_OK)
            say_some(self, pipe, SIM_LISTENER, 1, 100);
    }
    SIM_CHECK(self, err == DUCT_ECLOSED, "the end: %s", duct_err_text(err));
    duct_pipe_close(pipe);
}

void sim_play_naps(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, &(struct two){.dial = "?wait_listener=1&" BEATS,
                                  .listen = "?" BEATS,
                                  .dialer = nap,
                                  .listener = answer_all});
}

/* ---- Coming back: the pauses, the attempts, the buffer ---- */

enum { PAUSE_MS = 100, PAUSE_MAX_MS = 1000, ATTEMPTS = 6 };

static struct duct_event next_state(struct sim_node *self)
{
    struct duct_event event = {0};
    size_t count = 0;
    enum duct_err err = duct_context_wait(self->context, &event, 1, &count, 60 * DUCT_SECOND);

    SIM_CHECK(self, err == DUCT_OK && event.type == DUCT_EVENT_STATE, "no state, but %s, event %u",
              duct_err_text(err), event.type);
    return event;
}

static void count_pauses(struct sim_node *self, struct duct_pipe *pipe)
{
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;
    int64_t longest = PAUSE_MS;
    enum duct_err err = duct_pipe_watch(pipe, DUCT_WATCH_STATE);

    for (unsigned i = 0; i < 2 && err == DUCT_OK; i++)
        (void)next_state(self); /* CONNECTING, CONNECTED */
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        struct duct_event event = next_state(self);
        int64_t begun = di_sim_now(self->world->sim);
        SIM_CHECK(self, event.state == DUCT_STATE_DISCONNECTED, "attempt %u: %s", i,
                  duct_state_name(event.state));
        SIM_CHECK(self, event.err == (i == 0 ? DUCT_EPEER : DUCT_ENOTFOUND), "attempt %u: %s", i,
                  duct_err_text(event.err));
        event = next_state(self);
        int64_t pause_ms = (di_sim_now(self->world->sim) - begun) / DUCT_MILLISECOND;
        SIM_CHECK(self, event.state == DUCT_STATE_RECONNECTING, "attempt %u: %s", i,
                  duct_state_name(event.state));
        SIM_CHECK(self, pause_ms >= longest / 2 - 1 && pause_ms <= longest,
                  "pause %u lasted %lld ms and not half to all of %lld", i, (long long)pause_ms,
                  (long long)longest);
        longest = 2 * longest < PAUSE_MAX_MS ? 2 * longest : PAUSE_MAX_MS;
    }
    struct duct_event event = next_state(self);
    SIM_CHECK(self, event.state == DUCT_STATE_CLOSED && event.err == DUCT_ENOTFOUND,
              "after the last attempt: %s, %s", duct_state_name(event.state),
              duct_err_text(event.err));
    err = duct_pipe_stats(pipe, &stats);
    SIM_CHECK(self, err == DUCT_OK && stats.redials == ATTEMPTS && stats.sessions == 1,
              "dialled again %llu times", (unsigned long long)stats.redials);
    err = duct_write(pipe, "", 0, 0, DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_ENOTFOUND, "sending when all is over: %s", duct_err_text(err));
    duct_pipe_close(pipe);
}

static void vanish(struct sim_node *self, struct duct_pipe *pipe)
{
    sim_pass(self, 50 * DUCT_MILLISECOND);
    di_sim_strike(self->world->sim, DI_SIM_RESET);
    duct_pipe_close(pipe);
}

void sim_play_pauses(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, &(struct two){.dial = "?wait_listener=1&reconnect=1&pause=100ms&pause_max=1s"
                                          "&attempts=6",
                                  .dialer = count_pauses,
                                  .listener = vanish});
}

/* ---- Closed in the midst of a message: what is left of its time is nobody's any more ---- */

static void say_large(struct sim_node *self, struct duct_pipe *pipe)
{
    enum duct_err err = DUCT_OK;

    for (unsigned i = 0; i < 50 && (err == DUCT_OK || err == DUCT_ETIMEOUT); i++)
        err = sim_say(self, pipe, SIM_DIALER, SIM_WAY_COPY, 20000, DUCT_MILLISECOND);
    if (err == DUCT_OK || err == DUCT_ETIMEOUT)
        err = sim_hear(self, pipe, SIM_DIALER, SIM_WAY_COPY, 10 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_ECLOSED || err == DUCT_EPEER, "the end: %s", duct_err_text(err));
    duct_pipe_close(pipe);
}

static void close_within(struct sim_node *self, struct duct_pipe *pipe)
{
    enum duct_err err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_COPY, DUCT_SECOND);

    SIM_CHECK(self, err == DUCT_OK, "a receive: %s", duct_err_text(err));
    sim_pass(self, (int64_t)sim_any(self, 50) * DUCT_MILLISECOND);
    duct_pipe_close(pipe);
    sim_pass(self, DUCT_SECOND);
}

void sim_play_closed_within(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    sim_scheme_frames(1024);
    play_two(world, &(struct two){.listen = "?reassembly=100ms",
                                  .dialer = say_large,
                                  .listener = close_within});
}

/* ---- The wait for room, and then for the kernel: within one time ---- */

static void say_slowly(struct sim_node *self, struct duct_pipe *pipe)
{
    for (unsigned i = 0; i < 8; i++) {
        int64_t begun = di_sim_now(self->world->sim), most = DUCT_SECOND / 2;
        enum duct_err err = sim_say(self, pipe, SIM_DIALER, SIM_WAY_COPY, 30000, most);
        SIM_CHECK(self, err == DUCT_OK || err == DUCT_ETIMEOUT, "a send: %s", duct_err_text(err));
        sim_within(self, begun, most, "a send on a slow line");
    }
    duct_pipe_close_with(pipe, 0, NULL, 60 * DUCT_SECOND);
}

static void hear_slowly(struct sim_node *self, struct duct_pipe *pipe)
{
    enum duct_err err = DUCT_OK;

    while (err == DUCT_OK)
        err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_LOAN, 60 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_ECLOSED, "the end: %s", duct_err_text(err));
    duct_pipe_close(pipe);
}

void sim_play_one_time(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, &(struct two){.dial = "?wait_listener=1&pool=32k&max_msg=30k",
                                  .dialer = say_slowly,
                                  .listener = hear_slowly});
}
