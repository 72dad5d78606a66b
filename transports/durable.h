/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_DURABLE_H
#define DI_TRANSPORTS_DURABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/url.h"
#include "lib/core/pipe.h"
#include "shm/durable.h"
#include "shm/names.h"
#include "transports/identity.h"

/*
 * Durable pipes, shm://name?durable=1: a handle on an end (shm/durable.h), with or without a peer.
 *
 * The messages lie in files, and go on while there is no peer. What comes and goes is the link: a control
 * socket that says that the peer lives, and carries doorbells. The end that listens waits on its
 * socket; the end that dials connects, and where there is nobody, waits for the socket to appear in its
 * directory (inotify). So a pipe does not end by what its peer does: it is CONNECTED or DISCONNECTED.
 *
 *   durable_pipe.c    the handle: messages, contexts, what can be asked
 *   durable_wait.c    how it waits
 *   durable_link.c    the link: found, met, lost
 *   durable_watch.c   what happens to names
 *   durable_meet.c    the handshake
 *   durable_open.c    dial, listen, accept, close
 */

/* What the handle waits for in the loop. */
enum durable_op { OP_LISTEN, OP_MEET, OP_MEET_TIMER, OP_LINK, OP_LINK_PID, OP_WATCH };
enum { OP_DURABLE_COUNT = OP_WATCH + 1 };

struct durable_pipe;
struct durable_listener;

struct durable_op_slot {
    struct di_io_op op; /* first */
    struct durable_pipe *owner;
    int retired; /* its descriptor, to be closed when it has completed; -1: none */
    bool again;  /* submit it once more then: for another descriptor, or deadline */
};

struct durable_peer {
    int socket; /* -1: none */
    uint64_t session;
    struct identity identity;
};

struct durable_pipe {
    struct duct_pipe pipe; /* first */
    struct di_durable *durable;
    struct di_options options;
    bool listening;
    bool given;                        /* to the application: not a dial that was given up */
    struct di_bound bound;             /* of the end that listens; socket -1: none */
    struct durable_listener *listener; /* its handle, while that is open on the same context */
    char path[DI_SOCKET_PATH_MAX + 1];
    int spare; /* of the end that listens: to turn dialers away when no descriptor is left */

    struct durable_peer meeting;
    unsigned meet_step;
    int64_t meet_deadline;     /* until when a meeting may take, or when to look again; 0: none */
    bool meet_slow;            /* it takes longer than a dial should wait for it */
    enum duct_err meet_result; /* of the last meeting that failed */
    char meet_detail[DI_URL_MAX];
    unsigned tries; /* to connect, since something changed */
    struct durable_peer link;
    int watch;         /* inotify; -1: the system gives none, and a timer stands in for it */
    int socket_watch;  /* in it, the directory of the listener's socket */
    int files_watch;   /* in it, that of the files, until the other end's are there; -1: not */
    bool peer_watched; /* in it, the other end's outbox */
    bool name_lost;
    uint64_t close_told; /* the peer's close that the state tells of, by its number; 0: of none */
    uint32_t close_code; /* the last peer's */
    char close_text[DUCT_REASON_MAX];

    struct durable_op_slot ops[OP_DURABLE_COUNT];
    struct di_post post; /* releases by other threads */
    unsigned in_flight;
    bool closing;
    bool detaching;
    uint64_t parks;
    uint64_t heard;
};

extern const struct di_pipe_ops durable_pipe_ops;

static inline struct durable_pipe *durable_of(struct duct_pipe *pipe)
{
    return (struct durable_pipe *)pipe;
}

static inline struct di_sender *sender_of(struct duct_pipe *pipe)
{
    return &durable_of(pipe)->durable->out.sender;
}

static inline bool durable_connected(const struct durable_pipe *self)
{
    return self->link.socket >= 0;
}

/* ---- durable_open.c: what shm:// does with durable=1 ---- */

