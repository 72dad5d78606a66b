/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_FLOW_H
#define TESTS_SIM_FLOW_H

#include "tests/sim/nodes.h"

/*
 * Messages of one direction. The bytes of each follow from its flow and number, and its tag names both, so that what
 * arrives can be told from what was sent.
 */
enum { SIM_FLOW_MAX = 8192 };

struct sim_flow {
    uint32_t id;
    uint32_t accepted; /* sends that said OK */
    uint32_t taken;    /* messages received */
    int64_t dally_ns;  /* with each loan in hand, before it is sent */
    uint32_t sizes[SIM_FLOW_MAX];
};

/* A way to send, or to receive, of those there are. */
enum sim_way { SIM_WAY_COPY, SIM_WAY_LOAN, SIM_WAY_PIECES, SIM_WAY_BATCH, SIM_WAY_MORE, SIM_WAYS };

/* Of that message: the flow above, the number below. */
uint64_t sim_flow_tag(const struct sim_flow *flow, uint32_t number);

/* Sends the next message, or a few by BATCH. */
enum duct_err sim_flow_say(struct sim_node *node, struct duct_pipe *pipe, struct sim_flow *flow,
                           enum sim_way way, uint32_t size, int64_t timeout_ns);

/* Receives, and hands over each message. */
typedef void sim_heard(struct sim_node *node, void *books, const void *data, size_t size,
                       uint64_t tag);
enum duct_err sim_flow_hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_way way,
                            int64_t timeout_ns, sim_heard *heard, void *books);

/* It is that message, whole. */
void sim_flow_check(struct sim_node *node, const struct sim_flow *flow, uint32_t number,
                    const void *data, size_t size);

#endif
