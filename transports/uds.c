/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/fork.h"
#include "shm/names.h"
#include "transports/identity.h"
#include "transports/stream_schemes.h"

/*
 * uds:///path and uds://@name, the latter in the kernel's abstract namespace, which leaves no file behind. A path
 * is owned and taken over by the rules of shm/names.h. The kernel says who is at the other end: of whoever
 * dialled, who it is; of whoever listens, who called listen().
 */

static enum duct_err fill(const struct di_url *url, struct stream_address *address)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t length = strlen(url->rest);

    if (url->rest[0] != '/' && url->rest[0] != '@')
        return di_fail(DUCT_EINVAL,
                       "uds://%s at position %zu: expected /path, or @name of the abstract "
                       "namespace",
                       url->rest, url->rest_at);
    if (length < 2 || length > DI_SOCKET_PATH_MAX)
        return di_fail(DUCT_EINVAL,
                       "uds://%s at position %zu: expected 2 to %d bytes, and these are %zu",
                       url->rest, url->rest_at, DI_SOCKET_PATH_MAX, length);
    memcpy(at.sun_path, url->rest, length);
    address->size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
    if (url->rest[0] == '@') {
        at.sun_path[0] = '\0';
        address->size--; /* a name ends with the address, not with a NUL */
    }
    memcpy(&address->at, &at, sizeof(at));
    snprintf(address->name, sizeof(address->name), "%.*s", DI_SOCKET_PATH_MAX, url->rest);
    return DUCT_OK;
}

static enum duct_err resolve(const struct di_url *url, struct stream_address *addresses,
                             unsigned *count)
{
    *count = 1;
    return fill(url, &addresses[0]);
}

/* Others than our own uid may connect only if the options name them. */
static bool open_to_others(const struct duct_options *options)
{
    for (size_t i = 0; i < options->allow_uid_count; i++) {
        if (options->allow_uids[i] != geteuid())
            return true;
    }
    return false;
}

static enum duct_err listen_abstract(const struct stream_address *address, int backlog, int *out)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return di_fail_os(errno, "a socket for %s", address->name);
    if (bind(fd, (const struct sockaddr *)&address->at, address->size) != 0 ||
        listen(fd, backlog) != 0) {
        enum duct_err err =
            errno == EADDRINUSE
                ? di_fail(DUCT_EINUSE, "%s has a listener; stop it, or choose another name",
                          address->name)
                : di_fail_os(errno, "listening at %s", address->name);
        close(fd);
        return err;
    }
    di_fork_close_in_child(fd);
    *out = fd;
    return DUCT_OK;
}

static enum duct_err listen_at(struct di_io *io, const struct di_url *url,
                               const struct di_options *options, int *fd, char *name,
                               size_t capacity, void **state)
{
    struct stream_address address;
    enum duct_err err = fill(url, &address);

    (void)io;
    *state = NULL;
    if (err != DUCT_OK)
        return err;
    snprintf(name, capacity, "%s", address.name);
    if (url->rest[0] == '@')
        return listen_abstract(&address, (int)options->o.backlog, fd);
    struct di_bound *bound = malloc(sizeof(*bound));
    if (bound == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a listener");
    err = di_names_bind_stream(bound, address.name, open_to_others(&options->o),
                               (int)options->o.backlog);
    if (err != DUCT_OK) {
        free(bound);
        return err;
    }
    *fd = bound->socket;
    *state = bound;
    return DUCT_OK;
}

static void unlisten(struct di_io *io, int fd, void *state)
{
    (void)io;
    if (state == NULL) {
        di_fork_close(fd);
        return;
    }
    di_names_unbind(state);
    free(state);
}

static void tune(int fd)
{
    (void)fd;
}

static enum duct_err identify(int fd, const struct di_options *options, struct stream_peer *peer)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return di_fail_os(errno, "asking who the peer is");
    *peer = (struct stream_peer){
        .pid = credentials.pid, .uid = credentials.uid, .gid = credentials.gid};
    return identity_check_uid(peer->uid, &options->o);
}

static void who(int fd, char *name, size_t capacity)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);

    name[0] = '\0';
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0)
        snprintf(name, capacity, "process %d of uid %u", credentials.pid, credentials.uid);
}

const struct stream_scheme stream_scheme_uds = {.name = "uds",
                                                .resolve = resolve,
                                                .listen = listen_at,
                                                .unlisten = unlisten,
                                                .tune = tune,
                                                .identify = identify,
                                                .who = who};
