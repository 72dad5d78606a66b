/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/random_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Drawn by chances of its own, so that the world's begin at the same place for every script. */
struct dice {
    uint64_t state;
};

static uint64_t draw(struct dice *dice, uint64_t below)
{
    uint64_t x = dice->state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

static bool one_in(struct dice *dice, uint64_t of)
{
    return draw(dice, of) == 0;
}

/* One of the values, which end with a negative one. */
static int64_t one_of(struct dice *dice, const int64_t *values)
{
    uint64_t count = 0;

    while (values[count] >= 0)
        count++;
    return values[draw(dice, count)];
}

#define ONE_OF(dice, ...) one_of(dice, (const int64_t[]){__VA_ARGS__, -1})

static di_sim_odds odds(struct dice *dice, uint64_t one_in_worlds, uint64_t most)
{
    return one_in(dice, one_in_worlds) ? (di_sim_odds)(1 + draw(dice, most)) : 0;
}

/* What only delays. */
static void draw_nuisance(struct dice *dice, struct di_sim_plan *plan)
{
    plan->delay_ns = ONE_OF(dice, 0, 1000, 20000, 1000000, 30000000);
    plan->jitter_ns = ONE_OF(dice, 0, 0, 5000, 500000, 10000000);
    plan->buffer = (uint32_t)ONE_OF(dice, 0, 0, 300, 2000, 10000);
    plan->packet_max = (uint32_t)ONE_OF(dice, 0, 0, 1, 17, 300, 1400);
    plan->send_max = (uint32_t)ONE_OF(dice, 0, 0, 0, 1, 41, 1000);
    plan->recv_max = (uint32_t)ONE_OF(dice, 0, 0, 0, 1, 39, 1000);
    plan->edges = one_in(dice, 2);
    plan->unordered = one_in(dice, 2);
    plan->send_again = odds(dice, 4, 300);
    plan->recv_again = odds(dice, 4, 300);
    plan->interrupted = odds(dice, 4, 300);
    plan->late = odds(dice, 4, 600);
    plan->outrun = odds(dice, 3, 900);
}

/* What breaks. */
static bool draw_harm(struct dice *dice, struct di_sim_plan *plan)
{
    if (!one_in(dice, 3))
        return false;
    plan->reset = odds(dice, 3, 30);
    plan->cut = odds(dice, 4, 20);
    plan->stall = odds(dice, 4, 10);
    plan->stall_ns = ONE_OF(dice, 1000000, 30000000, 1000000000);
    plan->refused = odds(dice, 8, 500);
    plan->unanswered = odds(dice, 8, 500);
    plan->socket_fails = odds(dice, 8, 200);
    plan->poll_fails = odds(dice, 8, 200);
    plan->no_buffers = odds(dice, 10, 20);
    plan->clock_steps = odds(dice, 6, 100);
    plan->step_max_ns = ONE_OF(dice, 1000000, 1000000000, 100000000000);
    return true;
}

static void draw_script(struct dice *dice, struct sim_random *random)
{
    struct sim_script *script = &random->script;
    uint64_t whole = random->plan.buffer != 0 ? random->plan.buffer : 65536;

    script->talking = (enum sim_talking)draw(dice, 5);
    script->messages = 1 + (unsigned)draw(dice, 40);
    script->size = (uint32_t)ONE_OF(dice, 0, 30, 300, 3000, 40000, 65536);
    script->fixed = one_in(dice, 4);
    script->way = one_in(dice, 2) ? SIM_WAYS : (enum sim_way)draw(dice, SIM_WAYS);
    /* Two that send more than fits, and do not read meanwhile, wait for each other. */
    if (script->talking == SIM_CALLS && (script->way == SIM_WAYS || script->way == SIM_WAY_BATCH))
        script->way = (enum sim_way)draw(dice, SIM_WAY_BATCH);
    script->events = one_in(dice, 2);
    script->listener_ends = one_in(dice, 2);
    script->dialers = one_in(dice, 2) ? 1 : 1 + (unsigned)draw(dice, 4);
    script->linger_ns = ONE_OF(dice, 0, 1000000, 20000000000);
    script->timeout_ns = one_in(dice, 6) ? ONE_OF(dice, 1000, 1000000, 1000000000) : 0;
    script->meddles = one_in(dice, 6) ? (unsigned)draw(dice, 8) : 0;
    /* As many as pass in half a minute of a bad line, a window at a time, and a byte at a call. */
    int64_t trip = random->plan.delay_ns + random->plan.jitter_ns + 200000;
    uint64_t trips = (uint64_t)(5000000000 / trip);
    uint64_t bytes = whole * trips < 300000 ? whole * trips : 300000;
    bool slow =
        random->plan.packet_max == 1 || random->plan.send_max == 1 || random->plan.recv_max == 1;
    bytes = slow && bytes > 5000 ? 5000 : bytes;
    uint64_t packet = random->plan.packet_max == 0 ? 1400 : random->plan.packet_max;
    uint64_t window = 64 * packet < whole ? 64 * packet : whole;
    bytes = window * trips < bytes ? window * trips : bytes;
    while (script->size > 40 && script->size > bytes)
        script->size /= 2;
    while (script->messages > 1 && script->messages * (script->size + 40) * 8 > bytes)
        script->messages /= 2;
    random->bytes = bytes;
}

/* Options that change how it is done, and not what. Who spins until a cut line is given up takes real time. */
static void draw_query(struct dice *dice, bool harm, char *query, size_t room)
{
    static const char *const extras[] = {
        "", "", "", "&pool=200k", "&held=3", "&linger=1ms", "&wait=spin", "&wait=yield"};
    uint64_t count = sizeof(extras) / sizeof(extras[0]) - (harm ? 2 : 0);

    snprintf(query, room, "?wait_listener=1%s", extras[draw(dice, count)]);
}

__attribute__((format(printf, 3, 4))) static void add(char *query, size_t room, const char *format,
                                                      ...)
{
    size_t used = strlen(query);
    va_list args;

    va_start(args, format);
    vsnprintf(query + used, room - used, format, args);
    va_end(args);
}

/* Peers that are judged: both, so that either learns of a line that was cut. */
static void draw_heartbeat(struct dice *dice, struct sim_random *random)
{
    long long every_ms = ONE_OF(dice, 300, 1000, 3000);
    long long missed = ONE_OF(dice, 2, 3, 5);

    add(random->dial, sizeof(random->dial), "&heartbeat=%lldms&heartbeat_missed=%lld", every_ms,
        missed);
    add(random->listen, sizeof(random->listen), "&heartbeat=%lldms&heartbeat_missed=%lld", every_ms,
        missed);
    /* Then nobody else may be relied on. */
    random->plan.silence_ns = 600000000000;
}

/* Who comes back: when, how often, with how much in hand. */
static void draw_comeback(struct dice *dice, struct sim_random *random)
{
    struct sim_script *script = &random->script;
    long long pause_ms = ONE_OF(dice, 1, 20, 100, 1000);
    long long attempts = one_in(dice, 4) ? ONE_OF(dice, 1, 2, 5) : 0;

    script->comes_back = true;
    script->outages = (unsigned)draw(dice, 8);
    script->downtime = (uint64_t)ONE_OF(dice, 0, 300, 5000, 100000);
    script->talking = one_in(dice, 2) ? SIM_CALLS : one_in(dice, 2) ? SIM_BOTH : SIM_STREAM;
    if (script->linger_ns == 0)
        script->linger_ns = ONE_OF(dice, 0, 1000000000);
    add(random->dial, sizeof(random->dial),
        "&reconnect=1&pause=%lldms&pause_max=%lldms&attempts=%lld&downtime_buffer=%llu&timeout=%"
        "lldms",
        pause_ms, pause_ms * (long long)ONE_OF(dice, 1, 4, 50), attempts,
        (unsigned long long)script->downtime, (long long)ONE_OF(dice, 1000, 5000, 20000));
    if (attempts > 0)
        script->end_must = ~0u & ~(SIM_MAY(DUCT_EINVAL) | SIM_MAY(DUCT_ECORRUPT));
}

/* Messages of many frames. Where something breaks, the time for one may be short. */
static void draw_large(struct dice *dice, struct sim_random *random, bool harm)
{
    struct sim_script *script = &random->script;
    long long reassembly_ms = harm ? ONE_OF(dice, 50, 1000, 5000, 30000) : 30000;

    script->frame_max = (uint32_t)ONE_OF(dice, 1024, 5000, 65536);
    script->size = (uint32_t)ONE_OF(dice, 66000, 130000, 300000);
    while (script->size > random->bytes)
        script->size /= 2;
    script->messages = 1 + (unsigned)draw(dice, 3);
    script->impatient = harm;
    add(random->dial, sizeof(random->dial), "&max_msg=300000&reassembly=%lldms", reassembly_ms);
    add(random->listen, sizeof(random->listen), "&max_msg=300000&reassembly=%lldms", reassembly_ms);
}

/* By dice of their own, so that worlds without them stay what they were. */
static void draw_life(struct sim_random *random, uint64_t seed, bool harm)
{
    struct dice dice = {.state = seed * 0x9fb21c651e98df25u + 7};
    struct sim_script *script = &random->script;

    if (one_in(&dice, 4))
        draw_comeback(&dice, random);
    /* Only a program that attends to all its pipes lets them be judged, and not one that lingers for one of them. */
    bool attends =
        script->comes_back || script->dialers == 1 || (script->events && script->linger_ns == 0);
    if (attends && one_in(&dice, script->comes_back ? 2 : 4))
        draw_heartbeat(&dice, random);
    /* Not where the pool was made small, nor for who spins through all that time. */
    const char *dial = random->dial, *listen = random->listen;
    bool may = strstr(dial, "pool=") == NULL && strstr(listen, "pool=") == NULL &&
               strstr(dial, "wait=") == NULL && strstr(listen, "wait=") == NULL;
    if (may && one_in(&dice, 7))
        draw_large(&dice, random, harm);
}

/* In the order of the plan. */
static const char *const odds_names[] = {"send_again", "recv_again", "interrupted",  "late",
                                         "poll_fails", "no_buffers", "socket_fails", "outrun",
                                         "ahead",      "refused",    "unanswered",   "reset",
                                         "cut",        "stall",      "clock_steps"};

void sim_random_world(struct sim_random *random, uint64_t seed)
{
    struct dice dice = {.state = seed * 0xd1342543de82ef95u + 1};
    struct di_sim_plan *plan = &random->plan;
    struct sim_script *script = &random->script;

    memset(random, 0, sizeof(*random));
    draw_nuisance(&dice, plan);
    bool harm = draw_harm(&dice, plan);
    draw_script(&dice, random);
    draw_query(&dice, harm, random->dial, sizeof(random->dial));
    draw_query(&dice, harm, random->listen, sizeof(random->listen));
    draw_life(random, seed, harm);
    plan->polls = one_in(&dice, 3);
    plan->ahead = odds(&dice, 3, 900);
    script->dial = random->dial;
    script->listen = random->listen;
    script->harm = harm || script->timeout_ns != 0 || script->meddles > 0;
    if (script->harm)
        script->dial_may = ~0u & ~(SIM_MAY(DUCT_EINVAL) | SIM_MAY(DUCT_ECORRUPT));
    int used =
        snprintf(random->words, sizeof(random->words),
                 "%sframes %u, delay %lld+%lld us, buffer %u, packet %u, send %u, recv %u%s%s%s%s; "
                 "talking %d, %u "
                 "messages of %u by way %d, %u dialers%s%s, dial %s, listen %s",
                 script->comes_back ? "comes back; " : "", script->frame_max,
                 (long long)plan->delay_ns / 1000, (long long)plan->jitter_ns / 1000, plan->buffer,
                 plan->packet_max, plan->send_max, plan->recv_max, plan->edges ? ", edges" : "",
                 plan->polls ? ", polls" : "", plan->unordered ? ", unordered" : "",
                 harm ? ", harm" : "", script->talking, script->messages, script->size, script->way,
                 script->dialers, script->events ? ", events" : "",
                 script->listener_ends ? ", listener ends" : "", random->dial, random->listen);
    const di_sim_odds *first = &plan->send_again;
    for (unsigned i = 0; i < sizeof(odds_names) / sizeof(odds_names[0]); i++) {
        if (first[i] != 0 && used > 0 && (size_t)used < sizeof(random->words))
            used += snprintf(random->words + used, sizeof(random->words) - (size_t)used, ", %s %u",
                             odds_names[i], first[i]);
    }
}
