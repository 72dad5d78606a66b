/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "lib/core/pipe.h"
#include "shm/names.h"
#include "transports/auto.h"
#include "transports/rendezvous.h"
#include "transports/shm_pipe.h"
#include "transports/stream_dial.h"
#include "transports/stream_schemes.h"

/*
 * Dialling: TCP first; then, while that handshake waits for its last message, one try over shared memory, whose time
 * is bounded, and whose failure is only a reason.
 */

_Static_assert(DI_BOOT_NONCE == DI_NONCE_SIZE, "told there, shown here");

struct dial {
    struct duct_context *context;
    const struct di_options *options;
    struct di_options tcp_options;
    struct auto_addresses addresses;
    struct di_offer offer;
    void *tcp;
    struct rendezvous_proof proof;
    struct rendezvous shared;
    bool proving;   /* shared has begun, and is not closed */
    unsigned parts; /* the dial itself, and shared as long as it is not over */
    char path[DI_SOCKET_PATH_MAX + 1];
    char why[DI_DETAIL_MAX]; /* the choice; "" before there was one */
};

static void part_over(struct dial *dial)
{
    if (--dial->parts == 0)
        free(dial);
}

static void on_done(struct rendezvous *shared, enum duct_err err)
{
    (void)shared; /* poll() looks at it */
    (void)err;
}

static void on_freed(struct rendezvous *shared)
{
    part_over(shared->user);
}

static void give_up_shared(struct dial *dial)
{
    if (!dial->proving)
        return;
    dial->proving = false;
    rendezvous_close(&dial->shared);
}

__attribute__((format(printf, 2, 3))) static void because(struct dial *dial, const char *format,
                                                          ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(dial->why, sizeof(dial->why), format, args);
    va_end(args);
}

/* Why not, with what the peer said of itself, which explains more than it proves. */
static void because_failed(struct dial *dial, const struct di_offer *peer, enum duct_err err,
                           const char *detail)
{
    const char *hint = "";

    if (err == DUCT_ENOTFOUND && peer->mount_ns != dial->offer.mount_ns)
        hint = "; the listener sees another file system (mount namespace)";
    else if (err == DUCT_EDENIED && peer->user_ns != dial->offer.user_ns)
        hint = "; the listener counts users otherwise (user namespace)";
    if (err == DUCT_ENOTFOUND)
        because(dial, "nobody listens at %s%s", dial->path, hint);
    else
        because(dial, "%s%s", detail, hint);
}

/* No more than a quarter of the dial's time, and half of what either side gives a handshake: TCP needs the rest. */
static int64_t share_of_time(const struct dial *dial, const struct di_offer *peer)
{
    const struct duct_options *o = &dial->options->o;
    int64_t share = (int64_t)peer->patience_ms * DUCT_MILLISECOND / 2;

    if (share > o->handshake_ns / 2)
        share = o->handshake_ns / 2;
    return share > o->dial_ns / 4 ? o->dial_ns / 4 : share;
}

static enum duct_err dial_shared(struct dial *dial, const struct di_offer *peer)
{
    int socket;
    enum duct_err err = di_names_path(dial->path, sizeof(dial->path), &dial->addresses.shm, false);

    if (err != DUCT_OK || (err = di_names_connect(&socket, dial->path)) != DUCT_OK)
        return err == DUCT_EAGAIN ? di_fail(DUCT_EREFUSED, "the queue at %s is full", dial->path)
                                  : err;
    memcpy(dial->proof.shown, peer->nonce, sizeof(dial->proof.shown));
    memcpy(dial->proof.expected, dial->offer.nonce, sizeof(dial->proof.expected));
    dial->shared = (struct rendezvous){
        .done = on_done, .freed = on_freed, .user = dial, .proof = &dial->proof};
    err = rendezvous_begin(&dial->shared, dial->context, socket, true, dial->options,
                           share_of_time(dial, peer));
    if (err == DUCT_OK) {
        dial->proving = true;
        dial->parts++;
    }
    return err;
}

/* Whether it is worth a try, by what both sides say of themselves: one begins. */
static bool begin_proof(struct dial *dial, const struct di_offer *peer)
{
    static const unsigned char unknown[sizeof(peer->boot)];

    if (memcmp(dial->offer.boot, unknown, sizeof(unknown)) == 0) {
        because(dial, "this kernel does not say which machine it is");
    } else if (memcmp(dial->offer.boot, peer->boot, sizeof(peer->boot)) != 0) {
        because(dial, "the listener is on another machine");
    } else if (!(peer->flags & DI_OFFER_ENDPOINT)) {
        because(dial, "the listener shares no memory");
    } else {
        enum duct_err err = dial_shared(dial, peer);
        if (err == DUCT_OK)
            return true;
        because_failed(dial, peer, err, duct_err_detail());
    }
    return false;
}

