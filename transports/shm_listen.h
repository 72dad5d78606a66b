/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_SHM_LISTEN_H
#define DI_TRANSPORTS_SHM_LISTEN_H

#include "lib/core/transport.h"

/* The listen of di_transport_shm. */
enum duct_err shm_listen(struct duct_context *context, const struct di_url *url,
                         const struct di_options *options, struct duct_listener **listener);

#endif
