/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/error.h"
#include "transports/durable.h"

/* How a durable pipe waits, with and without a peer. Its bell is the control socket, whose poll is in the
 * loop as long as there is one. */

/* What a lane returned: a peer that lies, or files that are damaged, end the pipe. */
enum duct_err durable_result(struct durable_pipe *self, enum duct_err err)
{
    if (__builtin_expect(err != DUCT_ECORRUPT, 1))
        return err;
    durable_link_hang_up(self, DUCT_ECORRUPT, 0,
                         "the other side found the pipe's files inconsistent");
    di_pipe_end(&self->pipe, err);
    return err;
}

/* Released all that was sent. With nobody there to take it, what is sent is kept: there is nothing to
 * wait for. */
static bool drained(struct durable_pipe *self)
{
    const struct di_durable_out *out = &self->durable->out;

    return !durable_connected(self) || out->limit_from == out->sender.ring.tail;
}

unsigned durable_ready(struct duct_pipe *pipe, unsigned want)
{
    struct durable_pipe *self = durable_of(pipe);
    struct di_sender *sender = sender_of(pipe);
    enum duct_err err = DUCT_OK;
    unsigned ready = 0;
    bool more;

    if ((want & DI_READY_RECV) && di_durable_ready(self->durable))
        ready |= DI_READY_RECV;
    if ((want & ~(unsigned)DI_READY_RECV) != 0)
        err = di_durable_reclaim(self->durable, &more);
    if (err == DUCT_OK && (want & DI_READY_SEND) && di_sender_ready(sender, &err) &&
        (sender->need_size == 0 || di_sender_has_need(sender, &err)))
        ready |= DI_READY_SEND;
    if (err == DUCT_OK && (want & DI_READY_NEED) && di_sender_has_need(sender, &err))
        ready |= DI_READY_NEED;
    if ((want & DI_READY_DRAINED) && drained(self))
        ready |= DI_READY_DRAINED;
    durable_result(self, err);
    return ready;
}

bool durable_spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first)
{
    struct durable_pipe *self = durable_of(pipe);

    (void)first;
    di_durable_collect(self->durable);
    for (unsigned i = 0; i < polls; i += 4) {
        if (durable_ready(pipe, want) != 0 || pipe->end != DUCT_OK)
            return true;
    }
    return false;
}

/* As both_full() of shm_wait.c, where there is somebody at the other end. */
static bool both_full(struct durable_pipe *self)
{
    if (!durable_connected(self) || !self->durable->met)
        return false;
    const struct di_ringer *ringer = &self->durable->in.receiver.ringer;
    uint64_t word = di_peer_load(ringer->word);

    return (word & DI_PARK_SOLE) && (word & (DI_WANT_SPACE | DI_WANT_BLOCKS)) &&
           word >> DI_PARK_EPOCH_SHIFT != ringer->rung && di_durable_ready(self->durable);
}

unsigned durable_arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err)
{
    struct durable_pipe *self = durable_of(pipe);
    struct di_sender *sender = sender_of(pipe);
    unsigned others = want & ~(unsigned)DI_READY_RECV;
    unsigned ready = 0;

    di_durable_collect(self->durable);
    di_sender_show_counters(sender);
    if ((want & DI_READY_RECV) && self->durable->met) {
        di_sleeper_arm(&self->durable->in.receiver.sleeper, DI_WANT_DATA, DI_DOORBELL_SOCKET,
                       false);
        ready = durable_ready(pipe, DI_READY_RECV);
    }
    if (others != 0) {
        bool blocks = (others & (DI_READY_NEED | DI_READY_SEND)) && sender->need_size != 0;
        di_sleeper_arm(&sender->sleeper, DI_WANT_SPACE | (blocks ? DI_WANT_BLOCKS : 0),
                       DI_DOORBELL_SOCKET, blocking);
        unsigned now = durable_ready(pipe, others);
        if (now == 0 && blocking && both_full(self)) {
            di_sleeper_disarm(&sender->sleeper);
            *err = di_fail(DUCT_EAGAIN,
                           "both full: this side and the peer each wait to send, and neither "
                           "receives; receive first, or send with a timeout of 0");
        }
        ready |= now;
    }
    if (ready == 0)
        self->parks++;
    return ready;
}

void durable_disarm(struct duct_pipe *pipe, unsigned want)
{
    if (want & ~(unsigned)DI_READY_RECV)
        di_sleeper_disarm(&sender_of(pipe)->sleeper);
}
