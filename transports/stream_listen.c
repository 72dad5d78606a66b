/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "lib/core/listener.h"
#include "transports/stream_dial.h"
#include "transports/stream_meet.h"

/*
 * Listening: accepts connections, shakes hands, and keeps the pipes until the program takes them. What is
 * half-open is bounded by number and by time.
 */

/* Handshakes under way at once, from anywhere: past that the oldest goes. */
#define HALF_OPEN_MAX 1024u

/* Connections taken in one go, so that others have their turn. */
#define TAKE_MAX 64u

/* Lines in the log about peers that were turned away: a flood of them must not become one of lines. */
#define LOG_NS DUCT_SECOND

struct stream_listener {
    struct duct_listener listener; /* first */
    const struct stream_scheme *scheme;
    struct di_options options;
    void *state;                  /* the scheme's */
    struct stream_offers *offers; /* of shared memory; NULL: none */
    int fd;
    int spare; /* a descriptor kept back, to turn peers away when there are no more */
    struct di_io_op op;
    struct di_list meeting; /* struct stream_meet.list: half-open, oldest first */
    struct di_list met;     /* and done, waiting for accept */
    uint32_t meeting_count;
    uint32_t met_count;
    unsigned parts; /* meetings not freed yet, and the operation in flight */
    bool stopped;   /* takes nobody any more */
    bool closed;
    int64_t logged_at;
    uint64_t unlogged;
};

static void free_listener(struct stream_listener *self)
{
    di_io_forget(self->listener.context->io, &self->op);
    if (self->fd >= 0)
        self->scheme->unlisten(self->listener.context->io, self->fd, self->state);
    if (self->spare >= 0)
        close(self->spare);
    di_options_fini(&self->options);
    free(self);
}

static void part_over(struct stream_listener *self)
{
    if (--self->parts == 0 && self->closed)
        free_listener(self);
}

/* Counted always, logged once a second at most. */
static void turned_away(struct stream_listener *self, enum duct_log_level level, const char *why)
{
    int64_t now = di_io_now(self->listener.context->io);

    self->listener.refused++;
    if (self->logged_at != 0 && now - self->logged_at < LOG_NS) {
        self->unlogged++;
        return;
    }
    di_log(level, "%s turned a peer away: %s (and %llu before that were not logged)",
           self->listener.url, why, (unsigned long long)self->unlogged);
    self->logged_at = now;
    self->unlogged = 0;
}

static void on_freed(struct stream_meet *meet)
{
    struct stream_listener *self = meet->user;

    free(meet);
    part_over(self);
}

/* A meeting is not half-open any more; moved: the dialer says that the pipe is elsewhere. */
static void leave(struct stream_listener *self, struct stream_meet *meet, bool moved)
{
    di_list_remove(&meet->list);
    self->meeting_count--;
    if ((meet->shared != NULL || moved) && !self->offers->over(self->offers, meet, moved))
        turned_away(self, DUCT_LOG_WARN, "it says that the pipe moved, and has not proved it");
}

static void drop(struct stream_listener *self, struct stream_meet *meet)
{
    leave(self, meet, false);
    stream_meet_close(meet);
}

static void on_done(struct stream_meet *meet, enum duct_err err)
{
    struct stream_listener *self = meet->user;

    if (err == DUCT_OK && meet->shake.state == DI_SHAKE_MOVED) {
        leave(self, meet, true);
        stream_meet_close(meet);
        return;
    }
    if (err == DUCT_OK && self->met_count < self->options.o.backlog) {
        leave(self, meet, false);
        di_list_append(&self->met, &meet->list);
        self->met_count++;
        return;
    }
    turned_away(self, DUCT_LOG_INFO,
                err != DUCT_OK ? meet->detail : "too many pipes wait to be accepted");
    drop(self, meet);
}

static void meet_one(struct stream_listener *self, int fd)
{
    struct stream_meet *meet = calloc(1, sizeof(*meet));
    struct di_offer *offer = self->offers != NULL ? &self->offers->offer : NULL;

    if (meet == NULL) {
        di_io_close_socket(self->listener.context->io, fd);
        turned_away(self, DUCT_LOG_WARN, "no memory");
        return;
    }
    if (self->meeting_count >= HALF_OPEN_MAX) {
        turned_away(self, DUCT_LOG_INFO, "too many handshakes are under way");
        drop(self, di_container(self->meeting.next, struct stream_meet, list));
    }
    meet->user = self;
    meet->done = on_done;
    meet->freed = on_freed;
    self->parts++;
    self->meeting_count++;
    di_list_append(&self->meeting, &meet->list);
    if (offer != NULL)
        stream_draw_nonce(offer);
    stream_meet_begin(meet, self->listener.context, fd, self->scheme, false, &self->options, offer,
                      self->options.o.handshake_ns);
}

/* No descriptor is left: the spare one lets us take the connection and hang up, instead of leaving it to make the
 * socket readable for ever. */
