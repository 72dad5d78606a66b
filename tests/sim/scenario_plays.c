/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <sys/socket.h>

#include "lib/core/context.h"
#include "tests/sim/scenarios.h"

/* Scenarios with programs of their own. */

static const struct sim_script two_minutes = {.talking = SIM_BOTH, .messages = 1};

/* ---- Nobody listens ---- */

static void dial_nobody(struct sim_node *self)
{
    struct duct_pipe *pipe;
    int64_t begun = di_sim_now(self->world->sim);
    enum duct_err err = sim_dial(self, &pipe, "?timeout=1s");

    SIM_CHECK(self, err == DUCT_ENOTFOUND, "dialling nobody gave %s", duct_err_text(err));
    sim_within(self, begun, 0, "a dial to nobody");
    begun = di_sim_now(self->world->sim);
    err = sim_dial(self, &pipe, "?timeout=1s&wait_listener=1");
    SIM_CHECK(self, err == DUCT_ETIMEOUT, "waiting for nobody gave %s", duct_err_text(err));
    sim_within(self, begun, DUCT_SECOND, "a dial that waits for nobody");
}

void sim_play_nobody(struct sim_world *world, const struct sim_scenario *self)
{
    static struct sim_case play = {.script = &two_minutes};

    (void)self;
    sim_world_add(world, "dialer", dial_nobody, &play);
    sim_world_run(world);
}

/* ---- Both full: either side sends and does not read; the time given ends both waits, and then all is read ---- */

enum { FULL = 40 };

static void fill_and_read(struct sim_node *self, struct duct_pipe *pipe, enum sim_side side)
{
    const struct sim_talk *talk = sim_talk_of(self, pipe, side);
    enum duct_err err = DUCT_OK;
    int64_t begun = 0;

    while (err == DUCT_OK && talk->flows[side].accepted < FULL) {
        begun = di_sim_now(self->world->sim);
        err = sim_say(self, pipe, side, SIM_WAY_COPY, 30000, DUCT_SECOND);
        sim_within(self, begun, DUCT_SECOND, "a send to one who does not read");
    }
    SIM_CHECK(self, err == DUCT_ETIMEOUT, "a send to one who does not read gave %s",
              duct_err_text(err));
    /* Whoever is later with its last send than the other with its first receive still finds no room for a while. */
    while (err == DUCT_OK || err == DUCT_ETIMEOUT) {
        err = sim_hear(self, pipe, side, SIM_WAY_LOAN, 5 * DUCT_SECOND);
        if (err == DUCT_ETIMEOUT && side == SIM_DIALER)
            break;
    }
    if (side == SIM_DIALER) {
        SIM_CHECK(self, talk->flows[!side].taken == talk->flows[!side].accepted, "not all came");
        sim_part(self, pipe, side, 0, "", 30 * DUCT_SECOND);
    } else {
        sim_mourn(self, pipe, side);
    }
}

static void full_dialer(struct sim_node *self)
{
    struct duct_pipe *pipe;
    enum duct_err err = sim_dial(self, &pipe, NULL);

    SIM_CHECK(self, err == DUCT_OK, "dial: %s", duct_err_detail());
    if (err == DUCT_OK)
        fill_and_read(self, pipe, SIM_DIALER);
}

static bool accept_one(struct sim_node *self, struct duct_listener **listener,
                       struct duct_pipe **pipe)
{
    enum duct_err err = sim_listen(self, listener, NULL);

    if (err == DUCT_OK)
        err = duct_accept(*listener, pipe, 10 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_OK, "accept: %s", duct_err_detail());
    return err == DUCT_OK;
}

static void full_listener(struct sim_node *self)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    if (accept_one(self, &listener, &pipe))
        fill_and_read(self, pipe, SIM_LISTENER);
    duct_listener_close(listener);
}

static void play_two(struct sim_world *world, sim_program *dialer, sim_program *listener)
{
    static struct sim_case play = {.script = &two_minutes};

    sim_talks_reset();
    sim_world_add(world, "listener", listener, &play);
    sim_world_add(world, "dialer", dialer, &play);
    sim_world_run(world);
    sim_talks_check(world, false);
}

void sim_play_both_full(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, full_dialer, full_listener);
}

/* ---- Split: a half with its own context and program, while the other one works ---- */

enum { HALVES = 50 };

static struct {
    struct duct_pipe *sender; /* for who helps */
    struct duct_context *context;
    bool ended;
} halves;

