/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 8 };

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

/* ---- What a message says ---- */

static uint64_t tag_of(const struct sim_flow *flow, uint32_t number)
{
    return (uint64_t)flow->id << 32 | number;
}

static uint64_t word(uint64_t tag, size_t at)
{
    uint64_t x = (tag + at) * 0x9e3779b97f4a7c15u;

    return x ^ (x >> 29);
}

static void fill(void *data, size_t size, uint64_t tag)
{
    unsigned char *bytes = data;

    for (size_t at = 0; at < size; at += 8) {
        uint64_t w = word(tag, at);
        memcpy(bytes + at, &w, size - at < 8 ? size - at : 8);
    }
}

static bool says(const void *data, size_t size, uint64_t tag)
{
    const unsigned char *bytes = data;

    for (size_t at = 0; at < size; at += 8) {
        uint64_t w = word(tag, at);
        if (memcmp(bytes + at, &w, size - at < 8 ? size - at : 8) != 0)
            return false;
    }
    return true;
}

/* ---- Sending ---- */

/* The number and size of the next message, or of the k-th after it. */
static uint64_t draw(struct sim_node *node, struct sim_flow *flow, uint32_t k, uint32_t size)
{
    uint32_t number = flow->accepted + k;

    SIM_CHECK(node, number < SIM_FLOW_MAX, "a flow of too many messages for its books");
    flow->sizes[number % SIM_FLOW_MAX] = size;
    return tag_of(flow, number);
}

static enum duct_err say_loan(struct duct_pipe *pipe, uint32_t size, uint64_t tag, bool more,
                              int64_t timeout_ns)
{
    struct duct_msg msg;
    enum duct_err err = duct_msg_loan(pipe, size, &msg);

    if (err != DUCT_OK)
        return err;
    fill(msg.data, size, tag);
    msg.tag = tag;
    msg.flags = more ? DUCT_MSG_MORE : 0;
    err = duct_send(pipe, &msg, timeout_ns);
    if (err != DUCT_OK)
        (void)!duct_msg_discard(&msg);
    return err;
}

static enum duct_err say_copy(struct duct_pipe *pipe, uint32_t size, uint64_t tag, bool pieces,
                              int64_t timeout_ns)
{
    unsigned char *bytes = malloc(size > 0 ? size : 1);
    enum duct_err err;

    fill(bytes, size, tag);
    if (pieces) {
        const struct iovec parts[3] = {{bytes, size / 3},
                                       {bytes + size / 3, size / 2 - size / 3},
                                       {bytes + size / 2, size - size / 2}};
        err = duct_writev(pipe, parts, 3, tag, timeout_ns);
    } else {
        err = duct_write(pipe, bytes, size, tag, timeout_ns);
    }
    free(bytes);
    return err;
}

static enum duct_err say_batch(struct sim_node *node, struct duct_pipe *pipe, struct sim_flow *flow,
                               uint32_t size, int64_t timeout_ns)
{
    struct duct_view views[BATCH_MAX];
    size_t count = 1 + sim_any(node, BATCH_MAX), done = 0;
    unsigned char *bytes = malloc(count * (size + 1));

    for (uint32_t k = 0; k < count; k++) {
        unsigned char *at = bytes + (size_t)k * size;
        views[k] = (struct duct_view){.data = at, .size = size, .tag = draw(node, flow, k, size)};
        fill(at, size, views[k].tag);
    }
    enum duct_err err = duct_write_batch(pipe, views, count, &done, timeout_ns);
    SIM_CHECK(node, (err == DUCT_OK) == (done > 0), "a batch gave %s with %zu done",
              duct_err_text(err), done);
    flow->accepted += (uint32_t)done;
    free(bytes);
    return err;
}

enum duct_err sim_say(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                      enum sim_way way, uint32_t size, int64_t timeout_ns)
{
    struct sim_flow *flow = &sim_talk_of(node, pipe, side)->flows[side];
    uint64_t tag = draw(node, flow, 0, size);
    enum duct_err err;

    if (way == SIM_WAY_BATCH)
        return say_batch(node, pipe, flow, size, timeout_ns);
    if (way == SIM_WAY_LOAN || way == SIM_WAY_MORE)
        err = say_loan(pipe, size, tag, way == SIM_WAY_MORE, timeout_ns);
    else
        err = say_copy(pipe, size, tag, way == SIM_WAY_PIECES, timeout_ns);
    flow->accepted += err == DUCT_OK;
    return err;
}

/* ---- Receiving ---- */

