/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_SHM_LISTEN_H
#define DI_TRANSPORTS_SHM_LISTEN_H

#include "lib/core/transport.h"
#include "transports/rendezvous.h"

/* The listen of di_transport_shm. */
enum duct_err shm_listen(struct duct_context *context, const struct di_url *url,
                         const struct di_options *options, struct duct_listener **listener);

/* Has its dialers' nonces checked, for auto://. Before the loop turns; prover outlives the listener. One that was
 * proved stays half-open until it is admitted or dropped. */
void shm_listener_prove(struct duct_listener *listener, struct rendezvous_prover *prover);

/* It is to be accepted. False, and nothing has changed: its handshake is not complete. */
bool shm_listener_admit(struct duct_listener *listener, struct rendezvous *rendezvous);
void shm_listener_drop(struct duct_listener *listener, struct rendezvous *rendezvous);

#endif
