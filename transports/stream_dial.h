/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_DIAL_H
#define DI_TRANSPORTS_STREAM_DIAL_H

#include "transports/stream.h"

/* What uds and tcp hand to core: dialling and listening, with their own addresses. */
extern const struct di_dial_ops stream_dial_ops;

/* What a stream cannot have is refused, and not ignored. */
enum duct_err stream_check_options(const struct di_url *url,
                                   const struct duct_options *o) DUCT_NODISCARD;

enum duct_err stream_dial(struct duct_context *context, const struct stream_scheme *scheme,
                          const struct di_url *url, const struct di_options *options,
                          void **dial) DUCT_NODISCARD;

enum duct_err stream_listen(struct duct_context *context, const struct stream_scheme *scheme,
                            const struct di_url *url, const struct di_options *options,
                            struct duct_listener **listener) DUCT_NODISCARD;

extern const struct di_transport di_transport_uds;
extern const struct di_transport di_transport_tcp;

#endif
