/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_CORE_LISTENER_H
#define DI_CORE_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/listener.h>

#include "lib/base/list.h"
#include "lib/base/url.h"
#include "lib/core/transport.h"
#include "lib/io/io.h"

/* The part of a listener that core knows; transports put it first in their own struct. */
#define DI_LISTENER_MAGIC 0x316e657473696c64ull

struct duct_listener {
    uint64_t magic;
    const struct di_listener_ops *ops;
    struct duct_context *context;
    struct di_list link;
    void *user;
    bool stopped; /* duct_listener_shutdown() was called */
    uint64_t refused;
    char url[DI_URL_MAX + 1];
    char path[DI_URL_MAX + 1];
};

/* Takes back its wait for who connects. False: that is not over, and will complete later. */
bool di_listener_recall(struct duct_listener *listener, struct di_io_op *op);

#endif
