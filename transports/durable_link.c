/* SPDX-License-Identifier: Apache-2.0 */
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
#include "transports/bootstrap.h"
#include "transports/durable.h"

/*
 * The link of a durable pipe: how a peer is found, what its control socket brings, how it is lost.
 */

/* Messages of the control socket that are read in a turn: as of other pipes. */
#define NEWS_MAX 16u

/* A listener that lets us connect and hangs up is about to go, or to be replaced: tried again at once, so
 * many times, and then when its socket changes. */
#define TRIES_MAX 8u

/* ---- Operations ---- */

static int fd_of(const struct durable_pipe *self, enum durable_op which)
{
    switch (which) {
    case OP_LISTEN:
        return self->bound.socket;
    case OP_MEET:
        return self->meeting.socket;
    case OP_LINK:
        return self->link.socket;
    case OP_LINK_PID:
        return self->link.identity.pidfd;
    case OP_MEET_TIMER:
        return -1;
    case OP_WATCH:
        break;
    }
    return self->watch;
}

void durable_submit(struct durable_pipe *self, enum durable_op which)
{
    struct durable_op_slot *slot = &self->ops[which];

    /* Still on its way back from another descriptor, or deadline. One that waits for this descriptor stands: to ask
     * again would swallow its answer, which an edge-triggered loop gives once. */
    slot->again = slot->op.in_flight && (slot->retired >= 0 || which == OP_MEET_TIMER);
    if (slot->op.in_flight || self->closing || self->detaching)
        return;
    bool look = which == OP_WATCH && durable_looks_by_time(self);
    if ((look && durable_connected(self)) || (which == OP_MEET_TIMER && self->meet_deadline == 0))
        return;
    slot->op.kind = look || which == OP_MEET_TIMER ? DI_IO_TIMER : DI_IO_POLL;
    slot->op.deadline =
        look ? di_context_deadline(self->pipe.context, DI_RETRY_NS) : self->meet_deadline;
    slot->op.fd = fd_of(self, which);
    slot->op.events = POLLIN;
    if (slot->op.kind == DI_IO_POLL && slot->op.fd < 0)
        return;
    self->in_flight++;
    di_io_submit(self->pipe.context->io, &slot->op);
}

/* As durable_submit(), where the descriptor was not used until it gave EAGAIN: an edge-triggered loop would say
 * nothing of what is still there. */
static void submit_anew(struct durable_pipe *self, enum durable_op which)
{
    if (!self->ops[which].op.in_flight)
        di_io_forget(self->pipe.context->io, &self->ops[which].op);
    durable_submit(self, which);
}

void durable_retire(struct durable_pipe *self, enum durable_op which, int *fd)
{
    struct durable_op_slot *slot = &self->ops[which];

    slot->again = false;
    if (slot->op.in_flight && slot->retired < 0) {
        di_io_cancel(self->pipe.context->io, &slot->op);
        slot->retired = *fd;
    } else {
        /* What is in flight, if anything, is still on its way back from the descriptor before this one. */
        if (!slot->op.in_flight)
            di_io_forget(self->pipe.context->io, &slot->op);
        di_fork_close(*fd);
    }
    *fd = -1;
}

void durable_set_timer(struct durable_pipe *self, int64_t ns)
{
    self->meet_deadline = ns == 0 ? 0 : di_context_deadline(self->pipe.context, ns);
    di_io_cancel(self->pipe.context->io, &self->ops[OP_MEET_TIMER].op);
    durable_submit(self, OP_MEET_TIMER);
}

void durable_link_submit_all(struct durable_pipe *self)
{
    durable_submit(self, OP_LISTEN);
    durable_submit(self, OP_WATCH);
    durable_submit(self, OP_MEET);
    durable_submit(self, OP_LINK);
    durable_submit(self, OP_LINK_PID);
    durable_submit(self, OP_MEET_TIMER);
}

/* ---- Lost and found ---- */

uint64_t durable_peer_finished(const struct durable_pipe *self)
{
    uint32_t code;

    return di_durable_end_peer_finished(&self->durable->end, &code);
}

void durable_set_state(struct durable_pipe *self, enum duct_state state, enum duct_err why)
{
    self->pipe.state = state;
    self->pipe.state_why = why;
    self->close_told = why == DUCT_ECLOSED ? durable_peer_finished(self) : 0;
    di_pipe_changed(&self->pipe);
}

/* Why there is no peer: one that closed in order left word of it, however the link ended. */
static enum duct_err why_gone(const struct durable_pipe *self, enum duct_err why)
{
    return durable_peer_finished(self) != 0 ? DUCT_ECLOSED : why;
}

/* A peer may have come, sent, and gone, before the two ever met: what it left lies in its files. Its close is told
 * also where one before it was: whoever saw it open meanwhile waits for the next. */
