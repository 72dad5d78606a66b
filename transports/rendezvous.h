/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_RENDEZVOUS_H
#define DI_TRANSPORTS_RENDEZVOUS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/url.h"
#include "lib/core/context.h"
#include "transports/bootstrap.h"
#include "transports/control.h"
#include "transports/link.h"

/*
 * A rendezvous: the handshake of one pipe over its control socket, from either end, as a state
 * machine that the loop drives. It ends by calling done() once, from within the loop, with DUCT_OK
 * and a link whose lanes are ready to start, or with the reason why not.
 *
 * The peer is checked before anything of its is mapped: its credentials come with its HELLO, from
 * the kernel, and not from the socket, whose SO_PEERCRED names whoever called listen().
 */
struct rendezvous;

/* What a dialer shows, and wants to see, to prove that both ends are those of another connection as well. */
struct rendezvous_proof {
    unsigned char shown[DI_BOOT_NONCE];    /* what the peer told us there */
    unsigned char expected[DI_BOOT_NONCE]; /* and we the peer */
};

/* The listener's side of it: who knows which nonces were told. */
struct rendezvous_prover {
    /* DUCT_OK: it was told to one that has not shown it before; answer is what that one told us. From then on until
     * gone(), rendezvous->told is the prover's. */
    enum duct_err (*check)(struct rendezvous_prover *prover, struct rendezvous *rendezvous,
                           const unsigned char *shown, unsigned char *answer);
    /* One that was proved ends before it was taken. */
    void (*gone)(struct rendezvous_prover *prover, struct rendezvous *rendezvous);
};

struct rendezvous {
    struct duct_context *context;
    struct link *link;
    const struct di_options *options; /* outlive the rendezvous */
    bool dialer;
    const struct rendezvous_proof
        *proof;                       /* the dialer's, which outlives it; NULL: nothing is proved */
    struct rendezvous_prover *prover; /* the listener's; NULL: nothing can be */
    void *told;                       /* the prover's */
    bool proving;
    int state;
    pid_t dialer_pid; /* the listener's: see victim() in shm_listen.c */
    struct di_io_op socket_op;
    struct di_io_op timer_op;
    unsigned in_flight;
    bool finished;
    enum duct_err result;
    char detail[DI_URL_MAX]; /* of the result, for whoever reports it later */
    /* The listener's, before memory is allocated for the blocks that the peer's HELLO announces. */
    void (*allocating)(struct rendezvous *rendezvous);
    void (*done)(struct rendezvous *rendezvous, enum duct_err err);
    void (*freed)(struct rendezvous *rendezvous); /* after close, when no operation is in flight */
    void *user;
    struct di_list list; /* for whoever keeps it */
};

/*
 * Begins over socket, which it takes, whatever comes. timeout_ns: for the whole handshake;
 * DUCT_FOREVER: somebody else watches the time. Errors, with everything undone: NOMEMORY and
 * others.
 */
enum duct_err rendezvous_begin(struct rendezvous *rendezvous, struct duct_context *context,
                               int socket, bool dialer, const struct di_options *options,
                               int64_t timeout_ns) DUCT_NODISCARD;

/* Bytes that a listener allocates because the peer's HELLO says so: room for the return of each of its blocks. */
uint64_t rendezvous_asked_bytes(const struct rendezvous *rendezvous);

/* Takes the link out of one that is done; the caller's from now on. */
struct link *rendezvous_take_link(struct rendezvous *rendezvous);

/* Tells the peer that there is no room for it now, and that it may come again: before the close. */
void rendezvous_put_off(struct rendezvous *rendezvous);

/* Ends it in any state; done() is not called any more; freed() is, now or later. */
void rendezvous_close(struct rendezvous *rendezvous);

#endif