struct durable_dial;
enum duct_err durable_dial(struct duct_context *context, const struct di_url *url,
                           const struct di_options *options,
                           struct durable_dial **dial) DUCT_NODISCARD;
enum duct_err durable_dial_poll(struct durable_dial *dial, struct duct_pipe **pipe) DUCT_NODISCARD;
void durable_dial_close(struct durable_dial *dial);

enum duct_err durable_listen(struct duct_context *context, const struct di_url *url,
                             const struct di_options *options,
                             struct duct_listener **listener) DUCT_NODISCARD;

/* The pipe of a listener closes: the listener has the socket back. */
void durable_listener_take_back(struct durable_listener *listener, struct di_bound *bound);
/* It goes where the listener cannot follow. */
void durable_listener_forget(struct durable_listener *listener);

/* ---- durable_link.c ---- */

/* Begins to look for a peer. */
void durable_link_start(struct durable_pipe *self);
/* Waits in the loop for everything the handle has open; and no more. */
void durable_link_submit_all(struct durable_pipe *self);
void durable_submit(struct durable_pipe *self, enum durable_op which);
/* In ns from now the meeting's time is over, or, without one, it is time to look for the listener; 0: never. */
void durable_set_timer(struct durable_pipe *self, int64_t ns);
/* Closes a descriptor that an operation may be waiting for, now or when that has completed. */
void durable_retire(struct durable_pipe *self, enum durable_op which, int *fd);
/* The peer is gone, for that reason. */
void durable_link_lost(struct durable_pipe *self, enum duct_err why);
/* A meeting ended: with a link, or with a reason why not. */
void durable_link_made(struct durable_pipe *self);
void durable_meeting_failed(struct durable_pipe *self, enum duct_err err);
/* Reads what the control socket brought. */
void durable_link_read(struct durable_pipe *self);
/* Tells the peer, and hangs up. */
void durable_link_hang_up(struct durable_pipe *self, enum duct_err err, uint32_t code,
                          const char *text);
/* Connects, if there is somebody to connect to; looks for what whoever was there has left. */
void durable_find_listener(struct durable_pipe *self);
/* The latter alone. */
void durable_find_files(struct durable_pipe *self);
void durable_set_state(struct durable_pipe *self, enum duct_state state, enum duct_err why);
/* The peer's orderly close that this end has not dealt with, by its number; 0: none. */
uint64_t durable_peer_finished(const struct durable_pipe *self);
void durable_on_completion(struct di_io_op *op, int result);

/* ---- durable_watch.c ---- */

/* Watches the own file's name, where the listener's socket will be, and the other end's file. */
enum duct_err durable_watch_open(struct durable_pipe *self) DUCT_NODISCARD;
/* Watches the other end's file, once there is one: what is in it is looked at after that. */
void durable_watch_peer(struct durable_pipe *self);
void durable_watch_read(struct durable_pipe *self);

/* Without inotify an end looks for the other from time to time. */
static inline bool durable_looks_by_time(const struct durable_pipe *self)
{
    return self->watch < 0;
}

/* ---- durable_meet.c ---- */

/* Begins over socket, which it takes. */
void durable_meet_begin(struct durable_pipe *self, int socket);
void durable_meet_read(struct durable_pipe *self);
void durable_meet_drop(struct durable_pipe *self);

/* ---- durable_wait.c ---- */

/* What a lane returned: a peer that lies, or files that are damaged, end the pipe. */
enum duct_err durable_result(struct durable_pipe *self, enum duct_err err);
unsigned durable_ready(struct duct_pipe *pipe, unsigned want);
bool durable_spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first);
unsigned durable_arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err);
void durable_disarm(struct duct_pipe *pipe, unsigned want);

/* ---- durable_pipe.c ---- */

/* There is a receiver now, or another thread: sets it up. */
void durable_pipe_adopted(struct duct_pipe *pipe);
void durable_pipe_free(struct durable_pipe *self);

#endif
