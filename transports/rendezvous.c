/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/rendezvous.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "lib/base/random.h"
#include "shm/asymmetric.h"
#include "transports/identity.h"

/* What is expected next. */
enum { EXPECT_HELLO, EXPECT_PROOF, EXPECT_SEGMENTS, EXPECT_READY };

static void finish(struct rendezvous *r, enum duct_err err)
{
    if (r->finished)
        return;
    DI_CRASH_POINT("meet.finished");
    r->finished = true;
    r->result = err;
    if (err != DUCT_OK)
        snprintf(r->detail, sizeof(r->detail), "%s", duct_err_detail());
    di_io_cancel(r->context->io, &r->socket_op);
    di_io_cancel(r->context->io, &r->timer_op);
    r->done(r, err);
}

/* Tells the peer why not, and ends. The detail set last is the reason. */
static void refuse(struct rendezvous *r, enum duct_err err)
{
    struct di_boot_end told;

    di_boot_make_end(&told, DI_BOOT_REFUSE, err, err, duct_err_detail());
    /* If it cannot be told, the end of the socket says enough. */
    char reason[DI_URL_MAX];
    snprintf(reason, sizeof(reason), "%s", duct_err_detail());
    enum duct_err ignored = di_control_send(r->link->socket, &told, sizeof(told), NULL, 0);
    (void)ignored;
    finish(r, di_fail(err, "%s", reason));
}

/* ---- The peer's identity ---- */

static enum duct_err identify(struct rendezvous *r, struct di_control_msg *msg)
{
    struct link *link = r->link;
    struct identity identity;
    enum duct_err err = identity_check(&identity, msg, &r->options->o);

    if (err != DUCT_OK)
        return err;
    link->peer_pid = identity.pid;
    link->peer_uid = identity.uid;
    link->peer_gid = identity.gid;
    link->pidfd = identity.pidfd;
    link->trusted = link->trusted && identity.own;
    return DUCT_OK;
}

/* ---- Steps ---- */

static uint32_t capabilities(const struct link *link)
{
    return DI_CAP_EVENTFD | DI_CAP_BELLS | (di_asymmetric_available() ? DI_CAP_MEMBARRIER : 0) |
           (link->huge ? DI_CAP_HUGE : 0);
}

static enum duct_err send_hello(struct rendezvous *r, bool with_segments)
{
    struct link *link = r->link;
    const int fds[2] = {link->outbox.fd, link->pools[0].fd};
    struct di_boot_hello hello;

    di_boot_make_hello(&hello, link->session, capabilities(link), link->geometry.blocks_max,
                       link->geometry.header.slots);
    if (r->proving) {
        hello.has |= DI_CAP_PROOF;
        hello.needs |= DI_CAP_PROOF;
    }
    DI_CRASH_POINT("meet.hello_due");
    enum duct_err err =
        di_control_send(link->socket, &hello, sizeof(hello), fds, with_segments ? 2 : 0);
    DI_CRASH_POINT("meet.hello_sent");
    return err == DUCT_EAGAIN ? di_fail(DUCT_EPEER, "the peer does not read its control socket")
                              : err;
}

static enum duct_err send_note(struct rendezvous *r, enum di_boot_type type, bool with_segments)
{
    struct link *link = r->link;
    const int fds[2] = {link->outbox.fd, link->pools[0].fd};
    const struct di_boot_note note = {.type = type, .session = link->session};

    DI_CRASH_POINT("meet.note_due");
    enum duct_err err =
        di_control_send(link->socket, &note, sizeof(note), fds, with_segments ? 2 : 0);
    DI_CRASH_POINT("meet.note_sent");
    return err == DUCT_EAGAIN ? di_fail(DUCT_EPEER, "the peer does not read its control socket")
                              : err;
}

static enum duct_err send_proof(struct rendezvous *r, const unsigned char *nonce)
{
    struct di_boot_proof proof = {.type = DI_BOOT_PROOF, .session = r->link->session};

    memcpy(proof.nonce, nonce, sizeof(proof.nonce));
    DI_CRASH_POINT("prove.due");
    enum duct_err err = di_control_send(r->link->socket, &proof, sizeof(proof), NULL, 0);
    DI_CRASH_POINT("prove.sent");
    return err == DUCT_EAGAIN ? di_fail(DUCT_EPEER, "the peer does not read its control socket")
                              : err;
}

static enum duct_err wrong_fds(const struct di_control_msg *msg, unsigned expected)
{
    return di_fail(DUCT_ECORRUPT,
                   "a message of the handshake came with %u descriptors%s, expected %u",
                   msg->fd_count, msg->surplus ? " and more" : "", expected);
}

/* The dialer proves, or does not; a listener goes along if it can. */
static enum duct_err agree_on_proof(struct rendezvous *r, const struct di_boot_hello *hello)
{
    bool proving;
    enum duct_err err = di_boot_check_proving(hello, &proving);