static void helper(struct sim_node *self)
{
    halves.context = self->context;
    while (halves.sender == NULL && !halves.ended)
        sim_pass(self, DUCT_MILLISECOND);
    for (unsigned i = 0; i < HALVES && halves.sender != NULL; i++) {
        enum duct_err err =
            sim_say(self, halves.sender, SIM_DIALER, SIM_WAY_COPY, 2000, 10 * DUCT_SECOND);
        SIM_CHECK(self, err == DUCT_OK, "the sending half: %s", duct_err_text(err));
    }
    /* A half that does not call is told of the end by an event. */
    while (halves.sender != NULL) {
        struct duct_event event;
        size_t count;
        enum duct_err err = duct_context_wait(self->context, &event, 1, &count, 60 * DUCT_SECOND);
        SIM_CHECK(self, err == DUCT_OK, "nobody tells the sending half: %s", duct_err_text(err));
        if (err != DUCT_OK || event.type == DUCT_EVENT_CLOSED)
            break;
    }
    if (halves.sender != NULL)
        sim_mourn(self, halves.sender, SIM_DIALER);
}

static void split_dialer(struct sim_node *self)
{
    struct duct_pipe *pipe, *receiver = NULL;
    enum duct_err err = sim_dial(self, &pipe, NULL);

    while (halves.context == NULL)
        sim_pass(self, DUCT_MILLISECOND);
    if (err == DUCT_OK)
        err = duct_pipe_split(pipe, halves.context, self->context, &halves.sender, &receiver);
    SIM_CHECK(self, err == DUCT_OK, "split: %s", duct_err_detail());
    while (err == DUCT_OK)
        err = sim_hear(self, receiver, SIM_DIALER, SIM_WAY_LOAN, 30 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_ECLOSED, "the receiving half: %s", duct_err_text(err));
    if (receiver != NULL)
        sim_mourn(self, receiver, SIM_DIALER);
    halves.ended = true;
}

static void split_listener(struct sim_node *self)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    enum duct_err err = DUCT_OK;

    if (accept_one(self, &listener, &pipe)) {
        const struct sim_talk *talk = sim_talk_of(self, pipe, SIM_LISTENER);
        while (err == DUCT_OK && talk->flows[SIM_DIALER].taken < HALVES) {
            err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_COPY, 10 * DUCT_SECOND);
            if (err == DUCT_OK)
                err = sim_say(self, pipe, SIM_LISTENER, SIM_WAY_LOAN, 700, 10 * DUCT_SECOND);
        }
        SIM_CHECK(self, err == DUCT_OK, "the other side: %s", duct_err_text(err));
        sim_part(self, pipe, SIM_LISTENER, 3, "enough", 30 * DUCT_SECOND);
    }
    duct_listener_close(listener);
}

void sim_play_split(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    memset(&halves, 0, sizeof(halves));
    sim_world_add(world, "helper", helper, NULL);
    play_two(world, split_dialer, split_listener);
}

/* ---- A pipe that moves between contexts while messages are on their way ---- */

static void move_dialer(struct sim_node *self)
{
    struct duct_context *other = NULL;
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct di_io *io = NULL;
    struct duct_pipe *pipe;
    enum duct_err err = sim_dial(self, &pipe, NULL);

    if (err == DUCT_OK && (err = di_sim_loop(self->world->sim, &io)) == DUCT_OK)
        err = di_context_open_over(&other, io, &options);
    SIM_CHECK(self, err == DUCT_OK, "a second context: %s", duct_err_detail());
    if (err != DUCT_OK)
        return;
    for (unsigned i = 0; i < HALVES && err == DUCT_OK; i++) {
        err = sim_say(self, pipe, SIM_DIALER, SIM_WAY_MORE, 300, 10 * DUCT_SECOND);
        if (err == DUCT_OK)
            err = duct_pipe_move(pipe, i % 2 == 0 ? other : self->context);
        if (err == DUCT_OK)
            err = sim_hear(self, pipe, SIM_DIALER, SIM_WAY_COPY, 10 * DUCT_SECOND);
    }
    SIM_CHECK(self, err == DUCT_OK, "a pipe that moves: %s", duct_err_text(err));
    sim_part(self, pipe, SIM_DIALER, 0, "", 0);
    duct_context_close(other);
}

static void echo_listener(struct sim_node *self)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    enum duct_err err = DUCT_OK;

    if (accept_one(self, &listener, &pipe)) {
        while (err == DUCT_OK) {
            err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_LOAN, 60 * DUCT_SECOND);
            if (err == DUCT_OK)
                err = sim_say(self, pipe, SIM_LISTENER, SIM_WAY_COPY, 400, 60 * DUCT_SECOND);
        }
        sim_mourn(self, pipe, SIM_LISTENER);
    }
    duct_listener_close(listener);
}