static void check(struct sim_node *node, struct sim_flow *flow, const void *data, size_t size,
                  uint64_t tag)
{
    uint32_t number = flow->taken++;

    SIM_CHECK(node, tag == tag_of(flow, number), "message %x of flow %x came where %x was due",
              (unsigned)tag, (unsigned)(tag >> 32), number);
    SIM_CHECK(node, size == flow->sizes[number % SIM_FLOW_MAX],
              "message %u came with %zu bytes instead of %u", number, size,
              flow->sizes[number % SIM_FLOW_MAX]);
    SIM_CHECK(node, says(data, size, tag), "message %u came with other bytes", number);
}

static enum duct_err hear_copy(struct sim_node *node, struct duct_pipe *pipe, struct sim_flow *flow,
                               int64_t timeout_ns)
{
    size_t size = 0, capacity = sim_any(node, 2) == 0 ? 100 : 70000;
    unsigned char *bytes = malloc(capacity);
    uint64_t tag = 0;
    enum duct_err err = duct_read(pipe, bytes, capacity, &size, &tag, timeout_ns);

    if (err == DUCT_ETOOBIG) {
        free(bytes);
        bytes = malloc(size);
        err = duct_read(pipe, bytes, size, &size, &tag, timeout_ns);
        SIM_CHECK(node, err == DUCT_OK, "a message that is there cannot be read: %s",
                  duct_err_text(err));
    }
    if (err == DUCT_OK)
        check(node, flow, bytes, size, tag);
    free(bytes);
    return err;
}

static enum duct_err hear_batch(struct sim_node *node, struct duct_pipe *pipe,
                                struct sim_flow *flow, int64_t timeout_ns)
{
    struct duct_msg msgs[BATCH_MAX];
    size_t done = 0;
    enum duct_err err =
        duct_recv_batch(pipe, msgs, 1 + sim_any(node, BATCH_MAX), &done, timeout_ns);

    for (size_t i = 0; i < done; i++) {
        check(node, flow, msgs[i].data, msgs[i].size, msgs[i].tag);
        enum duct_err released = duct_msg_release(&msgs[i]);
        SIM_CHECK(node, released == DUCT_OK, "release: %s", duct_err_text(released));
    }
    return err;
}

enum duct_err sim_hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                       enum sim_way way, int64_t timeout_ns)
{
    struct sim_flow *flow = &sim_talk_of(node, pipe, side)->flows[!side];
    struct duct_msg msg;

    if (way == SIM_WAY_COPY)
        return hear_copy(node, pipe, flow, timeout_ns);
    if (way == SIM_WAY_BATCH)
        return hear_batch(node, pipe, flow, timeout_ns);
    enum duct_err err = duct_recv(pipe, &msg, timeout_ns);
    if (err != DUCT_OK)
        return err;
    check(node, flow, msg.data, msg.size, msg.tag);
    enum duct_err released = duct_msg_release(&msg);
    SIM_CHECK(node, released == DUCT_OK, "release: %s", duct_err_text(released));
    return DUCT_OK;
}

/* ---- The end ---- */

void sim_part(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side, uint32_t code,
              const char *text, int64_t linger_ns)
{
    struct sim_talk *talk = sim_talk_of(node, pipe, side);
    struct sim_farewell *own = &talk->sides[side];

    own->closed = true;
    own->quiet = talk->flows[side].taken == talk->flows[side].accepted;
    own->lingered = linger_ns >= 10 * DUCT_SECOND;
    own->code = code;
    snprintf(own->text, sizeof(own->text), "%s", text);
    duct_pipe_close_with(pipe, code, text, linger_ns);
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
    SIM_CHECK(&who, own->end != DUCT_ETIMEOUT && own->end != DUCT_EAGAIN,
              "ended with %s, which says to try again", duct_err_text(own->end));
    SIM_CHECK(&who, own->end != DUCT_ECORRUPT, "corrupt, between two honest peers");
    if (own->end == DUCT_ECLOSED) {
        /* Who runs short of something itself closes what is left in order. */
        bool short_of =
            other->end == DUCT_ELIMIT || other->end == DUCT_ENOMEMORY || other->end == DUCT_EOS;
        SIM_CHECK(&who, other->closed || short_of, "was told of a close that was none");
        SIM_CHECK(&who, own->code == other->code && strcmp(own->text, other->text) == 0,
                  "was told %u \"%s\" instead of %u \"%s\"", own->code, own->text, other->code,
                  other->text);
        SIM_CHECK(&who, in->taken == in->accepted, "closed in order, with %u of %u messages",
                  in->taken, in->accepted);
    } else if (!harm) {
        SIM_CHECK(&who,
                  own->end == DUCT_EPEER && other->closed &&
                      (world->cramped || (!other->quiet && !other->lingered)),
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
