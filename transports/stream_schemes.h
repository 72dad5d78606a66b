/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_SCHEMES_H
#define DI_TRANSPORTS_STREAM_SCHEMES_H

#include "transports/stream.h"

/* The schemes over byte streams: what they say of their addresses, and what core gets of them. */
extern const struct stream_scheme stream_scheme_tcp;
extern const struct stream_scheme stream_scheme_uds;

extern const struct di_transport di_transport_tcp;
extern const struct di_transport di_transport_uds;

#endif
