/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faultproxy [OPTIONS] LISTEN TARGET
 *
 * Stands between two ends of byte streams and does to them what networks do: holds bytes up, hands them on in pieces,
 * cuts, resets, swallows, stalls. Addresses are HOST:PORT in numbers, /path, or @name of the abstract namespace; port 0
 * is any, and the address it got is the first line of output. Which bytes go together, and for how long, follows from
 * the seed. Knows nothing of what it carries, and uses nothing of duct.
 */
#include <argp.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/faultproxy/address.h"

enum { CONNECTIONS_MAX = 32, ROOM = 65536 };

enum fault { FAULT_NONE, FAULT_CUT, FAULT_TRUNCATE, FAULT_RESET, FAULT_STALL };

struct options {
    const char *listen, *target;
    int64_t latency_ns, jitter_ns;
    enum fault fault;
    uint64_t after;     /* bytes of one direction, until the fault */
    uint64_t partial;   /* most bytes of one write; 0: any */
    uint64_t bandwidth; /* bytes a second, each direction; 0: any */
    uint64_t seed;
    bool up, down; /* directions with faults: from who connected, and back */
    uint64_t connections;
};

static const struct argp_option argp_table[] = {
    {"latency", 'l', "MS", 0, "Hold bytes up for so long", 0},
    {"jitter", 'j', "MS", 0, "And for up to so much longer", 0},
    {"cut", 'c', "N", 0, "End both directions after N bytes", 0},
    {"truncate", 't', "N", 0, "Swallow what comes after N bytes, and say nothing", 0},
    {"reset", 'r', "N", 0, "Reset both ends after N bytes", 0},
    {"stall", 's', "N", 0, "Stop reading after N bytes", 0},
    {"partial", 'p', "N", 0, "Hand on at most N bytes at a time, at random", 0},
    {"bandwidth", 'b', "N", 0, "Bytes a second", 0},
    {"seed", 'S', "N", 0, "Of everything random; 1", 0},
    {"direction", 'd', "WAY", 0, "Which way the fault counts and strikes: up, down or both", 0},
    {"connections", 'n', "N", 0, "End after so many; 1", 0},
    {0},
};

static uint64_t number(const char *arg, struct argp_state *state)
{
    char *end;
    unsigned long long value = strtoull(arg, &end, 10);

    if (*end != '\0' || end == arg)
        argp_error(state, "%s: expected a number", arg);
    return value;
}

static void set_fault(struct options *options, enum fault fault, const char *arg,
                      struct argp_state *state)
{
    if (options->fault != FAULT_NONE)
        argp_error(state, "one of cut, truncate, reset and stall is enough");
    options->fault = fault;
    options->after = number(arg, state);
}