static void shed(struct stream_listener *self)
{
    struct di_io *io = self->listener.context->io;

    turned_away(self, DUCT_LOG_WARN, "no file descriptor is left; raise RLIMIT_NOFILE");
    if (self->spare < 0)
        return;
    close(self->spare);
    di_io_close_socket(io, di_io_try_accept(io, self->fd));
    self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Takes who has connected, up to so many. True: there may be more. */
static bool take(struct stream_listener *self, unsigned most)
{
    for (unsigned taken = 0; taken < most; taken++) {
        int fd = di_io_try_accept(self->listener.context->io, self->fd);
        if (fd == -EMFILE || fd == -ENFILE)
            shed(self);
        else if (fd >= 0)
            meet_one(self, fd);
        else
            return false;
    }
    return true;
}

/* The address is free for the next listener from here on. */
static void give_up_socket(struct stream_listener *self)
{
    struct di_io *io = self->listener.context->io;

    if (self->fd < 0)
        return;
    di_io_forget(io, &self->op);
    self->scheme->unlisten(io, self->fd, self->state);
    self->fd = -1;
}

static void on_socket(struct di_io_op *op, int result)
{
    struct stream_listener *self = di_container(op, struct stream_listener, op);
    struct di_io *io = self->listener.context->io;

    if (!self->stopped && result >= 0) {
        /* Stopped by the bound and not by EAGAIN: ask anew, or an edge-triggered loop says nothing. */
        if (take(self, TAKE_MAX))
            di_io_forget(io, op);
        self->parts++;
        di_io_submit(io, op);
    } else if (self->stopped) {
        give_up_socket(self);
    }
    part_over(self);
}

static void stop(struct stream_listener *self)
{
    self->stopped = true;
    if (di_listener_recall(&self->listener, &self->op))
        give_up_socket(self);
}

static void shut_down(struct duct_listener *listener)
{
    struct stream_listener *self = (struct stream_listener *)listener;

    take(self, self->options.o.backlog);
    stop(self);
}

static uint32_t under_way(struct duct_listener *listener)
{
    return ((struct stream_listener *)listener)->meeting_count;
}

static enum duct_err accept_next(struct duct_listener *listener, struct duct_pipe **pipe)
{
    struct stream_listener *self = (struct stream_listener *)listener;

    if (di_list_empty(&self->met))
        return DUCT_EAGAIN;
    struct stream_meet *meet = di_container(self->met.next, struct stream_meet, list);
    di_list_remove(&meet->list);
    self->met_count--;
    enum duct_err err = stream_meet_take(meet, pipe);
    stream_meet_close(meet);
    return err;
}

static bool ready(struct duct_listener *listener)
{
    return !di_list_empty(&((struct stream_listener *)listener)->met);
}

static void close_listener(struct duct_listener *listener)
{
    struct stream_listener *self = (struct stream_listener *)listener;

    self->closed = true;
    self->parts++;
    while (!di_list_empty(&self->met)) {
        struct stream_meet *meet = di_container(self->met.next, struct stream_meet, list);
        di_list_remove(&meet->list);
        stream_meet_close(meet);
    }
    while (!di_list_empty(&self->meeting))
        drop(self, di_container(self->meeting.next, struct stream_meet, list));
    stop(self);
    part_over(self);
}

void stream_listener_offer(struct duct_listener *listener, struct stream_offers *offers)
{
    ((struct stream_listener *)listener)->offers = offers;
}

struct stream_meet *stream_listener_told(struct duct_listener *listener, const unsigned char *nonce)
{
    struct stream_listener *self = (struct stream_listener *)listener;

    for (struct di_list *at = self->meeting.next; at != &self->meeting; at = at->next) {
        struct stream_meet *meet = di_container(at, struct stream_meet, list);
        const struct di_shake *shake = &meet->shake;
        if (shake->state == DI_SHAKE_READY && di_shake_offered(shake) &&
            memcmp(shake->own.offer.nonce, nonce, DI_NONCE_SIZE) == 0)
            return meet;
    }
    return NULL;
}

static const struct di_listener_ops listener_ops = {.accept = accept_next,
                                                    .ready = ready,
                                                    .shut_down = shut_down,
                                                    .under_way = under_way,
                                                    .close = close_listener};

enum duct_err stream_listen(struct duct_context *context, const struct stream_scheme *scheme,
                            const struct di_url *url, const struct di_options *options,
                            struct duct_listener **listener)
{
    enum duct_err err = stream_check_options(url, &options->o);
    struct stream_listener *self = err == DUCT_OK ? calloc(1, sizeof(*self)) : NULL;

    if (self == NULL)
        return err != DUCT_OK ? err : di_fail(DUCT_ENOMEMORY, "no memory for a listener");
    if ((err = di_options_copy(&self->options, options)) != DUCT_OK ||
        (err = scheme->listen(context->io, url, options, &self->fd, self->listener.path,
                              sizeof(self->listener.path), &self->state)) != DUCT_OK) {
        di_options_fini(&self->options);
        free(self);
        return err;
    }
    self->scheme = scheme;
    self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    di_list_init(&self->meeting);
    di_list_init(&self->met);
    self->listener.ops = &listener_ops;
    self->listener.context = context;
    self->listener.user = options->o.user;
    snprintf(self->listener.url, sizeof(self->listener.url), "%.15s://%.490s", url->scheme,
             url->rest);
    self->listener.magic = DI_LISTENER_MAGIC;
    di_list_append(&context->listeners, &self->listener.link);
    self->op =
        (struct di_io_op){.done = on_socket, .kind = DI_IO_POLL, .fd = self->fd, .events = POLLIN};
    self->parts++;
    di_io_submit(context->io, &self->op);
    *listener = &self->listener;
    return DUCT_OK;
}
