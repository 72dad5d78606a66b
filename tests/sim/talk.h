/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_TALK_H
#define TESTS_SIM_TALK_H

#include "tests/sim/flow.h"

/*
 * The books of a conversation over one pipe: what either side sent with success, what the other received. Each message
 * that arrives is checked against what was sent: in its turn, once, whole.
 */
enum sim_side { SIM_DIALER, SIM_LISTENER };

enum { SIM_TALKS = 64 };

/* How one side saw it end. */
struct sim_farewell {
    bool opened;       /* it had a pipe */
    bool closed;       /* and closed it first, in order */
    bool quiet;        /* when it did, all it had sent was taken */
    bool lingered;     /* and the other one had heard it, in the time that it was given */
    enum duct_err end; /* else: what it was told; OK: nothing yet */
    uint32_t code;     /* given, or told */
    char text[DUCT_REASON_MAX];
};

struct sim_talk {
    uint64_t session;
    struct sim_flow flows[2]; /* by the side that sends */
    struct sim_farewell sides[2];
};

/* Forgets all conversations. */
void sim_talks_reset(void);

/* The conversation over that pipe, known to both sides by its session. */
struct sim_talk *sim_talk_of(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side);

/* The next message, or a few by BATCH. */
enum duct_err sim_say(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                      enum sim_way way, uint32_t size, int64_t timeout_ns);

/* The same; checks what comes. */
enum duct_err sim_hear(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side,
                       enum sim_way way, int64_t timeout_ns);

/* Closes first, and notes what must follow from that. */
void sim_part(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side, uint32_t code,
              const char *text, int64_t linger_ns);

/* It has ended by itself: how is noted, and it is closed. */
void sim_mourn(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side);

/* All conversations, after the world has ended. harm: connections were reset or cut, or a side was refused what it
 * needed. */
void sim_talks_check(struct sim_world *world, bool harm);

#endif
