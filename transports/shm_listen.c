/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/shm_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "lib/core/context.h"
#include "lib/core/listener.h"
#include "shm/names.h"
#include "transports/durable.h"
#include "transports/rendezvous.h"
#include "transports/shm_pipe.h"

/*
 * Listening: accepts sockets, meets whoever is at the other end, and keeps the pipes until they are
 * accepted. What is half-open is bounded by number and by time.
 */

/* Handshakes under way at once. Past that one goes: see victim(). */
#define HALF_OPEN_MAX 64u

struct shm_listener {
    struct duct_listener listener; /* first */
    struct di_bound bound;
    struct di_options options;
    struct di_io_op socket_op;
    int spare;              /* a descriptor kept back, to turn peers away when there are no more */
    struct di_list meeting; /* struct rendezvous.list: half-open, oldest first */
    struct di_list met;     /* and done, waiting for accept */
    struct rendezvous_prover *prover;
    uint32_t meeting_count;
    uint32_t met_count;
    unsigned parts; /* rendezvous not freed yet, and the operation in flight */
    bool deaf;      /* its socket could not be watched: accept says so, and tries again */
    bool stopped;   /* takes nobody any more */
    bool closed;
};

static void free_listener(struct shm_listener *self)
{
    di_names_unbind(&self->bound);
    if (self->spare >= 0)
        close(self->spare);
    di_options_fini(&self->options);
    free(self);
}

static void part_over(struct shm_listener *self)
{
    if (--self->parts == 0 && self->closed)
        free_listener(self);
}

static void on_freed(struct rendezvous *rendezvous)
{
    struct shm_listener *self = rendezvous->user;

    free(rendezvous);
    part_over(self);
}

static void drop(struct shm_listener *self, struct rendezvous *rendezvous)
{
    if (rendezvous->told != NULL)
        self->prover->gone(self->prover, rendezvous);
    di_list_remove(&rendezvous->list);
    self->meeting_count--;
    rendezvous_close(rendezvous);
}

static void turn_away(struct shm_listener *self, struct rendezvous *rendezvous, const char *why)
{
    self->listener.refused++;
    di_log(DUCT_LOG_INFO, "%s turned a peer away: %s", self->listener.url, why);
    drop(self, rendezvous);
}

/* Its handshake is complete: it waits for accept from now on. */
static void admit(struct shm_listener *self, struct rendezvous *rendezvous)
{
    if (self->met_count >= self->options.o.backlog) {
        turn_away(self, rendezvous, "too many pipes wait to be accepted");
        return;
    }
    di_list_remove(&rendezvous->list);
    self->meeting_count--;
    di_list_append(&self->met, &rendezvous->list);
    self->met_count++;
}

static void on_done(struct rendezvous *rendezvous, enum duct_err err)
{
    struct shm_listener *self = rendezvous->user;

    if (err != DUCT_OK)
        turn_away(self, rendezvous, rendezvous->detail);
    else if (rendezvous->told == NULL)
        admit(self, rendezvous);
    /* Else whoever told the nonce says what becomes of it. */
}

/* Who connected, as the kernel noted then: for our bookkeeping only, since who the peer is, its HELLO says. */
static pid_t dialer_of(int socket)
{
    struct ucred credentials = {.pid = 0};
    socklen_t size = sizeof(credentials);

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return 0;
    return credentials.pid;
}

static unsigned half_open_of(struct shm_listener *self, pid_t dialer)
{
    unsigned count = 0;

    for (struct di_list *at = self->meeting.next; at != &self->meeting; at = at->next)
        count += di_container(at, struct rendezvous, list)->dialer_pid == dialer;
    return count;
}

/*
 * Which half-open one has to go for one more of newcomer's: the oldest of the process that has the most, the
 * newcomer counted, and of several such the oldest of all. So a process that floods pushes out itself, and one
 * that dials once waits beside any number of those. Squares of HALF_OPEN_MAX, and only when it is reached.
 */
static struct rendezvous *victim(struct shm_listener *self, pid_t newcomer)
{
    struct rendezvous *found = NULL;
    unsigned most = 0;

