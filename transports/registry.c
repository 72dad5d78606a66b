/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <string.h>

#include "lib/core/transport.h"
#include "transports/auto.h"
#include "transports/shm.h"
#include "transports/stream_schemes.h"

/* The one file that names every transport. */

static const struct di_transport *const transports[] = {&di_transport_shm, &di_transport_uds,
                                                        &di_transport_tcp, &di_transport_auto};

const struct di_transport *di_transport_find(const char *scheme)
{
    for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
        if (strcmp(transports[i]->scheme, scheme) == 0)
            return transports[i];
    }
    return NULL;
}

const char *di_transport_names(void)
{
    return "shm, uds, tcp, auto";
}
