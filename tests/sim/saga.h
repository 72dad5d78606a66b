/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_SAGA_H
#define TESTS_SIM_SAGA_H

#include "tests/sim/flow.h"

/*
 * The books of pipes that come back. A saga is all that one dialer sends, over however many sessions; a chapter is one
 * session as the listener has it, with what it sends. Messages may be lost with a session, and then are counted; none
 * comes twice, none overtakes, none of an earlier session comes after one of a later.
 */
enum { SIM_SAGAS = 8, SIM_CHAPTERS = 512 };

struct sim_chapter {
    uint64_t session;
    struct sim_saga *saga; /* whose it is; NULL: nothing has come yet */
    uint32_t first,
        next; /* of what the listener took, and what may come next; first == next: nothing */
    struct sim_flow back;
    uint32_t back_next; /* what the dialer may receive next */
    bool over;          /* the dialer has received something of a later one */
};

struct sim_saga {
    struct sim_flow out;
    bool heard[SIM_FLOW_MAX]; /* by the listener */
    struct sim_chapter *now;  /* of which the dialer received last */
    uint64_t sessions;        /* there were, when it last looked */
    uint64_t session;         /* the number of that one */
    bool settled;             /* it ended with its losses known: */
    uint64_t lost;            /* as the pipe counted them */
};

/* Forgets all. */
void sim_sagas_reset(void);

struct sim_saga *sim_saga_begin(struct sim_node *node);
struct sim_chapter *sim_chapter_of(struct sim_node *node, struct duct_pipe *pipe);

/* The dialer receives, and the listener. */
enum duct_err sim_saga_hear(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                            enum sim_way way, int64_t timeout_ns);
enum duct_err sim_chapter_hear(struct sim_node *node, struct duct_pipe *pipe,
                               struct sim_chapter *chapter, enum sim_way way, int64_t timeout_ns);

/* What a pipe that comes back says of itself: its sessions have numbers of their own, and its buffer a bound. */
void sim_saga_look(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                   uint64_t buffer);

/* Before it is closed. drained: nothing is under way, so that what did not arrive is in the pipe's counters. */
void sim_saga_settle(struct sim_node *node, struct duct_pipe *pipe, struct sim_saga *saga,
                     bool drained);

/* All of them, after the world has ended. losses: of connections, where the world does no harm by itself; a session
 * ends for no other reason. */
void sim_sagas_check(struct sim_world *world, uint64_t losses);

#endif