void durable_find_files(struct durable_pipe *self)
{
    if (self->closing)
        return;
    if (!self->durable->met && durable_result(self, di_durable_meet(self->durable)) == DUCT_OK &&
        self->durable->met) {
        durable_pipe_adopted(&self->pipe);
        di_pipe_activate(&self->pipe);
    }
    durable_watch_peer(self);
    uint64_t close = durable_peer_finished(self);
    if (!durable_connected(self) && close != 0 && close != self->close_told)
        durable_set_state(self, DUCT_STATE_DISCONNECTED, DUCT_ECLOSED);
}

/* Connects, or waits for the listener's socket to appear. */
void durable_find_listener(struct durable_pipe *self)
{
    int socket;

    durable_find_files(self);

    if (self->listening || self->closing || self->meeting.socket >= 0 || self->link.socket >= 0 ||
        self->tries >= TRIES_MAX)
        return;
    self->tries++;
    enum duct_err err = di_names_connect(&socket, self->path);
    if (err == DUCT_OK) {
        durable_meet_begin(self, socket);
        return;
    }
    if (err == DUCT_ENOTFOUND) {
        durable_find_files(self); /* it may have come, and gone, since the look above */
        return;
    }
    /* The listener's queue is full, or the system is short of something: nothing tells when that is over. */
    durable_set_timer(self, DI_RETRY_NS);
    if (err != DUCT_EAGAIN)
        di_log(DUCT_LOG_WARN, "the durable pipe %s looks for its other end: %s",
               self->durable->end.name, duct_err_detail());
}

void durable_link_lost(struct durable_pipe *self, enum duct_err why)
{
    if (self->link.socket < 0)
        return;
    shutdown(self->link.socket, SHUT_RDWR);
    durable_retire(self, OP_LINK, &self->link.socket);
    if (self->link.identity.pidfd >= 0)
        durable_retire(self, OP_LINK_PID, &self->link.identity.pidfd);
    di_durable_set_socket(self->durable, -1);
    durable_set_state(self, DUCT_STATE_DISCONNECTED, why_gone(self, why));
    self->tries = 0;
    durable_find_listener(self);
    durable_submit(self, OP_WATCH);
}

void durable_link_made(struct durable_pipe *self)
{
    /* Whoever comes with the other end's lock comes after its former owner. */
    if (self->link.socket >= 0)
        durable_link_lost(self, DUCT_EPEER);
    durable_set_timer(self, 0);
    /* Called from its completion: it is not in flight. */
    di_io_forget(self->pipe.context->io, &self->ops[OP_MEET].op);
    self->link = self->meeting;
    self->meeting = (struct durable_peer){.socket = -1, .identity = {.pidfd = -1}};
    di_control_want_identity(self->link.socket, false);
    self->close_code = 0;
    self->close_text[0] = '\0';
    self->meet_result = DUCT_OK;
    self->tries = 0;
    di_durable_set_socket(self->durable, self->link.socket);
    DI_CRASH_POINT("durable.linked_up");
    durable_submit(self, OP_LINK);
    durable_submit(self, OP_LINK_PID);
    if (self->listening)
        submit_anew(self, OP_LISTEN);
    durable_set_state(self, DUCT_STATE_CONNECTED, DUCT_OK);
    /* What either side published while there was no socket to ring. */
    di_ringer_notify(&self->durable->out.sender.ringer, DI_WANT_DATA);
    di_ringer_notify(&self->durable->in.receiver.ringer, DI_WANT_SPACE | DI_WANT_BLOCKS);
}

void durable_meeting_failed(struct durable_pipe *self, enum duct_err err)
{
    self->meet_result = err;
    snprintf(self->meet_detail, sizeof(self->meet_detail), "%s", duct_err_detail());
    di_log(DUCT_LOG_INFO, "the durable pipe %s met a peer and parted: %s", self->durable->end.name,
           self->meet_detail);
    durable_meet_drop(self);
    durable_find_files(self);
    di_pipe_activate(&self->pipe);
    if (self->listening)
        submit_anew(self, OP_LISTEN);
    else if (err == DUCT_EPEER)
        durable_find_listener(self);
}

/* ---- The control socket ---- */

void durable_link_hang_up(struct durable_pipe *self, enum duct_err err, uint32_t code,
                          const char *text)
{
    struct di_boot_end told;

    if (self->link.socket < 0)
        return;
    di_boot_make_end(&told, DI_BOOT_CLOSE, code, err, text);
    /* If the queue is full the peer learns of the end without the reason. */
    enum duct_err ignored = di_control_send(self->link.socket, &told, sizeof(told), NULL, 0);
    (void)ignored;
    shutdown(self->link.socket, SHUT_RDWR);
}

/* One message. Anything but OK ends the link. */
static enum duct_err take(struct durable_pipe *self, const struct di_control_msg *msg)
{
    struct di_boot_end told;

    if (msg->surplus || msg->fd_count != 0)
        return DUCT_ECORRUPT;
    if (di_boot_type(msg->bytes, msg->size) == DI_BOOT_RING) {
        /* Whoever reads it, also somebody who only asks about the pipe: it is not rung twice. */
        di_pipe_activate(&self->pipe);
        return DUCT_OK;
    }
    if (!di_boot_check_end(msg->bytes, msg->size, DI_BOOT_CLOSE, &told))
        return DUCT_ECORRUPT;
    self->close_code = told.code;
    memcpy(self->close_text, told.text, sizeof(self->close_text));
    return DUCT_ECLOSED;
}