    for (struct di_list *at = self->meeting.next; at != &self->meeting; at = at->next) {
        struct rendezvous *one = di_container(at, struct rendezvous, list);
        unsigned count =
            half_open_of(self, one->dialer_pid) + (one->dialer_pid == newcomer ? 1 : 0);
        if (count > most) {
            most = count;
            found = one;
        }
    }
    return found;
}

/* Half-open ones have room for one more. What is pushed out is told that it may come again. */
static void make_room(struct shm_listener *self, pid_t newcomer)
{
    if (self->meeting_count < HALF_OPEN_MAX)
        return;
    struct rendezvous *out = victim(self, newcomer);
    self->listener.refused++;
    rendezvous_put_off(out);
    drop(self, out);
}

static void meet(struct shm_listener *self, int socket)
{
    struct rendezvous *rendezvous = calloc(1, sizeof(*rendezvous));

    if (rendezvous == NULL) {
        close(socket);
        self->listener.refused++;
        return;
    }
    rendezvous->dialer_pid = dialer_of(socket);
    make_room(self, rendezvous->dialer_pid);
    rendezvous->user = self;
    rendezvous->prover = self->prover;
    rendezvous->done = on_done;
    rendezvous->freed = on_freed;
    if (rendezvous_begin(rendezvous, self->listener.context, socket, false, &self->options,
                         self->options.o.handshake_ns) != DUCT_OK) {
        free(rendezvous);
        self->listener.refused++;
        return;
    }
    self->parts++;
    self->meeting_count++;
    di_list_append(&self->meeting, &rendezvous->list);
}

/* No descriptor is left: the spare one lets us take the connection and hang up, instead of leaving
 * it to make the socket readable for ever. */
