/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_SIM_NODES_H
#define TESTS_SIM_NODES_H

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include <duct/duct.h>

#include "lib/io/sim.h"

/*
 * Programs in a simulated world. Each is a function on a stack of its own that calls duct as any program does,
 * with calls that wait: where its loop would sleep, another one runs. Which one is the world's choice; only when
 * all sleep does time pass. Everything happens in one thread, in an order that the seed decides.
 *
 * sim:// is a scheme in such a world: the streams of transports/stream*.c over its sockets.
 */
enum { SIM_NODES = 40 };

struct sim_world;
struct sim_node;
typedef void sim_program(struct sim_node *self);

struct sim_node {
    struct sim_world *world;
    const char *name;
    sim_program *program;
    void *user;
    struct duct_context *context; /* its own, closed when the program returns */

    ucontext_t state;
    unsigned char *stack;
    void *fake_stack; /* a sanitizer's */
    struct di_io *asleep_on;
    int64_t until;
    bool ended;
};

struct sim_world {
    struct di_sim *sim;
    struct sim_node nodes[SIM_NODES];
    unsigned count;
    struct sim_node *running;
    ucontext_t conductor;
    void *fake_stack;
    uint64_t turns;
    int64_t lateness;  /* of the clock, when it jumps */
    bool cramped;      /* a socket may have no room for a good-bye, or say so */
    bool impatient;    /* a pipe may end with TIMEOUT, of a message that was not complete in time */
    char failure[400]; /* the first; "": none */
    bool stuck;        /* programs that did not end hold memory and sockets for good */
};

/* Nothing in it yet. One world at a time. */
void sim_world_open(struct sim_world *world, uint64_t seed, const struct di_sim_plan *plan);

struct sim_node *sim_world_add(struct sim_world *world, const char *name, sim_program *program,
                               void *user);

/* Until every program has returned, or never would. Then nothing may be left. */
void sim_world_run(struct sim_world *world);
void sim_world_close(struct sim_world *world);

/* What must hold. The first that does not is kept, with the node that found it, and what was said of it. */
#define SIM_CHECK(node, condition, ...)                                     \
    do {                                                                    \
        if (!(condition))                                                   \
            sim_failed((node)->world, (node)->name, __LINE__, __VA_ARGS__); \
    } while (0)
void sim_failed(struct sim_world *world, const char *who, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Lets so much time pass, with nothing done. */
void sim_pass(struct sim_node *node, int64_t ns);

/* Below `below`, of the world's chance. */
static inline uint64_t sim_any(struct sim_node *node, uint64_t below)
{
    return di_sim_random(node->world->sim, below);
}

#endif
