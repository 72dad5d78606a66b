/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/nodes.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/core/context.h"
#include "tests/sim/scheme.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define leave(save, stack, size) __sanitizer_start_switch_fiber(save, stack, size)
#define arrive(save)             __sanitizer_finish_switch_fiber(save, NULL, NULL)
#else
#define leave(save, stack, size) ((void)(save), (void)(stack), (void)(size))
#define arrive(save)             ((void)(save))
#endif

#define STACK_SIZE ((size_t)256 * 1024)

/* A program that goes on for so long has lost its way. */
#define TIME_MAX  (24 * 3600 * DUCT_SECOND)
#define TURNS_MAX 2000000u

/* What a look that finds nothing costs, so that one who only looks lets others on. */
#define LOOK_NS 1000

/* A call that looks at the clock several times may meet so many of its jumps. */
#define STEPS_OF_CALL 4

/* Stacks are kept for the next world. */
static unsigned char *stacks[SIM_NODES];
static unsigned char *main_stack;
static size_t main_stack_size;

void sim_failed(struct sim_world *world, const char *who, int line, const char *format, ...)
{
    size_t used;
    va_list args;

    if (world->failure[0] != '\0')
        return;
    snprintf(world->failure, sizeof(world->failure), "%s, line %d: ", who, line);
    used = strlen(world->failure);
    va_start(args, format);
    vsnprintf(world->failure + used, sizeof(world->failure) - used, format, args);
    va_end(args);
    di_sim_note(world->sim, "FAILED", line, 0);
}

/* ---- Turns ---- */

static void find_main_stack(void)
{
    pthread_attr_t attributes;
    void *at;

    if (main_stack != NULL || pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &at, &main_stack_size) == 0)
        main_stack = at;
    pthread_attr_destroy(&attributes);
}

static void to_conductor(struct sim_node *node)
{
    /* A program that has ended gives its stack up. */
    leave(node->ended ? NULL : &node->fake_stack, main_stack, main_stack_size);
    swapcontext(&node->state, &node->world->conductor);
    arrive(node->fake_stack);
}

static void to_node(struct sim_node *node)
{
    struct sim_world *world = node->world;

    world->running = node;
    leave(&world->fake_stack, node->stack, STACK_SIZE);
    swapcontext(&world->conductor, &node->state);
    arrive(world->fake_stack);
    world->running = NULL;
}

static void idle_of(void *user, struct di_io *io, int64_t until)
{
    struct sim_world *world = user;
    struct sim_node *node = world->running;
    int64_t now = di_sim_now(world->sim);

    if (node == NULL)
        return;
    node->asleep_on = io;
    node->until = until <= now && io != NULL && !di_sim_ready(io) ? now + LOOK_NS : until;
    to_conductor(node);
}

static void body(unsigned high, unsigned low)
{
    struct sim_node *node = (struct sim_node *)((uintptr_t)high << 32 | low);
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct di_io *io;

    arrive(NULL);
    if (di_sim_loop(node->world->sim, &io) == DUCT_OK &&
        di_context_open_over(&node->context, io, &options) == DUCT_OK) {
        node->program(node);
        duct_context_close(node->context);
    }
    node->ended = true;
    to_conductor(node);
}

static bool may_run(const struct sim_world *world, const struct sim_node *node)
{
    return !node->ended && (di_sim_now(world->sim) >= node->until ||
                            (node->asleep_on != NULL && di_sim_ready(node->asleep_on)));
}

static struct sim_node *choose(struct sim_world *world)
{
    struct sim_node *able[SIM_NODES];
    unsigned count = 0;

