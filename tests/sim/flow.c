/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/flow.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH_MAX = 8 };

/* ---- What a message says ---- */

uint64_t sim_flow_tag(const struct sim_flow *flow, uint32_t number)
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
    return sim_flow_tag(flow, number);
}

static enum duct_err say_loan(struct sim_node *node, struct duct_pipe *pipe, int64_t dally_ns,
                              uint32_t size, uint64_t tag, bool more, int64_t timeout_ns)
{
    struct duct_msg msg;
    enum duct_err err = duct_msg_loan(pipe, size, &msg);

    if (err != DUCT_OK)
        return err;
    fill(msg.data, size, tag);
    msg.tag = tag;
    msg.flags = more ? DUCT_MSG_MORE : 0;
    if (dally_ns > 0)
        sim_pass(node, dally_ns);
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

enum duct_err sim_flow_say(struct sim_node *node, struct duct_pipe *pipe, struct sim_flow *flow,
                           enum sim_way way, uint32_t size, int64_t timeout_ns)
{
    uint64_t tag = draw(node, flow, 0, size);
    enum duct_err err;

    if (way == SIM_WAY_BATCH)
        return say_batch(node, pipe, flow, size, timeout_ns);
    if (way == SIM_WAY_LOAN || way == SIM_WAY_MORE)
        err = say_loan(node, pipe, flow->dally_ns, size, tag, way == SIM_WAY_MORE, timeout_ns);
    else
        err = say_copy(pipe, size, tag, way == SIM_WAY_PIECES, timeout_ns);
    flow->accepted += err == DUCT_OK;
    return err;
}

/* ---- Receiving ---- */

void sim_flow_check(struct sim_node *node, const struct sim_flow *flow, uint32_t number,
                    const void *data, size_t size)
{
    uint32_t said = flow->sizes[number % SIM_FLOW_MAX];

    SIM_CHECK(node, size == said, "message %u came with %zu bytes instead of %u", number, size,
              said);
    SIM_CHECK(node, says(data, size, sim_flow_tag(flow, number)),
              "message %u came with other bytes", number);
}

static enum duct_err hear_copy(struct sim_node *node, struct duct_pipe *pipe, int64_t timeout_ns,
                               sim_heard *heard, void *books)
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
        heard(node, books, bytes, size, tag);
    free(bytes);
    return err;
}

static enum duct_err hear_batch(struct sim_node *node, struct duct_pipe *pipe, int64_t timeout_ns,
                                sim_heard *heard, void *books)
{
    struct duct_msg msgs[BATCH_MAX];
    size_t done = 0;
    enum duct_err err =
        duct_recv_batch(pipe, msgs, 1 + sim_any(node, BATCH_MAX), &done, timeout_ns);

    for (size_t i = 0; i < done; i++) {
        heard(node, books, msgs[i].data, msgs[i].size, msgs[i].tag);
        enum duct_err released = duct_msg_release(&msgs[i]);
        SIM_CHECK(node, released == DUCT_OK, "release: %s", duct_err_text(released));
    }
    return err;
}

enum duct_err sim_flow_hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_way way,
                            int64_t timeout_ns, sim_heard *heard, void *books)
{
    struct duct_msg msg;

    if (way == SIM_WAY_COPY)
        return hear_copy(node, pipe, timeout_ns, heard, books);
    if (way == SIM_WAY_BATCH)
        return hear_batch(node, pipe, timeout_ns, heard, books);
    enum duct_err err = duct_recv(pipe, &msg, timeout_ns);
    if (err != DUCT_OK)
        return err;
    heard(node, books, msg.data, msg.size, msg.tag);
    enum duct_err released = duct_msg_release(&msg);
    SIM_CHECK(node, released == DUCT_OK, "release: %s", duct_err_text(released));
    return DUCT_OK;
}
