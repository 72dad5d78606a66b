/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_DIAL_H
#define DI_TRANSPORTS_STREAM_DIAL_H

#include "transports/stream.h"
#include "transports/stream_meet.h"

/* What uds and tcp hand to core: dialling and listening, with their own addresses. */
extern const struct di_dial_ops stream_dial_ops;

/* What a stream cannot have is refused, and not ignored. */
enum duct_err stream_check_options(const struct di_url *url,
                                   const struct duct_options *o) DUCT_NODISCARD;

/* offer: to share memory, which outlives the dial; NULL: none. */
enum duct_err stream_dial(struct duct_context *context, const struct stream_scheme *scheme,
                          const struct di_url *url, const struct di_options *options,
                          const struct di_offer *offer, void **dial) DUCT_NODISCARD;

/* The handshake of a dial with an offer, while it waits for stream_meet_choose(); else NULL. */
struct stream_meet *stream_dial_choice(void *dial);

/* What a listener that offers to share memory adds to those of streams. */
struct stream_offers {
    struct di_offer offer; /* to all who dial, each with a nonce of its own */
    /* The handshake of one that proved to share (meet->shared), or says that the pipe moved, is over in one way or
     * another. False: it says so, and did not prove it. */
    bool (*over)(struct stream_offers *offers, struct stream_meet *meet, bool moved);
};

/* Before the loop turns; offers outlives the listener. */
void stream_listener_offer(struct duct_listener *listener, struct stream_offers *offers);

/* Who was told that nonce in a handshake still under way; NULL: nobody. */
struct stream_meet *stream_listener_told(struct duct_listener *listener,
                                         const unsigned char *nonce);

enum duct_err stream_listen(struct duct_context *context, const struct stream_scheme *scheme,
                            const struct di_url *url, const struct di_options *options,
                            struct duct_listener **listener) DUCT_NODISCARD;

#endif
