/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "lib/io/sim_world.h"

/* How connections begin and end: sockets, listeners, the question and its answer, FIN and RST. */

/* A question without an answer is asked again after 1, 2, 4, … s, and given up after the last. */
#define ASK_AGAIN_NS ((int64_t)1000000000)
#define ASKED_MAX    6

static struct di_sim *sim_of(struct di_io *io)
{
    return ((struct sim_loop *)io)->sim;
}

struct sim_end *sim_end_peer(struct sim_end *end)
{
    return &end->link->ends[end == &end->link->ends[0]];
}

static bool init_end(struct sim_end *end, struct di_sim *sim, struct sim_link *link)
{
    end->sim = sim;
    end->link = link;
    end->dead_at = SIM_NEVER;
    end->event.deadline = SIM_NEVER;
    end->capacity = sim->plan.buffer;
    end->ring = malloc(end->capacity);
    return end->ring != NULL;
}

static void free_link(struct sim_link *link)
{
    for (unsigned i = 0; i < 2; i++) {
        sim_event_at(&link->ends[i], SIM_NEVER);
        free(link->ends[i].ring);
    }
    free(link);
}

static struct sim_link *make_link(struct di_sim *sim)
{
    struct sim_link *link = calloc(1, sizeof(*link));

    if (link == NULL)
        return NULL;
    bool made = init_end(&link->ends[0], sim, link);
    if (!init_end(&link->ends[1], sim, link) || !made) {
        free_link(link);
        return NULL;
    }
    link->number = UINT32_MAX;
    link->ends[0].dialer = true;
    link->ends[0].state = SIM_FRESH;
    return link;
}

int sim_open_socket(struct di_io *io, int family)
{
    struct di_sim *sim = sim_of(io);
    struct sim_link *link = family == AF_UNIX ? make_link(sim) : NULL;

    if (link == NULL)
        return family == AF_UNIX ? -ENOMEM : -EAFNOSUPPORT;
    int fd = sim_fd_open(sim, &link->ends[0], NULL);
    if (fd < 0)
        free_link(link);
    else
        di_sim_note(sim, "socket", fd - SIM_FD_FIRST, 0);
    return fd;
}

int sim_dup_socket(struct di_io *io, int fd)
{
    struct di_sim *sim = sim_of(io);
    struct sim_fd *known = sim_fd_of(sim, fd);

    if (known == NULL || known->end == NULL)
        return -EBADF;
    return known->end->fd_count < SIM_FDS_OF_END ? sim_fd_open(sim, known->end, NULL) : -EMFILE;
}

/* ---- Listeners ---- */

static struct sim_listener *find_listener(struct di_sim *sim, const char *name)
{
    struct sim_listener *at = sim->listeners;

    while (at != NULL && strcmp(at->name, name) != 0)
        at = at->next;
    return at;
}

int di_sim_listen(struct di_io *io, const char *name, uint32_t backlog)
{
    struct di_sim *sim = sim_of(io);

    if (strlen(name) >= SIM_NAME)
        return -ENAMETOOLONG;
    if (find_listener(sim, name) != NULL)
        return -EADDRINUSE;
    struct sim_listener *self = calloc(1, sizeof(*self));
    struct sim_end **queue = calloc(backlog + 1, sizeof(struct sim_end *));
    int fd = self != NULL && queue != NULL ? sim_fd_open(sim, NULL, self) : -ENOMEM;
    if (fd < 0) {
        free(self);
        free(queue);
        return fd;
    }
    snprintf(self->name, sizeof(self->name), "%s", name);
    self->fd = fd;
    self->backlog = backlog + 1; /* as the kernel counts */
    self->queue = queue;
    self->next = sim->listeners;
    sim->listeners = self;
    return fd;
}

int sim_accept(struct di_io *io, int fd)
{
    struct di_sim *sim = sim_of(io);
    struct sim_fd *known = sim_fd_of(sim, fd);

    if (known == NULL || known->listener == NULL)
        return -EBADF;
    struct sim_listener *listener = known->listener;
    if (listener->count == 0)
        return -EAGAIN;
    struct sim_end *end = listener->queue[0];
    int taken = sim_fd_open(sim, end, NULL);
    if (taken < 0)
        return taken;
    listener->count--;
    memmove(listener->queue, listener->queue + 1, listener->count * sizeof(listener->queue[0]));
    di_sim_note(sim, "accepted", end->link->number, taken - SIM_FD_FIRST);
    return taken;
}

/* ---- Connecting ---- */

socklen_t di_sim_address(struct sockaddr_storage *address, const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", name);
    memset(address, 0, sizeof(*address));
    memcpy(address, &at, sizeof(at));
    return sizeof(at);
}

static void begin(struct sim_link *link, struct di_sim *sim)
{
    link->number = sim->connections++;
    link->ends[1].state = SIM_CONNECTED;
}

int64_t sim_connect(struct sim_end *end, const struct sockaddr *address)
{
    const struct sockaddr_un *at = (const void *)address;

    if (end->state != SIM_FRESH)
        return end->state == SIM_CONNECTED ? -EISCONN : -EALREADY;
    snprintf(end->asks_for, sizeof(end->asks_for), "%.*s", SIM_NAME - 1, at->sun_path);
    end->state = SIM_CONNECTING;
    end->answer_at = end->sim->now + sim_travel(end->sim);
    sim_happens(end);
    return sim_connected(end);
}

