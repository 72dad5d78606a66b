/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "lib/core/context.h"
#include "lib/core/listener.h"
#include "lib/core/pipe.h"
#include "transports/auto.h"
#include "transports/shm_listen.h"
#include "transports/stream_dial.h"

/*
 * Listening: two listeners behind one. Whoever dials one of them by its own scheme is served, too. One that dials
 * auto:// has a leg on either, for a moment: the stream, which was told a nonce, and the shared one, which shows it.
 * The two know each other (stream_meet.shared, rendezvous.told) from the proof on until the dialer says over the
 * stream which it is; then, or when the stream ends without a word, the other goes. What is half-open on the shared
 * side so lives no longer than the stream's handshake may take.
 */
struct auto_listener {
    struct duct_listener listener; /* first */
    struct duct_listener *shm;
    struct duct_listener *tcp;
    struct rendezvous_prover prover;
    struct stream_offers offers;
    bool tcp_first; /* at the next accept */
    bool shm_stopped;
};

/* The shared leg shows a nonce. */
static enum duct_err check(struct rendezvous_prover *prover, struct rendezvous *shared,
                           const unsigned char *shown, unsigned char *answer)
{
    struct auto_listener *self = di_container(prover, struct auto_listener, prover);
    struct stream_meet *tcp = stream_listener_told(self->tcp, shown);

    if (tcp == NULL || tcp->shared != NULL)
        return di_fail(DUCT_EDENIED, "the peer shows a nonce that %s",
                       tcp == NULL ? "nobody was told" : "was shown already");
    tcp->shared = shared;
    shared->told = tcp;
    memcpy(answer, tcp->shake.peer.offer.nonce, DI_NONCE_SIZE);
    return DUCT_OK;
}

static void part(struct stream_meet *tcp, struct rendezvous *shared)
{
    tcp->shared = NULL;
    shared->told = NULL;
}

/* The shared leg ends; the stream goes on. */
static void gone(struct rendezvous_prover *prover, struct rendezvous *shared)
{
    (void)prover;
    part(shared->told, shared);
}

/* The stream's handshake is over. */
static bool over(struct stream_offers *offers, struct stream_meet *tcp, bool moved)
{
    struct auto_listener *self = di_container(offers, struct auto_listener, offers);
    struct rendezvous *shared = tcp->shared;

    if (shared == NULL)
        return false;
    part(tcp, shared);
    if (moved && shm_listener_admit(self->shm, shared))
        return true;
    shm_listener_drop(self->shm, shared);
    return !moved;
}

static enum duct_err accept_from(struct auto_listener *self, bool tcp, struct duct_pipe **pipe)
{
    struct duct_listener *from = tcp ? self->tcp : self->shm;
    enum duct_err err = from->ops->accept(from, pipe);

    if (err == DUCT_OK)
        di_pipe_chosen(*pipe, !tcp, "the dialer chose it");
    return err;
}

/* In turns, so that neither keeps the other waiting. */
static enum duct_err accept_next(struct duct_listener *listener, struct duct_pipe **pipe)
{
    struct auto_listener *self = (struct auto_listener *)listener;
    bool tcp = self->tcp_first;
    enum duct_err err = accept_from(self, tcp, pipe);

    if (err == DUCT_EAGAIN) {
        tcp = !tcp;
        err = accept_from(self, tcp, pipe);
    }
    if (err != DUCT_EAGAIN)
        self->tcp_first = !tcp;
    return err;
}

static bool ready(struct duct_listener *listener)
{
    struct auto_listener *self = (struct auto_listener *)listener;

    return self->shm->ops->ready(self->shm) || self->tcp->ops->ready(self->tcp);
}

static uint64_t refused(const struct duct_listener *listener)
{
    const struct auto_listener *self = (const struct auto_listener *)listener;

    return self->shm->refused + self->tcp->refused;
}

