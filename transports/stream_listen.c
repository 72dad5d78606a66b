/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/log.h"
#include "lib/core/listener.h"
#include "transports/stream_away.h"
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

/* When the system has no room for a connection, and none to hang up with: the next look at the queue. */
#define PAUSE_NS (100 * DUCT_MILLISECOND)

#define TOO_MANY_WAIT "too many pipes wait to be accepted"

struct stream_listener {
    struct duct_listener listener; /* first */
    const struct stream_scheme *scheme;
    struct di_options options;
    void *state;                  /* the scheme's */
    struct stream_offers *offers; /* of shared memory; NULL: none */
    int fd;
    int spare; /* a descriptor kept back, to turn peers away when there are no more */
    struct di_io_op op;
    struct di_io_op pause;
    struct stream_quota *quota;
    struct di_list meeting; /* struct stream_meet.list: half-open, oldest first */
    struct di_list met;     /* and done, waiting for accept */
    uint32_t meeting_count;
    uint32_t met_count;
    unsigned parts; /* meetings not freed yet, and the operations in flight */
    bool stopped;   /* takes nobody any more */
    bool closed;
    bool paused; /* and the log said so */
    struct stream_away away;
};

static void free_listener(struct stream_listener *self)
{
    di_io_forget(self->listener.context->io, &self->op);
    if (self->fd >= 0)
        self->scheme->unlisten(self->listener.context->io, self->fd, self->state);
    if (self->spare >= 0)
        close(self->spare);
    stream_quota_give(self->quota);
    di_options_fini(&self->options);
    free(self);
}