static void known_at(struct sim_end *end, int answer, int64_t at)
{
    end->state = SIM_ANSWERED;
    end->answer = answer;
    end->answer_at = at;
}

/* The question has reached whoever listens there, if anybody. */
static void ask(struct sim_end *end)
{
    struct di_sim *sim = end->sim;
    struct sim_listener *listener = find_listener(sim, end->asks_for);
    struct sim_end *other = sim_end_peer(end);
    int64_t back = sim->now + sim_travel(sim);
    bool lost = strcmp(end->asks_for, DI_SIM_HOLE) == 0;

    if (!lost && (listener == NULL || sim_odds(sim, sim->plan.refused))) {
        known_at(end, ECONNREFUSED, back);
    } else if (lost || listener->count >= listener->backlog ||
               sim_odds(sim, sim->plan.unanswered)) {
        end->answer_at = sim->now + (ASK_AGAIN_NS << end->asked);
        if (++end->asked > ASKED_MAX)
            known_at(end, ETIMEDOUT, sim->now);
    } else {
        begin(end->link, sim);
        other->last_at = sim->now;
        end->last_at = back; /* nothing from there comes before the answer */
        listener->queue[listener->count++] = other;
        known_at(end, 0, back);
        di_sim_note(sim, "connecting", end->link->number, 0);
        struct sim_fd *fd = sim_fd_of(sim, listener->fd);
        if (fd != NULL)
            sim_edge(fd);
    }
}

void sim_answer(struct sim_end *end)
{
    if (end->state == SIM_CONNECTING)
        ask(end);
    if (end->state != SIM_ANSWERED || end->answer_at > end->sim->now)
        return;
    if (end->answer == 0) {
        end->state = SIM_CONNECTED;
        return;
    }
    end->answer_at = SIM_NEVER;
    end->error = end->answer;
    end->dead = true;
}

int64_t sim_connected(struct sim_end *end)
{
    int error = end->error;

    if (error != 0) {
        end->error = 0;
        return -error;
    }
    if (end->dead)
        return -ECONNREFUSED;
    return end->state == SIM_CONNECTED ? 0 : -EAGAIN;
}

void di_sim_pair(struct di_io *io, int fds[2])
{
    struct di_sim *sim = sim_of(io);
    struct sim_link *link = make_link(sim);

    fds[0] = fds[1] = -1;
    if (link == NULL)
        return;
    begin(link, sim);
    link->ends[0].state = SIM_CONNECTED;
    for (unsigned i = 0; i < 2; i++)
        fds[i] = sim_fd_open(sim, &link->ends[i], NULL);
}

/* ---- The end ---- */

/* Behind everything that was sent. */
static void send_fin(struct sim_end *end, int64_t at)
{
    struct sim_end *peer = sim_end_peer(end);

    if (end->shut)
        return;
    end->shut = true;
    peer->fin = SIM_FIN_COMING;
    peer->last_at = at > peer->last_at ? at : peer->last_at;
    peer->fin_at = end->cut || peer->lost ? SIM_NEVER : peer->last_at;
}

/* Nobody has this end any more: the other one learns of it. */
static void close_end(struct sim_end *end)
{
    struct di_sim *sim = end->sim;
    struct sim_end *peer = sim_end_peer(end);
    int64_t news = sim->now + sim_travel(sim);

    di_sim_note(sim, "closed", end->link->number, end->there);
    end->state = SIM_CLOSED;
    sim_event_at(end, SIM_NEVER);
    if (peer->state == SIM_CLOSED) {
        free_link(end->link);
        return;
    }
    if (end->cut || end->dead)
        return;
    if (news < peer->last_at)
        news = peer->last_at;
    if (end->there > 0) {
        sim_break(end->link, ECONNRESET, news);
        return;
    }
    send_fin(end, news);
    /* What was on its way here finds nobody, and is answered with a reset. */
    if (end->count > 0)
        sim_break(end->link, ECONNRESET, (end->last_at > news ? end->last_at : news) + 1);
    sim_happens(peer);
}

void sim_shut_socket(struct di_io *io, int fd)
{
    struct di_sim *sim = sim_of(io);
    struct sim_fd *known = sim_fd_of(sim, fd);

    if (known == NULL || known->end == NULL) {
        sim_fault(sim, "a descriptor was shut that is none", fd);
        return;
    }
    if (known->end->state != SIM_CONNECTED || known->end->dead)
        return;
    send_fin(known->end, sim->now + sim_travel(sim));
    sim_happens(sim_end_peer(known->end));
}

static void close_listener(struct sim_listener *listener, struct di_sim *sim)
{
    struct sim_listener **at = &sim->listeners;

    while (*at != listener)
        at = &(*at)->next;
    *at = listener->next;
    for (uint32_t i = 0; i < listener->count; i++) {
        sim_break(listener->queue[i]->link, ECONNRESET, sim->now + sim_travel(sim));
        close_end(listener->queue[i]);
    }
    free(listener->queue);
    free(listener);
}

void sim_close_socket(struct di_io *io, int fd)
{
    struct di_sim *sim = sim_of(io);
    struct sim_fd *known = sim_fd_of(sim, fd);

    if (fd < 0)
        return;
    if (known == NULL) {
        sim_fault(sim, "a descriptor was closed that is not open", fd);
        return;
    }
    struct sim_end *end = known->end;
    struct sim_listener *listener = known->listener;
    sim_fd_close(sim, known);
    if (listener != NULL)
        close_listener(listener, sim);
    else if (end->fd_count == 0)
        close_end(end);
}
