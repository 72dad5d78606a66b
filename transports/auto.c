/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/auto.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/system.h"

/* What both ends of auto:// do alike: its address, and what a process says of where it is. */

static void take(struct di_url *part, const struct di_url *url, const char *scheme, size_t from,
                 size_t to)
{
    memset(part, 0, sizeof(*part));
    memcpy(part->scheme, scheme, strlen(scheme));
    memcpy(part->rest, url->rest + from, to - from);
    part->rest_at = url->rest_at + from;
    part->query_at = url->query_at;
}

enum duct_err auto_take_apart(struct auto_addresses *addresses, const struct di_url *url,
                              const struct duct_options *options)
{
    /* No host has one, a path may. */
    const char *at = strrchr(url->rest, '@');
    size_t length = strlen(url->rest);

    if (at == NULL || at == url->rest || at[1] == '\0')
        return di_fail(
            DUCT_EINVAL, "auto://%s at position %zu: expected %s, as in auto://name@host:port",
            url->rest,
            url->rest_at + (at == NULL ? length : (size_t)(at - url->rest) + (at[1] == '\0')),
            at == NULL        ? "@host:port after the name"
            : at == url->rest ? "a name before the @"
                              : "host:port after the @");
    if (options->durable == DUCT_YES || options->reuse_port == DUCT_YES)
        return di_fail(DUCT_ENOTSUP,
                       "auto:// with %s=1: only one of its two ways has that; use shm:// or tcp://",
                       options->durable == DUCT_YES ? "durable" : "reuseport");
    take(&addresses->shm, url, "shm", 0, (size_t)(at - url->rest));
    take(&addresses->tcp, url, "tcp", (size_t)(at - url->rest) + 1, length);
    return DUCT_OK;
}

/* The number of a namespace is that of its file. */
static uint64_t namespace_of(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 ? status.st_ino : 0;
}

void auto_offer(struct di_offer *offer)
{
    *offer = (struct di_offer){.mount_ns = namespace_of("/proc/self/ns/mnt"),
                               .user_ns = namespace_of("/proc/self/ns/user"),
                               .uid = geteuid()};
    di_boot_id(offer->boot);
}

struct di_options auto_tcp_options(const struct di_options *from)
{
    struct di_options options = *from;

    if (!options.spin_given)
        options.o.spin_ns = 0;
    return options;
}

const struct di_transport di_transport_auto = {
    .scheme = "auto", .dial_ops = &auto_dial_ops, .dial = auto_dial, .listen = auto_listen};