void sim_play_move(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, move_dialer, echo_listener);
}

/* ---- Peers that are none ---- */

static void nothing(struct di_io_op *op, int result)
{
    (void)op;
    (void)result;
}

/* A socket connected to the listener; -1 if that did not come about. */
static int raw(struct sim_node *self)
{
    struct sockaddr_storage address;
    struct di_io *io = self->context->io;
    socklen_t size = di_sim_address(&address, "here");
    struct di_io_op op = {.done = nothing,
                          .kind = DI_IO_CONNECT,
                          .fd = di_io_open_socket(io, AF_UNIX),
                          .address = (const struct sockaddr *)&address,
                          .address_size = size};

    if (op.fd < 0)
        return -1;
    di_io_submit(io, &op);
    while (op.in_flight && di_io_wait(io, INT64_MAX) != DUCT_EOS)
        continue;
    di_io_forget(io, &op);
    if (op.result == 0)
        return op.fd;
    di_io_close_socket(io, op.fd);
    return -1;
}

enum { FLOOD = 1100 };

static void flooder(struct sim_node *self)
{
    static int fds[FLOOD];
    struct duct_pipe *pipe;

    sim_pass(self, 10 * DUCT_MILLISECOND);
    for (unsigned i = 0; i < FLOOD; i++)
        fds[i] = raw(self);
    enum duct_err err = sim_dial(self, &pipe, NULL);
    SIM_CHECK(self, err == DUCT_OK, "an honest dial in a flood: %s", duct_err_detail());
    if (err == DUCT_OK)
        sim_part(self, pipe, SIM_DIALER, 0, "", 0);
    for (unsigned i = 0; i < FLOOD; i++)
        di_io_close_socket(self->context->io, fds[i]);
}

/* Accepts the one that is a peer, and has turned away all others when their time is over. */
static void turn_away(struct sim_node *self, uint64_t strangers)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    if (accept_one(self, &listener, &pipe)) {
        enum duct_err err = sim_hear(self, pipe, SIM_LISTENER, SIM_WAY_LOAN, 60 * DUCT_SECOND);
        SIM_CHECK(self, err == DUCT_ECLOSED, "the honest one: %s", duct_err_text(err));
        sim_mourn(self, pipe, SIM_LISTENER);
    }
    enum duct_err err = duct_accept(listener, &pipe, 5 * DUCT_SECOND);
    SIM_CHECK(self, err == DUCT_ETIMEOUT, "one more came: %s", duct_err_text(err));
    SIM_CHECK(self, duct_listener_refused(listener) == strangers, "%llu were turned away",
              (unsigned long long)duct_listener_refused(listener));
    duct_listener_close(listener);
}

static void flooded(struct sim_node *self)
{
    turn_away(self, FLOOD);
}

void sim_play_flood(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, flooder, flooded);
}

static void stranger(struct sim_node *self)
{
    static const struct {
        const char *bytes;
        size_t size;
    } words[] = {{"GET / HTTP/1.1\r\n\r\n", 18},
                 {"", 0},
                 {"duct", 4},
                 {"\x16\x03\x01\x02", 4},
                 {"duct\0\1\0\x28", 8},
                 {"duct\0\1\xff\xff", 8}};
    struct duct_pipe *pipe;

    sim_pass(self, 10 * DUCT_MILLISECOND);
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        const struct iovec piece = {(void *)(uintptr_t)words[i].bytes, words[i].size};
        int fd = raw(self);
        if (fd >= 0 && words[i].size > 0)
            (void)di_io_try_send(self->context->io, fd, &piece, 1);
        sim_pass(self, (int64_t)sim_any(self, 10 * DUCT_MILLISECOND));
        di_io_close_socket(self->context->io, fd);
    }
    enum duct_err err = sim_dial(self, &pipe, NULL);
    SIM_CHECK(self, err == DUCT_OK, "an honest dial: %s", duct_err_detail());
    if (err == DUCT_OK)
        sim_part(self, pipe, SIM_DIALER, 0, "", 0);
}

static void visited(struct sim_node *self)
{
    turn_away(self, 6);
}

void sim_play_strangers(struct sim_world *world, const struct sim_scenario *self)
{
    (void)self;
    play_two(world, stranger, visited);
}