    for (unsigned i = 0; i < world->count; i++) {
        if (may_run(world, &world->nodes[i]))
            able[count++] = &world->nodes[i];
    }
    return count == 0 ? NULL : able[count == 1 ? 0 : di_sim_random(world->sim, count)];
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When somebody wants to run again; all sleep. */
static int64_t next_time(const struct sim_world *world)
{
    int64_t next = di_sim_next(world->sim);

    for (unsigned i = 0; i < world->count; i++) {
        const struct sim_node *node = &world->nodes[i];
        if (!node->ended)
            next = smaller(next, node->until);
        if (!node->ended && node->asleep_on != NULL)
            next = smaller(next, di_sim_loop_next(node->asleep_on));
    }
    return next;
}

static bool all_ended(const struct sim_world *world)
{
    unsigned ended = 0;

    for (unsigned i = 0; i < world->count; i++)
        ended += world->nodes[i].ended;
    return ended == world->count;
}

static void stuck(struct sim_world *world, const char *why)
{
    const char *who = "";

    for (unsigned i = 0; i < world->count; i++) {
        if (!world->nodes[i].ended)
            who = world->nodes[i].name;
    }
    world->stuck = true;
    sim_failed(world, who, 0, "%s", why);
}

static void conduct(struct sim_world *world)
{
    int64_t begun = di_sim_now(world->sim);

    while (!all_ended(world)) {
        struct sim_node *node = choose(world);
        if (++world->turns > TURNS_MAX) {
            stuck(world, "a program is busy for ever");
            return;
        }
        if (node != NULL) {
            to_node(node);
            continue;
        }
        int64_t next = next_time(world);
        if (next == INT64_MAX || next - begun > TIME_MAX) {
            stuck(world, next == INT64_MAX ? "a program waits for what will never happen"
                                           : "a program is still waiting after a day");
            return;
        }
        di_sim_move(world->sim, next);
    }
}

/* ---- Worlds ---- */

void sim_world_open(struct sim_world *world, uint64_t seed, const struct di_sim_plan *plan)
{
    memset(world, 0, sizeof(*world));
    world->cramped = (plan->buffer != 0 && plan->buffer < 1024) ||
                     (plan->packet_max != 0 && plan->packet_max < 32) || plan->send_max != 0 ||
                     plan->send_again > 0;
    world->lateness = plan->clock_steps > 0 ? STEPS_OF_CALL * plan->step_max_ns : 0;
    find_main_stack();
    if (di_sim_open(&world->sim, seed, plan) != DUCT_OK) {
        fprintf(stderr, "%s\n", duct_err_detail());
        exit(2);
    }
    di_sim_on_idle(world->sim, idle_of, world);
    sim_scheme_world(world->sim);
}

struct sim_node *sim_world_add(struct sim_world *world, const char *name, sim_program *program,
                               void *user)
{
    unsigned i = world->count++;
    struct sim_node *node = &world->nodes[i];

    if (stacks[i] == NULL)
        stacks[i] = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    *node = (struct sim_node){
        .world = world, .name = name, .program = program, .user = user, .stack = stacks[i]};
    getcontext(&node->state);
    node->state.uc_stack.ss_sp = node->stack;
    node->state.uc_stack.ss_size = STACK_SIZE;
    node->state.uc_link = NULL;
    makecontext(&node->state, (void (*)(void))body, 2, (unsigned)((uintptr_t)node >> 32),
                (unsigned)(uintptr_t)node);
    return node;
}

void sim_world_run(struct sim_world *world)
{
    conduct(world);
    const char *fault = di_sim_fault(world->sim);
    struct di_sim_count count = di_sim_counted(world->sim);

    if (fault != NULL)
        sim_failed(world, "the world", 0, "%s", fault);
    if (!world->stuck && count.sockets != 0)
        sim_failed(world, "the world", 0, "%u sockets are left open", count.sockets);
}

void sim_world_close(struct sim_world *world)
{
    if (!world->stuck)
        di_sim_close(world->sim);
    sim_scheme_world(NULL);
}

void sim_pass(struct sim_node *node, int64_t ns)
{
    struct di_io *io = node->context->io;
    int64_t until = di_io_now(io) + ns;

    while (di_io_now(io) < until && di_io_wait(io, until) != DUCT_EOS)
        continue;
}
