/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/talk.h"

#include <stdio.h>
#include <string.h>

static struct sim_talk talks[SIM_TALKS];
static unsigned talk_count;

void sim_talks_reset(void)
{
    talk_count = 0;
}

struct sim_talk *sim_talk_of(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    enum duct_err err = duct_pipe_info(pipe, &info);

    SIM_CHECK(node, err == DUCT_OK, "duct_pipe_info: %s", duct_err_text(err));
    for (unsigned i = 0; i < talk_count; i++) {
        if (talks[i].session == info.session_id) {
            talks[i].sides[side].opened = true;
            return &talks[i];
        }
    }
    struct sim_talk *talk = &talks[talk_count < SIM_TALKS - 1 ? talk_count++ : SIM_TALKS - 1];
    talk->session = info.session_id;
    memset(talk->sides, 0, sizeof(talk->sides));
    for (unsigned i = 0; i < 2; i++) {
        talk->flows[i].id = (uint32_t)info.session_id * 2 + i;
        talk->flows[i].accepted = talk->flows[i].taken = 0;
    }
    talk->sides[side].opened = true;
    return talk;
}

/* ---- What is said and heard ---- */

enum duct_err sim_say(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                      enum sim_way way, uint32_t size, int64_t timeout_ns)
{
    return sim_flow_say(node, pipe, &sim_talk_of(node, pipe, side)->flows[side], way, size,
                        timeout_ns);
}

static void check(struct sim_node *node, void *books, const void *data, size_t size, uint64_t tag)
{
    struct sim_flow *flow = books;
    uint32_t number = flow->taken++;

    SIM_CHECK(node, tag == sim_flow_tag(flow, number),
              "message %x of flow %x came where %x was due", (unsigned)tag, (unsigned)(tag >> 32),
              number);
    sim_flow_check(node, flow, number, data, size);
}

enum duct_err sim_hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                       enum sim_way way, int64_t timeout_ns)
{
    return sim_flow_hear(node, pipe, way, timeout_ns, check,
                         &sim_talk_of(node, pipe, side)->flows[!side]);
}

/* ---- The end ---- */

void sim_part(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side, uint32_t code,
              const char *text, int64_t linger_ns)
{
    struct sim_talk *talk = sim_talk_of(node, pipe, side);
    struct sim_farewell *own = &talk->sides[side];

    own->closed = true;
    own->quiet = talk->flows[side].taken == talk->flows[side].accepted;
    own->code = code;
    snprintf(own->text, sizeof(own->text), "%s", text);
    int64_t begun = di_sim_now(node->world->sim);
    duct_pipe_close_with(pipe, code, text, linger_ns);
    own->lingered =
        linger_ns >= 10 * DUCT_SECOND && di_sim_now(node->world->sim) - begun < linger_ns;
}

void sim_mourn(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side)
{
    struct sim_farewell *own = &sim_talk_of(node, pipe, side)->sides[side];
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    enum duct_err err = duct_pipe_info(pipe, &info);

    SIM_CHECK(node, err == DUCT_OK, "duct_pipe_info: %s", duct_err_text(err));
    SIM_CHECK(node, info.end != DUCT_OK, "a pipe that has ended says that it is open");
    own->end = info.end;
    own->code = info.close_code;
    memcpy(own->text, info.close_text, sizeof(own->text));
    duct_pipe_close(pipe);
}

static void check_end(struct sim_world *world, const struct sim_talk *talk, enum sim_side side,
                      bool harm)
{
    const struct sim_farewell *own = &talk->sides[side], *other = &talk->sides[!side];
    const struct sim_flow *in = &talk->flows[!side];
    struct sim_node who = {.world = world, .name = side == SIM_DIALER ? "dialer" : "listener"};

    SIM_CHECK(&who, in->taken <= in->accepted, "%u messages came of %u that were sent", in->taken,
              in->accepted);
    if (!own->opened || own->closed)
        return;
    SIM_CHECK(&who, own->end != DUCT_OK, "its pipe has not ended, and nobody closed it");
    SIM_CHECK(&who, (own->end != DUCT_ETIMEOUT || world->impatient) && own->end != DUCT_EAGAIN,
              "ended with %s, which says to try again", duct_err_text(own->end));
    SIM_CHECK(&who, own->end != DUCT_ECORRUPT, "corrupt, between two honest peers");
    if (own->end == DUCT_ECLOSED) {
        SIM_CHECK(&who, other->closed, "was told of a close that was none");
        SIM_CHECK(&who, own->code == other->code && strcmp(own->text, other->text) == 0,
                  "was told %u \"%s\" instead of %u \"%s\"", own->code, own->text, other->code,
                  other->text);
        SIM_CHECK(&who, in->taken == in->accepted, "closed in order, with %u of %u messages",
                  in->taken, in->accepted);
    } else if (!harm) {
        SIM_CHECK(&who,
                  own->end == DUCT_EPEER && other->closed && !other->lingered &&
                      (world->cramped || !other->quiet),
                  "ended with %s, and no harm was done", duct_err_text(own->end));
    }
}

void sim_talks_check(struct sim_world *world, bool harm)
{
    for (unsigned i = 0; i < talk_count; i++) {
        check_end(world, &talks[i], SIM_DIALER, harm);
        check_end(world, &talks[i], SIM_LISTENER, harm);
    }
}