/* The shared handshake is through: the pipe, once the listener was told. EAGAIN: it could not be opened, and there is
 * the stream; PEER: there is not. */
static enum duct_err move(struct dial *dial, struct stream_meet *tcp, struct duct_pipe **pipe)
{
    struct duct_pipe *moved;
    struct link *link = rendezvous_take_link(&dial->shared);
    enum duct_err err = shm_pipe_start(&moved, link, dial->context, &dial->options->o);

    if (err != DUCT_OK) {
        link_release(link);
        because(dial, "%s", duct_err_detail());
        return DUCT_EAGAIN;
    }
    if ((err = stream_meet_choose(tcp, true)) != DUCT_OK) {
        because(dial, "the listener could not be told");
        duct_pipe_close_with(moved, 0, NULL, 0);
        return err;
    }
    because(dial, "a nonce came back both ways over %s", dial->path);
    di_pipe_chosen(moved, true, dial->why);
    *pipe = moved;
    return DUCT_OK;
}

/* The stream, as soon as there is one. */
static enum duct_err poll_stream(struct dial *dial, struct duct_pipe **pipe)
{
    enum duct_err err = stream_dial_ops.poll(dial->tcp, pipe);

    if (err != DUCT_OK)
        return err;
    if (dial->why[0] == '\0')
        because(dial, "the listener does not offer to share memory");
    di_pipe_chosen(*pipe, false, dial->why);
    return DUCT_OK;
}

/* Both sides have made an offer, and the listener waits to be told. */
static enum duct_err choose(struct dial *dial, struct stream_meet *tcp, struct duct_pipe **pipe)
{
    const struct di_offer *peer = &tcp->shake.peer.offer;
    enum duct_err err;

    if (!dial->proving && begin_proof(dial, peer))
        return DUCT_EAGAIN;
    if (dial->proving && !dial->shared.finished)
        return DUCT_EAGAIN;
    if (dial->proving && dial->shared.result == DUCT_OK) {
        if ((err = move(dial, tcp, pipe)) != DUCT_EAGAIN)
            return err;
    } else if (dial->proving) {
        because_failed(dial, peer, dial->shared.result, dial->shared.detail);
    }
    give_up_shared(dial);
    err = stream_meet_choose(tcp, false);
    return err == DUCT_OK ? poll_stream(dial, pipe) : err;
}

/* Neither way is left. */
static enum duct_err both_failed(const struct dial *dial, enum duct_err err)
{
    char tcp[DI_DETAIL_MAX];

    snprintf(tcp, sizeof(tcp), "%s", duct_err_detail());
    return di_fail(err, "%s; and shm://%s: %s", tcp, dial->addresses.shm.rest,
                   dial->why[0] != '\0' ? dial->why : "not tried, since it is proved over tcp");
}

static enum duct_err dial_poll(void *handle, struct duct_pipe **pipe)
{
    struct dial *dial = handle;
    enum duct_err err = poll_stream(dial, pipe);
    struct stream_meet *tcp = err == DUCT_EAGAIN ? stream_dial_choice(dial->tcp) : NULL;

    if (tcp != NULL)
        err = choose(dial, tcp, pipe);
    return err == DUCT_OK || err == DUCT_EAGAIN ? err : both_failed(dial, err);
}

static void dial_close(void *handle)
{
    struct dial *dial = handle;

    give_up_shared(dial);
    stream_dial_ops.close(dial->tcp);
    part_over(dial);
}

const struct di_dial_ops auto_dial_ops = {.poll = dial_poll, .close = dial_close};

enum duct_err auto_dial(struct duct_context *context, const struct di_url *url,
                        const struct di_options *options, void **out)
{
    struct dial *dial = calloc(1, sizeof(*dial));
    enum duct_err err;

    if (dial == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to dial");
    dial->context = context;
    dial->options = options;
    dial->tcp_options = auto_tcp_options(options);
    dial->parts = 1;
    auto_offer(&dial->offer);
    stream_draw_nonce(&dial->offer);
    if ((err = auto_take_apart(&dial->addresses, url, &options->o)) != DUCT_OK ||
        (err = di_names_path(dial->path, sizeof(dial->path), &dial->addresses.shm, false)) ==
            DUCT_EINVAL ||
        (err = stream_dial(context, &stream_scheme_tcp, &dial->addresses.tcp, &dial->tcp_options,
                           &dial->offer, &dial->tcp)) != DUCT_OK) {
        free(dial);
        return err;
    }
    *out = dial;
    return DUCT_OK;
}