static void shed(struct shm_listener *self)
{
    self->listener.refused++;
    di_log(DUCT_LOG_WARN, "%s turned a peer away: no file descriptor is left; raise RLIMIT_NOFILE",
           self->listener.url);
    if (self->spare < 0)
        return;
    close(self->spare);
    int socket = accept4(self->bound.socket, NULL, NULL, SOCK_CLOEXEC);
    if (socket >= 0) {
        di_control_hang_up(socket);
        close(socket);
    }
    self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void submit(struct shm_listener *self)
{
    self->parts++;
    di_io_submit(self->listener.context->io, &self->socket_op);
}

/* Takes who has connected, up to so many. True: there is nobody more. */
static bool take(struct shm_listener *self, unsigned most)
{
    for (unsigned taken = 0; taken < most; taken++) {
        int socket = accept4(self->bound.socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (socket >= 0) {
            DI_CRASH_POINT("accept.taken");
            meet(self, socket);
        } else if (errno == EMFILE || errno == ENFILE) {
            shed(self);
            return false;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return errno == EAGAIN;
        }
    }
    return false;
}

/* The address is free for the next listener from here on. */
static void give_up_socket(struct shm_listener *self)
{
    if (self->bound.socket < 0)
        return;
    di_io_forget(self->listener.context->io, &self->socket_op);
    di_names_unbind(&self->bound);
}

static void on_socket(struct di_io_op *op, int result)
{
    struct shm_listener *self = di_container(op, struct shm_listener, socket_op);

    self->deaf = result == DI_IO_FAILED;
    if (!self->stopped && result >= 0) {
        /* Stopped before EAGAIN, by the bound or for want of something: ask anew, or an edge-triggered
         * loop says nothing of who waits there. */
        if (!take(self, HALF_OPEN_MAX))
            di_io_forget(self->listener.context->io, &self->socket_op);
        submit(self);
    } else if (self->stopped) {
        give_up_socket(self);
    }
    part_over(self);
}

static void stop(struct shm_listener *self)
{
    self->stopped = true;
    if (di_listener_recall(&self->listener, &self->socket_op))
        give_up_socket(self);
}

static void shut_down(struct duct_listener *listener)
{
    struct shm_listener *self = (struct shm_listener *)listener;

    take(self, self->options.o.backlog);
    stop(self);
}

static uint32_t under_way(struct duct_listener *listener)
{
    return ((struct shm_listener *)listener)->meeting_count;
}

static enum duct_err accept_next(struct duct_listener *listener, struct duct_pipe **pipe)
{
    struct shm_listener *self = (struct shm_listener *)listener;

    if (di_list_empty(&self->met) && self->deaf) {
        self->deaf = false;
        submit(self);
        return di_fail(DUCT_ELIMIT, "%s: " DI_IO_FAILED_TEXT, listener->url);
    }
    if (di_list_empty(&self->met))
        return DUCT_EAGAIN;
    struct rendezvous *rendezvous = di_container(self->met.next, struct rendezvous, list);
    di_list_remove(&rendezvous->list);
    self->met_count--;
    struct link *link = rendezvous_take_link(rendezvous);
    rendezvous_close(rendezvous);
    DI_CRASH_POINT("accept.begun");
    enum duct_err err = shm_pipe_start(pipe, link, listener->context, &self->options.o);
    if (err != DUCT_OK)
        link_release(link);
    return err;
}

static bool ready(struct duct_listener *listener)
{
    const struct shm_listener *self = (const struct shm_listener *)listener;

    return self->deaf || !di_list_empty(&self->met);
}

static void close_listener(struct duct_listener *listener)
{
    struct shm_listener *self = (struct shm_listener *)listener;

    self->closed = true;
    self->parts++;
    while (!di_list_empty(&self->met)) {
        struct rendezvous *rendezvous = di_container(self->met.next, struct rendezvous, list);
        di_list_remove(&rendezvous->list);
        rendezvous_close(rendezvous);
    }
    while (!di_list_empty(&self->meeting))
        drop(self, di_container(self->meeting.next, struct rendezvous, list));
    stop(self);
    part_over(self);
}

void shm_listener_prove(struct duct_listener *listener, struct rendezvous_prover *prover)
{
    ((struct shm_listener *)listener)->prover = prover;
}

bool shm_listener_admit(struct duct_listener *listener, struct rendezvous *rendezvous)
{
    if (!rendezvous->finished || rendezvous->result != DUCT_OK)
        return false;
    admit((struct shm_listener *)listener, rendezvous);
    return true;
}

void shm_listener_drop(struct duct_listener *listener, struct rendezvous *rendezvous)
{
    drop((struct shm_listener *)listener, rendezvous);
}

static const struct di_listener_ops listener_ops = {.accept = accept_next,
                                                    .ready = ready,
                                                    .shut_down = shut_down,
                                                    .under_way = under_way,
                                                    .close = close_listener};

/* Others than our own uid may connect only if the options name them. */
static bool open_to_others(const struct duct_options *options)
{
    for (size_t i = 0; i < options->allow_uid_count; i++) {
        if (options->allow_uids[i] != geteuid())
            return true;
    }
    return false;
}

enum duct_err shm_listen(struct duct_context *context, const struct di_url *url,
                         const struct di_options *options, struct duct_listener **listener)
{
    char path[DI_SOCKET_PATH_MAX + 1];

    if (options->o.durable == DUCT_YES)
        return durable_listen(context, url, options, listener);
    enum duct_err err = di_names_path(path, sizeof(path), url, true);

    if (err != DUCT_OK)
        return err;
    struct shm_listener *self = calloc(1, sizeof(*self));
    if (self == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a listener");
    self->bound.socket = self->bound.lock = -1;
    if ((err = di_options_copy(&self->options, options)) != DUCT_OK ||
        (err = di_names_bind(&self->bound, path, open_to_others(&options->o),
                             (int)options->o.backlog)) != DUCT_OK) {
        di_options_fini(&self->options);
        free(self);
        return err;
    }
    DI_CRASH_POINT("listen.bound");
    self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    di_list_init(&self->meeting);
    di_list_init(&self->met);
    self->listener.ops = &listener_ops;
    self->listener.context = context;
    self->listener.user = options->o.user;
    snprintf(self->listener.url, sizeof(self->listener.url), "%.15s://%.490s", url->scheme,
             url->rest);
    snprintf(self->listener.path, sizeof(self->listener.path), "%s", path);
    self->listener.magic = DI_LISTENER_MAGIC;
    di_list_append(&context->listeners, &self->listener.link);
    self->socket_op = (struct di_io_op){
        .done = on_socket, .kind = DI_IO_POLL, .fd = self->bound.socket, .events = POLLIN};
    submit(self);
    *listener = &self->listener;
    return DUCT_OK;
}