/* Whoever has connected over TCP may still prove that it shares memory, so that goes last. */
static void shut_down(struct duct_listener *listener)
{
    struct auto_listener *self = (struct auto_listener *)listener;

    self->tcp->ops->shut_down(self->tcp);
}

static uint32_t under_way(struct duct_listener *listener)
{
    struct auto_listener *self = (struct auto_listener *)listener;
    uint32_t tcp = self->tcp->ops->under_way(self->tcp);

    if (tcp == 0 && !self->shm_stopped) {
        self->shm_stopped = true;
        self->shm->ops->shut_down(self->shm);
    }
    return tcp + self->shm->ops->under_way(self->shm);
}

static void close_listener(struct duct_listener *listener)
{
    struct auto_listener *self = (struct auto_listener *)listener;

    /* The streams first: each takes its shared leg along. */
    self->tcp->ops->close(self->tcp);
    self->shm->ops->close(self->shm);
    free(self);
}

static const struct di_listener_ops listener_ops = {.accept = accept_next,
                                                    .ready = ready,
                                                    .refused = refused,
                                                    .shut_down = shut_down,
                                                    .under_way = under_way,
                                                    .close = close_listener};

/* Both of them: this one reports their events. Shared memory first, so that whoever connects over TCP finds it. */
static enum duct_err listen_both(struct auto_listener *self, struct duct_context *context,
                                 const struct auto_addresses *addresses,
                                 const struct di_options *options)
{
    const struct di_options tcp_options = auto_tcp_options(options);
    enum duct_err err = shm_listen(context, &addresses->shm, options, &self->shm);

    if (err != DUCT_OK)
        return err;
    di_list_remove(&self->shm->link);
    err = stream_listen(context, &stream_scheme_tcp, &addresses->tcp, &tcp_options, &self->tcp);
    if (err != DUCT_OK) {
        char reason[DI_DETAIL_MAX];
        snprintf(reason, sizeof(reason), "%s", duct_err_detail());
        self->shm->ops->close(self->shm);
        return di_fail(err, "%s", reason);
    }
    di_list_remove(&self->tcp->link);
    return DUCT_OK;
}

static void offer_shared(struct auto_listener *self, const struct di_options *options)
{
    int64_t patience_ms = options->o.handshake_ns / DUCT_MILLISECOND;

    auto_offer(&self->offers.offer);
    self->offers.offer.flags = DI_OFFER_ENDPOINT;
    self->offers.offer.patience_ms = patience_ms < UINT32_MAX ? (uint32_t)patience_ms : UINT32_MAX;
    self->offers.over = over;
    self->prover = (struct rendezvous_prover){.check = check, .gone = gone};
    shm_listener_prove(self->shm, &self->prover);
    stream_listener_offer(self->tcp, &self->offers);
}

enum duct_err auto_listen(struct duct_context *context, const struct di_url *url,
                          const struct di_options *options, struct duct_listener **listener)
{
    struct auto_addresses addresses;
    enum duct_err err = auto_take_apart(&addresses, url, &options->o);
    struct auto_listener *self = err == DUCT_OK ? calloc(1, sizeof(*self)) : NULL;

    if (self == NULL)
        return err != DUCT_OK ? err : di_fail(DUCT_ENOMEMORY, "no memory for a listener");
    if ((err = listen_both(self, context, &addresses, options)) != DUCT_OK) {
        free(self);
        return err;
    }
    offer_shared(self, options);
    self->listener.ops = &listener_ops;
    self->listener.context = context;
    self->listener.user = options->o.user;
    snprintf(self->listener.url, sizeof(self->listener.url), "%.15s://%.490s", url->scheme,
             url->rest);
    /* As it would be dialled. */
    snprintf(self->listener.path, sizeof(self->listener.path), "%.255s@%.255s", self->shm->path,
             self->tcp->path);
    self->listener.magic = DI_LISTENER_MAGIC;
    di_list_append(&context->listeners, &self->listener.link);
    *listener = &self->listener;
    return DUCT_OK;
}