void durable_link_read(struct durable_pipe *self)
{
    struct di_control_msg msg;

    for (unsigned i = 0; self->link.socket >= 0 && i < NEWS_MAX; i++) {
        enum duct_err err = di_control_recv(self->link.socket, &msg);
        if (err == DUCT_EAGAIN) {
            durable_submit(self, OP_LINK);
            return;
        }
        if (err == DUCT_OK) {
            err = take(self, &msg);
            di_control_drop(&msg);
        } else {
            err = DUCT_EPEER;
        }
        if (err != DUCT_OK)
            durable_link_lost(self, err);
    }
    if (self->link.socket < 0)
        return;
    submit_anew(self, OP_LINK);
}

/* ---- Who comes ---- */

/* No descriptor is left: the spare one lets us take the connection and hang up. */
static void shed(struct durable_pipe *self)
{
    di_log(DUCT_LOG_WARN, "%s turned a peer away: no file descriptor is left; raise RLIMIT_NOFILE",
           self->path);
    if (self->spare < 0)
        return;
    close(self->spare);
    int socket = accept4(self->bound.socket, NULL, NULL, SOCK_CLOEXEC);
    if (socket >= 0)
        close(socket);
    self->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* One dialer at a time: the next waits in the socket's queue until this one is met or its time is over. Then the
 * loop is asked anew, since the queue was not looked at to its end. */
static void take_dialer(struct durable_pipe *self)
{
    if (self->meeting.socket >= 0)
        return;
    int socket = accept4(self->bound.socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket >= 0) {
        durable_meet_begin(self, socket);
        return;
    }
    if (errno == EMFILE || errno == ENFILE)
        shed(self);
    durable_submit(self, OP_LISTEN);
}

/* ---- The loop's side ---- */

/* The loop cannot watch that descriptor. To ask it again would be to ask without a pause: the pipe goes on
 * without a peer, and says why; one that cannot hear dialers, until it is opened anew or moved. */
static void deaf(struct durable_pipe *self, enum durable_op which)
{
    enum duct_err err = di_fail(DUCT_ELIMIT, DI_IO_FAILED_TEXT);

    di_log(DUCT_LOG_WARN, "the durable pipe %s: %s", self->durable->end.name, duct_err_detail());
    if (which == OP_MEET)
        durable_meeting_failed(self, err);
    else if (which == OP_LINK)
        durable_link_lost(self, err);
}

static void time_over(struct durable_pipe *self)
{
    self->meet_deadline = 0;
    if (self->meeting.socket < 0) {
        self->tries = 0;
        durable_find_listener(self);
        return;
    }
    /* A listener that nobody accepts from may be slow; it may take its time. A dialer may not. */
    self->meet_slow = true;
    if (self->listening)
        durable_meeting_failed(self, di_fail(DUCT_ETIMEOUT, "the handshake was not complete "
                                                            "within its time"));
}

static void run(struct durable_pipe *self, enum durable_op which, int result)
{
    if (result == DI_IO_CANCELED || (result == DI_IO_FAILED && which == OP_LINK_PID))
        return;
    self->heard++;
    if (result == DI_IO_FAILED) {
        deaf(self, which);
        di_pipe_activate(&self->pipe);
        return;
    }
    switch (which) {
    case OP_LISTEN:
        take_dialer(self);
        break;
    case OP_MEET:
        durable_meet_read(self);
        break;
    case OP_MEET_TIMER:
        time_over(self);
        break;
    case OP_LINK:
        durable_link_read(self);
        break;
    case OP_LINK_PID:
        /* A close that came before is read first. */
        durable_link_read(self);
        durable_link_lost(self, DUCT_EPEER);
        break;
    case OP_WATCH:
        durable_watch_read(self);
        break;
    }
    di_pipe_activate(&self->pipe);
}

void durable_on_completion(struct di_io_op *op, int result)
{
    struct durable_op_slot *slot = (struct durable_op_slot *)op;
    struct durable_pipe *self = slot->owner;
    enum durable_op which = (enum durable_op)(slot - self->ops);
    bool retired = slot->retired >= 0;

    self->in_flight--;
    if (retired) {
        di_io_forget(self->pipe.context->io, op);
        di_fork_close(slot->retired);
        slot->retired = -1;
    }
    if (self->closing) {
        if (self->in_flight == 0)
            durable_pipe_free(self);
        return;
    }
    if (self->detaching)
        return;
    bool again = slot->again;
    slot->again = false;
    /* What the poll found is looked at though it was asked for once more meanwhile: an edge comes once. */
    bool found = !retired && result != DI_IO_CANCELED && which != OP_MEET_TIMER;
    if (again && !found)
        durable_submit(self, which);
    else if (!retired)
        run(self, which, result);
}

void durable_link_start(struct durable_pipe *self)
{
    durable_link_submit_all(self);
    durable_find_listener(self);
}