static int open_spare(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void part_over(struct stream_listener *self)
{
    if (--self->parts == 0 && self->closed)
        free_listener(self);
}

/* Counted always, logged as a flood allows. fd: the peer's. */
static void turned_away(struct stream_listener *self, enum duct_log_level level, int fd,
                        const char *why)
{
    char who[STREAM_AWAY_NAME] = "";

    self->listener.refused++;
    if (self->scheme->who != NULL)
        self->scheme->who(fd, who, sizeof(who));
    stream_away_log(&self->away, level, self->listener.url, who, why,
                    di_io_now(self->listener.context->io));
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
        turned_away(self, DUCT_LOG_WARN, meet->fd,
                    "it says that the pipe moved, and has not proved it");
}

static void drop(struct stream_listener *self, struct stream_meet *meet)
{
    leave(self, meet, false);
    stream_meet_close(meet);
}

/* A dialer that speaks the protocol is told in words why there is no room for it. */
static enum duct_err admit(struct stream_meet *meet)
{
    struct stream_listener *self = meet->user;

    if (self->met_count >= self->options.o.backlog)
        return di_fail(DUCT_ELIMIT, TOO_MANY_WAIT);
    if (!stream_quota_take(self->quota))
        return di_fail(DUCT_ELIMIT,
                       "there are as many pipes as the option pipes allows, %u; close one first",
                       self->quota->max);
    meet->quota = self->quota;
    return DUCT_OK;
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
    turned_away(self, DUCT_LOG_INFO, meet->fd, err != DUCT_OK ? meet->detail : TOO_MANY_WAIT);
    drop(self, meet);
}

static void meet_one(struct stream_listener *self, int fd)
{
    struct stream_meet *meet = calloc(1, sizeof(*meet));
    struct di_offer *offer = self->offers != NULL ? &self->offers->offer : NULL;

    if (meet == NULL) {
        turned_away(self, DUCT_LOG_WARN, fd, "no memory");
        di_io_close_socket(self->listener.context->io, fd);
        return;
    }
    if (self->meeting_count >= HALF_OPEN_MAX) {
        struct stream_meet *oldest = di_container(self->meeting.next, struct stream_meet, list);
        turned_away(self, DUCT_LOG_INFO, oldest->fd, "too many handshakes are under way");
        drop(self, oldest);
    }
    meet->user = self;
    meet->done = on_done;
    meet->freed = on_freed;
    meet->admit = admit;
    DI_CRASH_POINT("stream.accepted");
    self->parts++;
    self->meeting_count++;
    di_list_append(&self->meeting, &meet->list);
    if (offer != NULL)
        stream_draw_nonce(offer);
    stream_meet_begin(meet, self->listener.context, fd, self->scheme, false, &self->options, offer,
                      self->options.o.handshake_ns);
}

/* No descriptor is left: the spare one lets us take the connection and hang up, instead of leaving it to make the
 * socket readable for ever. False: not even that can be done now. */
static bool shed(struct stream_listener *self)
{
    struct di_io *io = self->listener.context->io;

    if (self->spare < 0 && (self->spare = open_spare()) < 0)
        return false;
    close(self->spare);
    int fd = di_io_accept(io, &self->op);
    if (fd >= 0)
        turned_away(self, DUCT_LOG_WARN, fd, "no file descriptor is left; raise RLIMIT_NOFILE");
    di_io_close_socket(io, fd);
    self->spare = open_spare();
    return fd >= 0;
}

enum taken { TAKEN_ALL, TAKEN_SOME, TAKEN_NONE_NOW };

/* What waits to be accepted, as much as is fair in one go. */
static enum taken take_some(struct stream_listener *self, unsigned most)
{
    struct di_io *io = self->listener.context->io;

    for (unsigned i = 0; i < most; i++) {
        int fd = di_io_accept(io, &self->op);
        self->paused = self->paused && fd < 0;
        if (fd >= 0)
            meet_one(self, fd);
        else if (fd == -EAGAIN)
            return TAKEN_ALL;
        else if (fd == -ECONNABORTED)
            self->listener.refused++; /* by the loop, which had no memory for it */
        else if (fd == -ENOMEM || fd == -ENOBUFS)
            return TAKEN_NONE_NOW;
        else if ((fd == -EMFILE || fd == -ENFILE) && !shed(self))
            return TAKEN_NONE_NOW;
        /* Any other error is of that one connection, which is gone (accept(2)). */
    }
    return TAKEN_SOME;
}

/* The connections stay in the kernel's queue: to look at them at once, again and again, would take the processor from
 * the pipes there are. */
static void pause_accepting(struct stream_listener *self)
{
    if (!self->paused)
        di_log(DUCT_LOG_WARN,
               "%s: the system has no room for another connection; those that come wait",
               self->listener.url);
    self->paused = true;
    di_io_cancel(self->listener.context->io, &self->op); /* nor does the kernel go on meanwhile */
    self->pause.deadline = di_context_deadline(self->listener.context, PAUSE_NS);
    self->parts++;
    di_io_submit(self->listener.context->io, &self->pause);
}

static void watch(struct stream_listener *self)
{
    self->parts++;
    di_io_submit(self->listener.context->io, &self->op);
}

static void on_pause(struct di_io_op *op, int result)
{
    struct stream_listener *self = di_container(op, struct stream_listener, pause);

    if (!self->stopped && result == 0)
        watch(self);
    part_over(self);
}

/*
 * Nobody is taken any more, and no operation is in flight. The address is free for the next listener from here on,
 * unless the kernel still accepts: then a completion says when it has stopped.
 */
static void give_up_socket(struct stream_listener *self)
{
    struct di_io *io = self->listener.context->io;

    if (self->fd < 0)
        return;
    if (self->op.receiving) {
        watch(self);
        di_io_cancel(io, &self->op);
        return;
    }
    di_io_forget(io, &self->op);
    self->scheme->unlisten(io, self->fd, self->state);
    self->fd = -1;
}

static void on_socket(struct di_io_op *op, int result)
{
    struct stream_listener *self = di_container(op, struct stream_listener, op);

    if (self->stopped) {
        give_up_socket(self);
    } else if (result != DI_IO_CANCELED) {
        enum taken taken = result >= 0 ? take_some(self, TAKE_MAX) : TAKEN_NONE_NOW;
        if (taken == TAKEN_NONE_NOW)
            pause_accepting(self);
        else
            watch(self);
    }
    part_over(self);
}

static void stop(struct stream_listener *self)
{
    self->stopped = true;
    di_io_cancel(self->listener.context->io, &self->pause);
    if (!self->op.in_flight)
        give_up_socket(self);
    if (di_listener_recall(&self->listener, &self->op))
        give_up_socket(self);
}

static void shut_down(struct duct_listener *listener)
{
    struct stream_listener *self = (struct stream_listener *)listener;

    take_some(self, self->options.o.backlog);
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
    self->quota = stream_quota_open(options->o.pipes_max);
    if (self->quota == NULL)
        err = di_fail(DUCT_ENOMEMORY, "no memory for a listener");
    if (err != DUCT_OK || (err = di_options_copy(&self->options, options)) != DUCT_OK ||
        (err = scheme->listen(context->io, url, options, &self->fd, self->listener.path,
                              sizeof(self->listener.path), &self->state)) != DUCT_OK) {
        stream_quota_give(self->quota);
        di_options_fini(&self->options);
        free(self);
        return err;
    }
    self->scheme = scheme;
    self->spare = open_spare();
    di_list_init(&self->meeting);
    di_list_init(&self->met);
    self->listener.ops = &listener_ops;
    self->listener.context = context;
    self->listener.user = options->o.user;
    snprintf(self->listener.url, sizeof(self->listener.url), "%.15s://%.490s", url->scheme,
             url->rest);
    self->listener.magic = DI_LISTENER_MAGIC;
    di_list_append(&context->listeners, &self->listener.link);
    self->op = (struct di_io_op){
        .done = on_socket, .kind = DI_IO_ACCEPT, .fd = self->fd, .events = POLLIN};
    self->pause = (struct di_io_op){.done = on_pause, .kind = DI_IO_TIMER};
    watch(self);
    *listener = &self->listener;
    return DUCT_OK;
}
