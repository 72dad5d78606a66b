/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_AUTO_H
#define DI_TRANSPORTS_AUTO_H

#include "lib/base/url.h"
#include "lib/core/transport.h"
#include "lib/protocol/offer.h"

/*
 * auto://name@host:port: shared memory where both ends share some, else TCP.
 *
 * The listener listens at shm://name and at tcp://host:port. The dialer connects over TCP, where both say in their
 * HELLO where they are, and each tells the other a nonce. If that looks like one machine, the dialer dials shm://name
 * (the name it was given, never one of the peer's) and shows the nonce it was told; only a listener that knows it can
 * go on, and it shows the dialer's. So what answers there is who answered over TCP, on both sides. Then the dialer
 * says over TCP that the pipe moved, and closes that connection. Whatever fails on the way, it says READY instead,
 * and the pipe is the TCP one. What is handed out is the pipe of the one or of the other scheme, and nothing around
 * it.
 */
extern const struct di_transport di_transport_auto;

/* The two addresses in one. */
struct auto_addresses {
    struct di_url shm;
    struct di_url tcp;
};

/* Errors: INVALID, with the position; NOTSUP, for options that only one of the two has. */
enum duct_err auto_take_apart(struct auto_addresses *addresses, const struct di_url *url,
                              const struct duct_options *options) DUCT_NODISCARD;

/* What this process can say of where it is; without a nonce. */
void auto_offer(struct di_offer *offer);

/* The options of the TCP leg: a stream spins only where somebody asked for it. What they own stays from's. */
struct di_options auto_tcp_options(const struct di_options *from);

enum duct_err auto_dial(struct duct_context *context, const struct di_url *url,
                        const struct di_options *options, void **dial) DUCT_NODISCARD;
extern const struct di_dial_ops auto_dial_ops;

enum duct_err auto_listen(struct duct_context *context, const struct di_url *url,
                          const struct di_options *options,
                          struct duct_listener **listener) DUCT_NODISCARD;

#endif
