/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_SIM_H
#define DI_IO_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/io/io.h"

/*
 * The simulated backend: a world with a clock, a network and sockets of its own, in which everything that may
 * happen to a program does happen, and happens again when the seed is given again. For tests only; the library
 * that programs link does not have it.
 *
 * A world belongs to one thread. It has any number of loops, each of which keeps the contract of lib/io/io.h.
 * Its clock stands still while anybody runs and jumps to the next event when all sleep. Who runs when is for the
 * one who called di_sim_on_idle(): tests/sim/nodes.h has programs that take turns. Without that, a loop that
 * sleeps moves the world by itself.
 *
 * Connections are as TCP's: bytes arrive in order, late, in pieces; a close with bytes unread, or bytes for a
 * socket that is closed, reset the connection; what was received before a reset is still read.
 */

/* One of many things that may go wrong, as its probability in a thousand. */
typedef uint16_t di_sim_odds;

enum di_sim_fate {
    DI_SIM_RESET = 1, /* both ends are told */
    DI_SIM_CUT,       /* nobody is told: bytes vanish, and the kernel gives up after silence_ns */
    DI_SIM_STALL      /* nothing arrives for stall_ns */
};

/* What becomes of a connection once so many bytes went in one direction. */
struct di_sim_trap {
    enum di_sim_fate fate; /* 0: none */
    uint32_t connection;   /* in the order in which they were made, from 0 */
    bool to_dialer;        /* or to the listener */
    uint64_t after;        /* the byte that is lost first */
};

enum { DI_SIM_TRAPS = 4 };

/* How the world treats its inhabitants. All zero: as kindly as a world can, and at once. */
struct di_sim_plan {
    int64_t delay_ns;    /* of every packet */
    int64_t jitter_ns;   /* and up to so much more */
    uint32_t buffer;     /* bytes on the way and unread, in each direction; 0: 64 KiB */
    uint32_t packet_max; /* bytes that arrive together; 0: as sent */
    uint32_t send_max;   /* bytes that one call moves; 0: all it can */
    uint32_t recv_max;
    uint32_t sockets_max; /* descriptors there are; 0: no limit */
    int64_t silence_ns;   /* a cut connection ends with ETIMEDOUT after so long; 0: half a minute */
    int64_t stall_ns;
    int64_t step_max_ns; /* of a jump of the clock */
    bool harsh;          /* what was received before a reset, and not read, is lost with it */
    bool edges;          /* a poll tells of what is new only, as epoll's */
    bool polls;          /* the loops cannot receive by themselves (DI_IO_CAN_TAKE) */
    bool unordered;      /* completions of one round come in any order */
    struct di_sim_trap traps[DI_SIM_TRAPS];

    di_sim_odds send_again; /* EAGAIN though there was room */
    di_sim_odds recv_again;
    di_sim_odds interrupted;       /* a wait ends early, as if woken: EINTR */
    di_sim_odds late;              /* a completion waits for the next round: a full queue */
    di_sim_odds poll_fails;        /* no memory to watch one more descriptor */
    di_sim_odds no_buffers;        /* ENOBUFS when bytes are to be sent */
    di_sim_odds socket_fails;      /* EMFILE for a socket, a dup or an accept */
    di_sim_odds outrun;            /* bytes come just when their receive is cancelled */
    di_sim_odds ahead;             /* a connection is accepted before anybody asks for it */
    di_sim_odds refused;           /* a connection, though there is a listener */
    di_sim_odds unanswered;        /* and nothing comes back at all */
    di_sim_odds reset, cut, stall; /* a packet meets its fate */
    di_sim_odds clock_steps;       /* the clock jumps when it moves */
};

struct di_sim;

/* plan is copied. Errors: NOMEMORY. */
enum duct_err di_sim_open(struct di_sim **sim, uint64_t seed,
                          const struct di_sim_plan *plan) DUCT_NODISCARD;

/* Every loop is closed. What was left open is a fault: see di_sim_fault(). */
void di_sim_close(struct di_sim *sim);

/* One more loop, closed with di_io_close(). Errors: NOMEMORY. */
enum duct_err di_sim_loop(struct di_sim *sim, struct di_io **io) DUCT_NODISCARD;

/* A listening socket under that name: a descriptor, or a negative errno. */
int di_sim_listen(struct di_io *io, const char *name, uint32_t backlog);

/* The name of an address that swallows every question. */
#define DI_SIM_HOLE "hole"

/* The address of that name, for CONNECT; up to 100 bytes. */
socklen_t di_sim_address(struct sockaddr_storage *address, const char *name);

/* Two ends that are connected. */
void di_sim_pair(struct di_io *io, int fds[2]);

/*
 * The rest is for whoever conducts the world.
 *
 * idle() is called by a loop with nothing to do until something is ready or the time is `until` (INT64_MAX: no
 * such time), and returns when it may look again; often without reason is fine, never is not. io is NULL where only
 * time may pass.
 */
typedef void di_sim_idle_fn(void *user, struct di_io *io, int64_t until);
void di_sim_on_idle(struct di_sim *sim, di_sim_idle_fn *idle, void *user);

/* Whether the loop has something to run now. */
bool di_sim_ready(struct di_io *io);

/* When something happens next in the network, or in a loop; INT64_MAX: never. */
int64_t di_sim_next(struct di_sim *sim);
int64_t di_sim_loop_next(struct di_io *io);

/* Moves the clock to that time, or beyond it where it jumps, and has happen what is due. */
void di_sim_move(struct di_sim *sim, int64_t to);

/* Every connection that is made meets that fate now, with what is on its way: RESET or CUT. */
void di_sim_strike(struct di_sim *sim, enum di_sim_fate fate);

int64_t di_sim_now(const struct di_sim *sim);

/* From the world's one source of chance: below `below`, which is not 0. */
uint64_t di_sim_random(struct di_sim *sim, uint64_t below);

/* Everything that happened goes into a number, so that two runs can be compared. */
void di_sim_note(struct di_sim *sim, const char *what, int64_t a, int64_t b);
uint64_t di_sim_history(const struct di_sim *sim);

/* note() is also called with each of these. */
typedef void di_sim_watch_fn(void *user, int64_t now, const char *what, int64_t a, int64_t b);
void di_sim_on_note(struct di_sim *sim, di_sim_watch_fn *watch, void *user);

/* The first breach of the contract by a user of the loops, in words; NULL: none. */
const char *di_sim_fault(const struct di_sim *sim);

/* What there is now, and the faults of the network up to now. */
struct di_sim_count {
    uint32_t sockets;     /* descriptors that are open */
    uint32_t connections; /* made up to now */
    uint32_t cuts, resets, steps;
    uint64_t bytes; /* sent */
};
struct di_sim_count di_sim_counted(const struct di_sim *sim);

/* The world of the loop opened by di_io_open(): one of its own, kind, with seed 1. */
extern const struct di_io_backend di_io_sim;
struct di_sim *di_sim_of(struct di_io *io);

#endif