    if (err != DUCT_OK)
        return err;
    if (r->dialer && proving != r->proving)
        return di_fail(DUCT_ECORRUPT, "the peer's HELLO answers another one");
    if (proving && !r->dialer && r->prover == NULL)
        return di_fail(DUCT_EREFUSED,
                       "this listener has told nobody a nonce: it is no auto:// one");
    r->proving = proving;
    return DUCT_OK;
}

/* The listener's answer to a HELLO, once it knows enough. */
static enum duct_err answer_hello(struct rendezvous *r)
{
    r->allocating(r);
    enum duct_err err = link_make_segments(r->link);

    if (err != DUCT_OK)
        return err;
    r->state = EXPECT_SEGMENTS;
    return send_hello(r, true);
}

static enum duct_err take_hello(struct rendezvous *r, struct di_control_msg *msg)
{
    struct link *link = r->link;
    struct di_boot_hello hello;
    enum duct_err err;

    if ((err = identify(r, msg)) != DUCT_OK ||
        (err = di_boot_check_hello(msg->bytes, msg->size, r->dialer ? link->session : 0, &hello)) !=
            DUCT_OK ||
        (err = di_boot_check_durable(&hello, false)) != DUCT_OK ||
        (err = agree_on_proof(r, &hello)) != DUCT_OK)
        return err;
    if (msg->surplus || msg->fd_count != (r->dialer ? 2u : 0u))
        return wrong_fds(msg, r->dialer ? 2 : 0);
    link->session = hello.session;
    link->peer_has = hello.has;
    link->peer_blocks = hello.blocks;
    if (!r->dialer && !r->proving)
        return answer_hello(r);
    if (!r->dialer) {
        r->state = EXPECT_PROOF;
        return DUCT_OK;
    }
    if ((err = link_make_segments(link)) != DUCT_OK ||
        (err = link_map_peer(link, msg->fds[0], msg->fds[1])) != DUCT_OK)
        return err;
    r->state = EXPECT_READY;
    return send_note(r, DI_BOOT_SEGMENTS, true);
}

/* The dialer sees it first and the listener second: neither has given anything to, or mapped anything of, a peer
 * that has not shown what it was told. */
static enum duct_err take_proof(struct rendezvous *r, const struct di_control_msg *msg)
{
    struct di_boot_proof proof;
    unsigned char answer[DI_BOOT_NONCE];
    enum duct_err err;

    if (msg->fd_count != 0 || msg->surplus)
        return wrong_fds(msg, 0);
    if (!di_boot_check_proof(msg->bytes, msg->size, r->link->session, &proof))
        return di_fail(DUCT_ECORRUPT, "the peer sent something else than PROOF");
    if (r->dialer) {
        if (memcmp(proof.nonce, r->proof->expected, sizeof(proof.nonce)) != 0)
            return di_fail(DUCT_EDENIED, "the peer shows another nonce than it was told");
        r->state = EXPECT_HELLO;
        return DUCT_OK;
    }
    if ((err = r->prover->check(r->prover, r, proof.nonce, answer)) != DUCT_OK ||
        (err = send_proof(r, answer)) != DUCT_OK)
        return err;
    return answer_hello(r);
}

static enum duct_err take_segments(struct rendezvous *r, struct di_control_msg *msg)
{
    struct di_boot_note note;
    enum duct_err err;

    if (!di_boot_check_note(msg->bytes, msg->size, DI_BOOT_SEGMENTS, r->link->session, &note))
        return di_fail(DUCT_ECORRUPT, "the peer sent something else than its segments");
    if (msg->surplus || msg->fd_count != 2)
        return wrong_fds(msg, 2);
    if ((err = link_map_peer(r->link, msg->fds[0], msg->fds[1])) != DUCT_OK)
        return err;
    return send_note(r, DI_BOOT_READY, false);
}

/* One message. Sets finished when it was the last. */
static void step(struct rendezvous *r, struct di_control_msg *msg)
{
    struct di_boot_end refusal;
    struct di_boot_note note;
    enum duct_err err;

    if (di_boot_check_end(msg->bytes, msg->size, DI_BOOT_REFUSE, &refusal)) {
        /* What the peer lacks or forbids is told by its own kind; the rest is its decision. */
        err = refusal.code == DUCT_EVERSION || refusal.code == DUCT_EDENIED ||
                      refusal.code == DUCT_EAGAIN
                  ? (enum duct_err)refusal.code
                  : DUCT_EREFUSED;
        finish(r, di_fail(err, "the peer refused: %s", refusal.text));
        return;
    }
    switch (r->state) {
    case EXPECT_HELLO:
        if ((err = take_hello(r, msg)) != DUCT_OK)
            refuse(r, err);
        return;
    case EXPECT_PROOF:
        if ((err = take_proof(r, msg)) != DUCT_OK)
            refuse(r, err);
        return;
    case EXPECT_SEGMENTS:
        if ((err = take_segments(r, msg)) != DUCT_OK)
            refuse(r, err);
        else
            finish(r, DUCT_OK);
        return;
    default:
        if (msg->fd_count != 0 || msg->surplus ||
            !di_boot_check_note(msg->bytes, msg->size, DI_BOOT_READY, r->link->session, &note))
            refuse(r, di_fail(DUCT_ECORRUPT, "the peer sent something else than READY"));
        else
            finish(r, DUCT_OK);
    }
}

