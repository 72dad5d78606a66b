/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/sim_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/base/error.h"

/* A world's clock, chance, history and descriptors. */

/* Not 0, so that a deadline of 0 is past, as on a machine that has run for a while. */
#define BEGINNING ((int64_t)1000 * 1000000000)

enum duct_err di_sim_open(struct di_sim **out, uint64_t seed, const struct di_sim_plan *plan)
{
    struct di_sim *sim = calloc(1, sizeof(*sim));

    if (sim == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a simulated world");
    sim->plan = *plan;
    sim->plan.buffer = plan->buffer != 0 ? plan->buffer : 65536;
    sim->plan.silence_ns = plan->silence_ns != 0 ? plan->silence_ns : 30 * (int64_t)1000000000;
    sim->now = BEGINNING;
    sim->chance = seed;
    sim->history = 0xcbf29ce484222325u;
    *out = sim;
    return DUCT_OK;
}

void di_sim_close(struct di_sim *sim)
{
    di_timers_fini(&sim->events);
    free(sim->fds);
    free(sim);
}

/* ---- Chance ---- */

/* splitmix64: one addition a step, so that every seed begins somewhere else. */
static uint64_t next(struct di_sim *sim)
{
    uint64_t x = sim->chance += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t di_sim_random(struct di_sim *sim, uint64_t below)
{
    return next(sim) % below;
}

/* Impossible things cost no chance, so that a plan may gain a kind of fault and old seeds stay what they are. */
bool sim_odds(struct di_sim *sim, di_sim_odds odds)
{
    return odds > 0 && di_sim_random(sim, 1000) < odds;
}

/* ---- History ---- */

static uint64_t stir(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3u;
}

void di_sim_note(struct di_sim *sim, const char *what, int64_t a, int64_t b)
{
    for (const char *at = what; *at != '\0'; at++)
        sim->history = stir(sim->history, (unsigned char)*at);
    sim->history = stir(stir(stir(sim->history, (uint64_t)sim->now), (uint64_t)a), (uint64_t)b);
    if (sim->watch != NULL)
        sim->watch(sim->watch_user, sim->now, what, a, b);
}

uint64_t di_sim_history(const struct di_sim *sim)
{
    return sim->history;
}

void di_sim_on_note(struct di_sim *sim, di_sim_watch_fn *watch, void *user)
{
    sim->watch = watch;
    sim->watch_user = user;
}

void sim_fault(struct di_sim *sim, const char *what, int64_t which)
{
    di_sim_note(sim, what, which, 0);
    if (sim->fault[0] == '\0')
        snprintf(sim->fault, sizeof(sim->fault), "%s (%lld)", what, (long long)which);
}

const char *di_sim_fault(const struct di_sim *sim)
{
    return sim->fault[0] != '\0' ? sim->fault : NULL;
}

struct di_sim_count di_sim_counted(const struct di_sim *sim)
{
    struct di_sim_count count = sim->count;

    count.connections = sim->connections;
    return count;
}

/* ---- The clock ---- */

int64_t di_sim_now(const struct di_sim *sim)
{
    return sim->now;
}

void di_sim_on_idle(struct di_sim *sim, di_sim_idle_fn *idle, void *user)
{
    sim->idle = idle;
    sim->idle_user = user;
}

int64_t di_sim_next(struct di_sim *sim)
{
    const struct di_io_op *first = di_timers_first(&sim->events);

    return first != NULL ? first->deadline : SIM_NEVER;
}

void di_sim_move(struct di_sim *sim, int64_t to)
{
    struct di_io_op *first;

    if (to > sim->now && sim_odds(sim, sim->plan.clock_steps) && sim->plan.step_max_ns > 0) {
        to += (int64_t)di_sim_random(sim, (uint64_t)sim->plan.step_max_ns);
        sim->count.steps++;
        di_sim_note(sim, "clock step", to - sim->now, 0);
    }
    /* In the order of their times, and each at its own. */
    while ((first = di_timers_first(&sim->events)) != NULL && first->deadline <= to) {
        if (first->deadline > sim->now)
            sim->now = first->deadline;
        sim_happens((struct sim_end *)first);
    }
    if (to > sim->now)
        sim->now = to;
}

void sim_event_at(struct sim_end *end, int64_t at)
{
    struct di_timers *events = &end->sim->events;

    if (end->event.heap_index != 0) {
        if (end->event.deadline == at)
            return;
        di_timers_remove(events, &end->event);
    }
    end->event.deadline = at;
    if (at != SIM_NEVER && !di_timers_add(events, &end->event))
        sim_fault(end->sim, "no memory for an event", 0);
}

/* ---- Descriptors ---- */

static bool grow(struct di_sim *sim)
{
    uint32_t room = sim->fd_room == 0 ? 16 : 2 * sim->fd_room;
    struct sim_fd *fds = realloc(sim->fds, room * sizeof(*fds));

    if (fds == NULL)
        return false;
    for (uint32_t i = sim->fd_room; i < room; i++)
        fds[i] = (struct sim_fd){0};
    sim->fds = fds;
    sim->fd_room = room;
    return true;
}

/* The lowest number that is free, as the kernel: one that was closed too early comes back soon. */
int sim_fd_open(struct di_sim *sim, struct sim_end *end, struct sim_listener *listener)
{
    uint32_t limit = sim->plan.sockets_max;
    uint32_t i = 0;

    if ((limit != 0 && sim->count.sockets >= limit) || sim_odds(sim, sim->plan.socket_fails))
        return -EMFILE;
    while (i < sim->fd_room && (sim->fds[i].end != NULL || sim->fds[i].listener != NULL))
        i++;
    if (i == sim->fd_room && !grow(sim))
        return -ENOMEM;
    sim->fds[i] = (struct sim_fd){.end = end, .listener = listener};
    sim->count.sockets++;
    int fd = SIM_FD_FIRST + (int)i;
    if (end != NULL)
        end->fds[end->fd_count++] = fd;
    return fd;
}

struct sim_fd *sim_fd_of(struct di_sim *sim, int fd)
{
    uint32_t i = (uint32_t)fd - SIM_FD_FIRST;

    if (fd < SIM_FD_FIRST || i >= sim->fd_room ||
        (sim->fds[i].end == NULL && sim->fds[i].listener == NULL))
        return NULL;
    return &sim->fds[i];
}

void sim_fd_close(struct di_sim *sim, struct sim_fd *fd)
{
    int number = SIM_FD_FIRST + (int)(fd - sim->fds);
    struct sim_end *end = fd->end;

    if (fd->op != NULL)
        sim_fault(sim, "a descriptor was closed before its operation was forgotten", number);
    for (unsigned i = 0; end != NULL && i < end->fd_count; i++) {
        if (end->fds[i] == number)
            end->fds[i--] = end->fds[--end->fd_count];
    }
    *fd = (struct sim_fd){0};
    sim->count.sockets--;
}
