/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_PAIR_H
#define TESTS_SIM_PAIR_H

#include "tests/sim/talk.h"

/* Programs that most scenarios are made of: some that dial, one that listens, and a script of what they say. */
enum sim_talking {
    SIM_SILENT,
    SIM_CALLS,  /* the dialer asks, the listener answers */
    SIM_STREAM, /* the dialer sends */
    SIM_BACK,   /* the listener does */
    SIM_BOTH
};

struct sim_script {
    const char *dial, *listen;  /* queries of the addresses, with their "?" */
    const char *at, *listen_at; /* the addresses without them; NULL: sim://here */
    enum sim_talking talking;
    unsigned messages;
    uint32_t size;      /* of the largest message */
    uint32_t frame_max; /* largest frame; 0: no larger than a message may be */
    bool fixed;         /* all are so large */
    enum sim_way way;   /* SIM_WAYS: any */
    bool events;        /* the listener waits for events, and not for one pipe */
    bool listener_ends; /* else the dialer does */
    int64_t linger_ns;
    int64_t timeout_ns; /* of each call; 0: two minutes */
    unsigned dialers;   /* 0: one */
    unsigned dial_may;  /* SIM_MAY() of what dialling may give beside OK */
    unsigned dial_must; /* and one of these it must */
    unsigned
        end_must; /* how a side is told of the end that did not bring it about; 0: see sim_talks_check() */
    bool harm;         /* something is to be broken */
    bool impatient;    /* a message may be given too little time to be complete */
    unsigned meddles;  /* so often somebody cancels or wakes a context that is not its own */
    bool comes_back;   /* the dial says reconnect=1: comeback.h has the programs; with it: */
    unsigned outages;  /* so often something is lost */
    uint64_t downtime; /* bytes, as the dial says */
};

#define SIM_MAY(err) (1u << (err))

struct sim_case {
    const struct sim_script *script;
    struct sim_world *world;
    unsigned dialers_left; /* who have not ended */
};

sim_program sim_dialer;
sim_program sim_listener;

/* Opens with that context and query. */
enum duct_err sim_dial(struct sim_node *node, struct duct_pipe **pipe, const char *query);
enum duct_err sim_listen(struct sim_node *node, struct duct_listener **listener, const char *query);

/* One side's part of the script, until the pipe is closed. */
void sim_converse(struct sim_node *node, struct duct_pipe *pipe, enum sim_side side);

/* Serves one listener by events until all dialers have ended and every pipe is closed. */
void sim_serve(struct sim_node *node, struct duct_listener *listener);

/* A call that began then has not taken longer than it was given. */
void sim_within(struct sim_node *node, int64_t begun, int64_t timeout_ns, const char *call);

/* Plays it: one listener, script->dialers dialers, and one who meddles if that is asked for. */
void sim_play(struct sim_world *world, const struct sim_script *script);

#endif