/* ---- The loop's side ---- */

static void settle(struct rendezvous *r)
{
    if (r->in_flight != 0 || !r->finished || r->done != NULL)
        return;
    if (r->link != NULL) {
        di_io_forget(r->context->io, &r->socket_op);
        link_release(r->link);
    }
    r->freed(r);
}

static void on_timer(struct di_io_op *op, int result)
{
    struct rendezvous *r = di_container(op, struct rendezvous, timer_op);

    /* Still counted as in flight, so that nothing that is done here frees r. */
    if (result == 0 && !r->finished)
        refuse(r,
               di_fail(DUCT_ETIMEOUT, "the handshake was not complete within its time; the option "
                                      "handshake allows more"));
    r->in_flight--;
    settle(r);
}

static void submit_socket(struct rendezvous *r)
{
    r->in_flight++;
    di_io_submit(r->context->io, &r->socket_op);
}

static void on_socket(struct di_io_op *op, int result)
{
    struct rendezvous *r = di_container(op, struct rendezvous, socket_op);
    struct di_control_msg msg;

    /* Still counted as in flight: see on_timer(). */
    while (!r->finished && result >= 0) {
        enum duct_err err = di_control_recv(r->link->socket, &msg);
        if (err == DUCT_EAGAIN)
            break;
        if (err != DUCT_OK) {
            finish(r, err == DUCT_EPEER
                          ? di_fail(DUCT_EPEER, "the peer hung up during the handshake")
                          : err);
            break;
        }
        DI_CRASH_POINT("meet.taken");
        step(r, &msg);
        di_control_drop(&msg);
    }
    if (!r->finished && result == DI_IO_FAILED)
        finish(r, di_fail(DUCT_ELIMIT, DI_IO_FAILED_TEXT));
    if (!r->finished && result >= 0)
        submit_socket(r);
    r->in_flight--;
    settle(r);
}

enum duct_err rendezvous_begin(struct rendezvous *r, struct duct_context *context, int socket,
                               bool dialer, const struct di_options *options, int64_t timeout_ns)
{
    enum duct_err err;

    r->context = context;
    r->options = options;
    r->dialer = dialer;
    r->proving = dialer && r->proof != NULL;
    r->state = r->proving ? EXPECT_PROOF : EXPECT_HELLO;
    r->finished = false;
    r->in_flight = 0;
    if ((err = link_open(&r->link, &options->o)) != DUCT_OK) {
        close(socket);
        return err;
    }
    link_take_socket(r->link, socket);
    di_control_want_identity(socket, true);
    if (dialer) {
        r->link->session = di_random_u64();
        if ((err = send_hello(r, false)) != DUCT_OK ||
            (r->proving && (err = send_proof(r, r->proof->shown)) != DUCT_OK)) {
            link_release(r->link);
            return err;
        }
    }
    r->socket_op =
        (struct di_io_op){.done = on_socket, .kind = DI_IO_POLL, .fd = socket, .events = POLLIN};
    r->timer_op = (struct di_io_op){.done = on_timer, .kind = DI_IO_TIMER};
    submit_socket(r);
    if (timeout_ns != DUCT_FOREVER) {
        r->timer_op.deadline = di_context_deadline(context, timeout_ns);
        r->in_flight++;
        di_io_submit(context->io, &r->timer_op);
    }
    return DUCT_OK;
}

uint64_t rendezvous_asked_bytes(const struct rendezvous *r)
{
    return (uint64_t)r->link->peer_blocks * sizeof(uint64_t);
}

struct link *rendezvous_take_link(struct rendezvous *r)
{
    struct link *link = r->link;

    di_io_forget(r->context->io, &r->socket_op);
    di_control_want_identity(link->socket, false);
    r->link = NULL;
    return link;
}

void rendezvous_put_off(struct rendezvous *r)
{
    struct di_boot_end told;

    di_boot_make_end(&told, DI_BOOT_REFUSE, DUCT_EAGAIN, DUCT_EAGAIN,
                     "too many handshakes are under way; try again");
    /* One that cannot be told sees the end of the socket. */
    enum duct_err ignored = di_control_send(r->link->socket, &told, sizeof(told), NULL, 0);
    (void)ignored;
}

void rendezvous_close(struct rendezvous *r)
{
    r->finished = true;
    r->done = NULL;
    di_io_cancel(r->context->io, &r->socket_op);
    di_io_cancel(r->context->io, &r->timer_op);
    settle(r);
}
