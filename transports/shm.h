/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_SHM_H
#define DI_TRANSPORTS_SHM_H

#include "lib/core/transport.h"

/* shm://name and shm:///path: pipes through shared memory, met over a Unix socket. */
extern const struct di_transport di_transport_shm;

#endif
