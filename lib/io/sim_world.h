/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_SIM_WORLD_H
#define DI_IO_SIM_WORLD_H

#include "lib/io/due.h"
#include "lib/io/sim.h"

/*
 * The insides of a simulated world: sim_world.c has its clock, its chance and its descriptors, sim_net.c the
 * sockets and what travels between them, sim_link.c how connections begin and end, sim.c the loops.
 */

/* The first descriptor: beyond any that the kernel gives out, so that one that strays into a system call fails. */
#define SIM_FD_FIRST (1 << 24)

#define SIM_NEVER INT64_MAX

/* What is on the way to one end at a time; a sender waits while there is more. */
enum { SIM_PACKETS = 64, SIM_FDS_OF_END = 4, SIM_NAME = 104 };

struct sim_packet {
    uint32_t size;
    int64_t at; /* when it arrives; SIM_NEVER: it is lost */
};

enum sim_state {
    SIM_CLOSED,     /* nobody has it */
    SIM_FRESH,      /* a socket and no more */
    SIM_CONNECTING, /* asking */
    SIM_ANSWERED,   /* the answer is on its way */
    SIM_CONNECTED
};

enum sim_fin { SIM_FIN_NONE, SIM_FIN_COMING, SIM_FIN_HERE };

struct sim_end {
    struct di_io_op
        event; /* first: in the world's heap, at the time when something happens to this end */
    struct di_sim *sim;
    struct sim_link *link;
    enum sim_state state;
    bool dialer;
    int fds[SIM_FDS_OF_END]; /* open on it; SIM_FD_FIRST and above */
    unsigned fd_count;

    /* What comes in: bytes of a ring, `there` of which may be read. */
    unsigned char *ring;
    uint32_t capacity, start, there, coming;
    struct sim_packet packets[SIM_PACKETS];
    unsigned first, count;
    int64_t last_at; /* when the last packet arrives: none overtakes */
    enum sim_fin fin;
    int64_t fin_at;
    uint64_t passed; /* bytes ever sent to this end */

    int64_t answer_at; /* CONNECTING: when to ask again; ANSWERED: when it is known */
    unsigned asked;
    int answer;      /* errno of the answer */
    int64_t dead_at; /* when the connection ends with dead_of */
    int dead_of;
    int error; /* not yet told */
    bool dead;
    bool cut;
    bool lost;          /* nothing more arrives here: a reset is on its way */
    bool shut;          /* its FIN is on its way */
    bool full;          /* a send found no room: it is told when there is some */
    int64_t deaf_until; /* a receive was told EAGAIN */
    int64_t dumb_until; /* a send was */
    char asks_for[SIM_NAME];
};

/* A connection: both ends live until neither is open. */
struct sim_link {
    struct sim_end ends[2]; /* the dialer's, the listener's */
    uint32_t number;        /* of connections, from 0 */
};

struct sim_listener {
    struct sim_listener *next;
    char name[SIM_NAME];
    int fd;
    uint32_t backlog;
    uint32_t count;
    struct sim_end **queue;
};

struct sim_loop {
    struct di_io io;
    struct di_sim *sim;
    struct di_due due;
    struct di_list waiting;     /* operations in flight without a result */
    struct di_buffers *buffers; /* what RECV_ANY receives into, or NULL */
    struct di_list receptions;  /* of operations for which something waits to be taken */
    bool woken;
    unsigned looks; /* at the clock, since the last wait that was one */
    bool own_world; /* closed with it */
};

struct sim_fd {
    struct sim_end *end; /* or */
    struct sim_listener *listener;
    struct di_io_op *op; /* registered */
    struct sim_loop *loop;
};

struct di_sim {
    struct di_sim_plan plan;
    int64_t now;
    uint64_t chance;
    uint64_t history;
    struct di_timers events;
    struct sim_fd *fds;
    uint32_t fd_room;
    struct sim_listener *listeners;
    uint32_t loops;
    uint32_t connections;
    struct di_sim_count count;
    di_sim_idle_fn *idle;
    void *idle_user;
    di_sim_watch_fn *watch;
    void *watch_user;
    char fault[160];
};

/* ---- sim_world.c ---- */

bool sim_odds(struct di_sim *sim, di_sim_odds odds);
void sim_fault(struct di_sim *sim, const char *what, int64_t which);

/* A new descriptor, or -EMFILE. */
int sim_fd_open(struct di_sim *sim, struct sim_end *end, struct sim_listener *listener);
/* NULL: there is no such descriptor. */
struct sim_fd *sim_fd_of(struct di_sim *sim, int fd);
void sim_fd_close(struct di_sim *sim, struct sim_fd *fd);

/* Sets when something happens to the end next; SIM_NEVER: nothing. */
void sim_event_at(struct sim_end *end, int64_t at);

/* ---- sim_net.c ---- */

/* POLLIN and friends, as far as they are in events; errors always. */
uint32_t sim_readiness(const struct sim_fd *fd, uint32_t events);
int64_t sim_send(struct sim_end *end, const struct iovec *pieces, uint32_t count);
int64_t sim_recv(struct sim_end *end, const struct iovec *pieces, uint32_t count);
/* Has arrive what is due, and sets the time of what is next. */
void sim_happens(struct sim_end *end);
void sim_schedule(struct sim_end *end);
/* What is on the way comes now. */
void sim_hurry(struct sim_end *end);
/* Both ends learn of it, as the news travels. */
void sim_break(struct sim_link *link, int error, int64_t at);
int64_t sim_travel(struct di_sim *sim);

/* ---- sim_link.c ---- */

int sim_open_socket(struct di_io *io, int family);
int sim_dup_socket(struct di_io *io, int fd);
void sim_shut_socket(struct di_io *io, int fd);
void sim_close_socket(struct di_io *io, int fd);
int sim_accept(struct di_io *io, int fd);
/* Asks for the connection, and then whether there is one: 0, -EAGAIN, or a negative errno. */
int64_t sim_connect(struct sim_end *end, const struct sockaddr *address);
int64_t sim_connected(struct sim_end *end);
/* The question has arrived, or the answer. */
void sim_answer(struct sim_end *end);
struct sim_end *sim_end_peer(struct sim_end *end);

/* ---- sim.c ---- */

/* Something is new at that descriptor: operations in flight look again. */
void sim_edge(struct sim_fd *fd);
void sim_edge_end(struct sim_end *end);

#endif