static void set_way(struct options *options, const char *arg, struct argp_state *state)
{
    options->up = strcmp(arg, "down") != 0;
    options->down = strcmp(arg, "up") != 0;
    if (options->up && options->down && strcmp(arg, "both") != 0)
        argp_error(state, "%s: expected up, down or both", arg);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
    static const struct {
        int key;
        enum fault fault;
    } faults[] = {{'c', FAULT_CUT}, {'t', FAULT_TRUNCATE}, {'r', FAULT_RESET}, {'s', FAULT_STALL}};
    struct options *options = state->input;

    for (unsigned i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        if (faults[i].key == key) {
            set_fault(options, faults[i].fault, arg, state);
            return 0;
        }
    }
    switch (key) {
    case 'l':
        options->latency_ns = (int64_t)number(arg, state) * 1000000;
        return 0;
    case 'j':
        options->jitter_ns = (int64_t)number(arg, state) * 1000000;
        return 0;
    case 'p':
        options->partial = number(arg, state);
        return 0;
    case 'b':
        options->bandwidth = number(arg, state);
        return 0;
    case 'S':
        options->seed = number(arg, state);
        return 0;
    case 'd':
        set_way(options, arg, state);
        return 0;
    case 'n':
        options->connections = number(arg, state);
        return 0;
    case ARGP_KEY_ARG:
        if (state->arg_num > 1)
            return ARGP_ERR_UNKNOWN;
        *(state->arg_num == 0 ? &options->listen : &options->target) = arg;
        return 0;
    case ARGP_KEY_END:
        if (state->arg_num != 2)
            argp_usage(state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* ---- One direction of one connection ---- */

struct way {
    int from, to;
    bool faulty;       /* the fault counts here */
    bool ended;        /* nothing more comes from `from` */
    bool told;         /* and `to` was told so */
    bool dead;         /* `to` takes nothing any more: what comes is lost */
    uint64_t taken;    /* bytes in all */
    int64_t due;       /* when what is here may go on */
    size_t begin, end; /* of it */
    unsigned char room[ROOM];
};

struct connection {
    bool open;
    struct way ways[2];
};

static struct options options = {.up = true, .down = true, .seed = 1, .connections = 1};
static struct connection connections[CONNECTIONS_MAX];

static int64_t now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * INT64_C(1000000000) + at.tv_nsec;
}

static uint64_t below(uint64_t bound)
{
    static uint64_t state;

    if (state == 0)
        state = options.seed * 0x9e3779b97f4a7c15u + 1;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return bound == 0 ? 0 : state % bound;
}

static void close_connection(struct connection *connection, bool reset)
{
    const struct linger hard = {.l_onoff = 1, .l_linger = 0};

    for (unsigned i = 0; i < 2; i++) {
        if (reset)
            setsockopt(connection->ways[i].from, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        close(connection->ways[i].from);
    }
    connection->open = false;
}

static bool struck(const struct way *way)
{
    return way->faulty && options.fault != FAULT_NONE && way->taken >= options.after;
}

static bool reads(const struct way *way)
{
    return way->begin == way->end && !way->ended && !(struck(way) && options.fault == FAULT_STALL);
}

/* What comes, up to where the fault strikes; beyond it, swallowed. */
static void take(struct way *way)
{
    size_t room = ROOM;
    bool swallow = struck(way);

    if (way->faulty && options.fault != FAULT_NONE && !swallow && options.after - way->taken < room)
        room = options.after - way->taken;
    ssize_t got = recv(way->from, way->room, room, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        way->ended = true;
        return;
    }
    way->taken += swallow ? 0 : (size_t)got;
    way->begin = 0;
    way->end = swallow || way->dead ? 0 : (size_t)got;
    way->due = now() + options.latency_ns +
               (int64_t)below((uint64_t)options.jitter_ns + (options.jitter_ns > 0));
}

/* As in a network, where what was sent to an end that is gone is lost, and what that end had said before is not: the
 * other way goes on until its own end. */
static void die(struct way *way)
{
    way->dead = true;
    way->begin = way->end = 0;
}

/* Hands on what is due. */
static void give(struct way *way)
{
    size_t size = way->end - way->begin;

    if (options.partial > 0 && size > options.partial)
        size = 1 + below(options.partial);
    if (options.bandwidth > 0 && size > options.bandwidth / 100 + 1)
        size = options.bandwidth / 100 + 1;
    ssize_t done = send(way->to, way->room + way->begin, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (done < 0 && errno != EAGAIN)
        die(way);
    if (done < 0)
        return;
    way->begin += (size_t)done;
    if (options.bandwidth > 0)
        way->due = now() + done * INT64_C(1000000000) / (int64_t)options.bandwidth;
}

/* ---- All of them ---- */

static void fail(const char *what)
{
    fprintf(stderr, "faultproxy: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void accept_one(int listener)
{
    struct connection *connection = connections;

    while (connection < connections + CONNECTIONS_MAX && connection->open)
        connection++;
    if (connection == connections + CONNECTIONS_MAX)
        return; /* it waits */
    int from = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (from < 0)
        return;
    int to = address_connect(options.target);
    if (to < 0) {
        close(from);
        return;
    }
    *connection = (struct connection){.open = true};
    connection->ways[0].from = connection->ways[1].to = from;
    connection->ways[0].to = connection->ways[1].from = to;
    connection->ways[0].faulty = options.up;
    connection->ways[1].faulty = options.down;
}

/* The fault, once what came before it has been handed on; and ends that are to be told. */
static void settle(struct connection *connection)
{
    bool over = true;

    for (unsigned i = 0; i < 2 && connection->open; i++) {
        struct way *way = &connection->ways[i];
        bool empty = way->begin == way->end;
        if (struck(way) && empty && (options.fault == FAULT_CUT || options.fault == FAULT_RESET)) {
            close_connection(connection, options.fault == FAULT_RESET);
            return;
        }
        if (way->ended && empty && !way->told) {
            /* A swallowed end is not told either. */
            if (!(struck(way) && options.fault == FAULT_TRUNCATE))
                shutdown(way->to, SHUT_WR);
            way->told = true;
        }
        over = over && way->told;
    }
    if (over && connection->open)
        close_connection(connection, false);
}

/* What is waited for on a connection's two sockets, and until when. */
static void want(struct connection *connection, struct pollfd *fds, int64_t *until)
{
    int64_t at = now();

    for (unsigned i = 0; i < 2; i++) {
        /* Of one that is known to be gone only what it has said is of interest: poll would tell of it for ever. */
        bool heard = connection->ways[1 - i].dead && !reads(&connection->ways[i]);
        fds[i] = (struct pollfd){.fd = connection->open && !heard ? connection->ways[i].from : -1};
    }
    for (unsigned i = 0; i < 2 && connection->open; i++) {
        struct way *way = &connection->ways[i];
        if (reads(way))
            fds[i].events |= POLLIN;
        if (way->begin == way->end)
            continue;
        if (way->due <= at)
            fds[1 - i].events |= POLLOUT;
        else if (way->due < *until)
            *until = way->due;
    }
}

static void act(struct connection *connection, const struct pollfd *fds)
{
    for (unsigned i = 0; i < 2; i++) {
        struct way *way = &connection->ways[i];
        if (reads(way) && (fds[i].revents & (POLLIN | POLLHUP | POLLERR)))
            take(way);
        if (way->begin < way->end && way->due <= now())
            give(way);
        if ((fds[i].revents & (POLLHUP | POLLERR)) == 0)
            continue;
        die(&connection->ways[1 - i]);
        /* An end that is gone while nothing is read from it is told to the other. */
        if (struck(way) && options.fault == FAULT_STALL)
            way->ended = true;
    }
    settle(connection);
}

static bool any_open(void)
{
    for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
        if (connections[i].open)
            return true;
    }
    return false;
}

static void run(int listener)
{
    struct pollfd fds[2 * CONNECTIONS_MAX + 1];

    for (uint64_t accepted = 0; accepted < options.connections || any_open();) {
        int64_t until = INT64_MAX;
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++)
            want(&connections[i], &fds[2 * i], &until);
        fds[2 * CONNECTIONS_MAX] =
            (struct pollfd){.fd = accepted < options.connections ? listener : -1, .events = POLLIN};
        int64_t left = until == INT64_MAX ? -1 : (until - now()) / 1000000 + 1;
        if (poll(fds, 2 * CONNECTIONS_MAX + 1, (int)left) < 0 && errno != EINTR)
            fail("poll");
        for (unsigned i = 0; i < CONNECTIONS_MAX; i++) {
            if (connections[i].open)
                act(&connections[i], &fds[2 * i]);
        }
        if (fds[2 * CONNECTIONS_MAX].revents & POLLIN) {
            accept_one(listener);
            accepted++;
        }
    }
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        argp_table, parse, "LISTEN TARGET", "Carries byte streams, badly.", NULL, NULL, NULL};
    char name[160];

    argp_parse(&argp, argc, argv, 0, NULL, &options);
    int listener = address_listen(options.listen, name, sizeof(name));
    if (listener < 0)
        fail(options.listen);
    printf("%s\n", name);
    fflush(stdout);
    run(listener);
    return 0;
}
