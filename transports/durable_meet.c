/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "transports/bootstrap.h"
#include "transports/durable.h"

/*
 * Two ends of a durable pipe meet. The messages are those of rendezvous.c, with DURABLE in the place of
 * segments: each side finds the other's files by name, and the message says whether they are the right
 * ones.
 *
 *   dialer          listener
 *   HELLO      →
 *              ←    HELLO
 *   DURABLE    →
 *              ←    DURABLE
 */
enum { EXPECT_HELLO, EXPECT_ENDS };

static struct di_durable_end *end_of(struct durable_pipe *self)
{
    return &self->durable->end;
}

static enum duct_err tell_peer(struct durable_pipe *self, const void *bytes, size_t size)
{
    enum duct_err err = di_control_send(self->meeting.socket, bytes, size, NULL, 0);

    DI_CRASH_POINT("durable.meet_sent");
    return err == DUCT_EAGAIN ? di_fail(DUCT_EPEER, "the peer does not read its control socket")
                              : err;
}

static enum duct_err send_hello(struct durable_pipe *self)
{
    const struct di_geometry *geometry = &end_of(self)->geometry;
    struct di_boot_hello hello;

    di_boot_make_hello(&hello, self->meeting.session, DI_CAP_DURABLE, geometry->blocks_max,
                       geometry->header.slots);
    hello.needs = DI_CAP_DURABLE;
    return tell_peer(self, &hello, sizeof(hello));
}

static enum duct_err send_ends(struct durable_pipe *self)
{
    const struct di_durable_end *end = end_of(self);
    const struct di_boot_durable ends = {
        .type = DI_BOOT_DURABLE, .end = end->end, .session = self->meeting.session, .id = end->id};

    return tell_peer(self, &ends, sizeof(ends));
}

void durable_meet_drop(struct durable_pipe *self)
{
    if (self->meeting.socket < 0)
        return;
    durable_set_timer(self, 0);
    shutdown(self->meeting.socket, SHUT_RDWR);
    durable_retire(self, OP_MEET, &self->meeting.socket);
    di_fork_close(self->meeting.identity.pidfd);
    self->meeting.identity.pidfd = -1;
}

/* Tells the peer why not; the detail set last is the reason. */
static void refuse(struct durable_pipe *self, enum duct_err err)
{
    struct di_boot_end told;
    char reason[DI_DETAIL_MAX];

    snprintf(reason, sizeof(reason), "%s", duct_err_detail());
    di_boot_make_end(&told, DI_BOOT_REFUSE, err, err, reason);
    enum duct_err ignored = di_control_send(self->meeting.socket, &told, sizeof(told), NULL, 0);
    (void)ignored;
    durable_meeting_failed(self, di_fail(err, "%s", reason));
}

static enum duct_err take_hello(struct durable_pipe *self, struct di_control_msg *msg)
{
    struct di_boot_hello hello;
    enum duct_err err = identity_check(&self->meeting.identity, msg, &self->options.o);

    if (err != DUCT_OK ||
        (err = di_boot_check_hello(msg->bytes, msg->size, self->meeting.session, &hello)) !=
            DUCT_OK ||
        (err = di_boot_check_durable(&hello, true)) != DUCT_OK)
        return err;
    self->meeting.session = hello.session;
    self->meet_step = EXPECT_ENDS;
    return self->listening ? send_hello(self) : send_ends(self);
}

/* The peer says which files are its; here they are looked for. */
static enum duct_err take_ends(struct durable_pipe *self, struct di_control_msg *msg)
{
    struct di_durable_end *end = end_of(self);
    struct di_boot_durable theirs;
    enum duct_err err;

    if (!di_boot_check_ends(msg->bytes, msg->size, self->meeting.session, &theirs) ||
        theirs.end != (uint32_t)di_end_other(end->end))
        return di_fail(DUCT_ECORRUPT,
                       "the peer sent something else than its end of a durable pipe");
    if ((err = di_durable_meet(self->durable)) != DUCT_OK)
        return err;
    if (!self->durable->met)
        return di_fail(DUCT_EREFUSED,
                       "the files of the end that %ss are not in %s; give both ends the same dir",
                       end->end == DI_END_LISTEN ? "dial" : "listen", end->dir.path);
    if (end->peer_id != theirs.id)
        return di_durable_end_refuse(
            end,
            di_fail(DUCT_ECORRUPT, "its two ends do not belong together: the files of one were "
                                   "removed and made anew"));
    durable_pipe_adopted(&self->pipe);
    return self->listening ? send_ends(self) : DUCT_OK;
}

static void step(struct durable_pipe *self, struct di_control_msg *msg)
{
    struct di_boot_end refusal;
    enum duct_err err;

    if (di_boot_check_end(msg->bytes, msg->size, DI_BOOT_REFUSE, &refusal)) {
        err = refusal.code == DUCT_EVERSION || refusal.code == DUCT_EDENIED
                  ? (enum duct_err)refusal.code
                  : DUCT_EREFUSED;
        durable_meeting_failed(self, di_fail(err, "the peer refused: %s", refusal.text));
        return;
    }
    if (msg->surplus || msg->fd_count != 0)
        err = di_fail(DUCT_ECORRUPT, "a message of the handshake came with descriptors");
    else if (self->meet_step == EXPECT_HELLO)
        err = take_hello(self, msg);
    else if ((err = take_ends(self, msg)) == DUCT_OK)
        durable_link_made(self);
    if (err != DUCT_OK)
        refuse(self, err);
}

void durable_meet_read(struct durable_pipe *self)
{
    struct di_control_msg msg;

    while (self->meeting.socket >= 0) {
        enum duct_err err = di_control_recv(self->meeting.socket, &msg);
        if (err == DUCT_EAGAIN)
            break;
        if (err != DUCT_OK) {
            durable_meeting_failed(self, err == DUCT_EPEER
                                             ? di_fail(err, "the peer hung up during the handshake")
                                             : err);
            break;
        }
        step(self, &msg);
        di_control_drop(&msg);
    }
    if (self->meeting.socket >= 0)
        durable_submit(self, OP_MEET);
}

void durable_meet_begin(struct durable_pipe *self, int socket)
{
    self->meeting = (struct durable_peer){.socket = socket, .identity = {.pidfd = -1}};
    self->meet_step = EXPECT_HELLO;
    self->meet_slow = false;
    di_fork_close_in_child(socket);
    di_control_want_identity(socket, true);
    if (!self->listening) {
        self->meeting.session = di_random_u64();
        enum duct_err err = send_hello(self);
        if (err != DUCT_OK) {
            durable_meeting_failed(self, err);
            return;
        }
    }
    durable_set_timer(self, self->options.o.handshake_ns);
    durable_submit(self, OP_MEET);
}
