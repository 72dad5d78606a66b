/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/fork.h"
#include "transports/stream_schemes.h"

/*
 * tcp://host:port. A host is a number (127.0.0.1, [::1]) or a name; without one it is the loopback's. Numbers are
 * taken as they are. A name is looked up with getaddrinfo(), which may wait for a name server as long as
 * resolv.conf says (5 s, twice, by default) and cannot be cancelled: the one place where a call waits longer than
 * it was told to. A program that cannot afford that dials numbers.
 */

/* A peer whose machine has gone: probed after so many seconds of silence, so many times, so many apart; and
 * given up when it acknowledged nothing for so long. Half a minute in both cases. */
#define IDLE_S     15
#define APART_S    5
#define PROBES     3
#define UNACKED_MS ((IDLE_S + PROBES * APART_S) * 1000)

struct place {
    char host[256];
    char port[8];
};

static enum duct_err bad_port(const struct di_url *url, size_t at)
{
    return di_fail(DUCT_EINVAL,
                   "tcp://%s at position %zu: expected host:port, with a port from 0 to 65535 and "
                   "an IPv6 number in brackets",
                   url->rest, url->rest_at + at);
}

/* host:port, [v6]:port, :port */
static enum duct_err take_apart(const struct di_url *url, struct place *place)
{
    const char *text = url->rest;
    const char *colon = strrchr(text, ':');
    size_t length = colon == NULL ? 0 : (size_t)(colon - text);
    char *end;

    if (colon == NULL || colon[1] < '0' || colon[1] > '9' || strlen(colon + 1) > 5 ||
        strtoul(colon + 1, &end, 10) > 65535 || *end != '\0')
        return bad_port(url, colon == NULL ? strlen(text) : length + 1);
    if (text[0] == '[') {
        if (length < 2 || text[length - 1] != ']')
            return bad_port(url, 0);
        text++;
        length -= 2;
    } else if (memchr(text, ':', length) != NULL) {
        return bad_port(url, 0);
    }
    if (length >= sizeof(place->host))
        return bad_port(url, sizeof(place->host));
    memcpy(place->host, text, length);
    place->host[length] = '\0';
    snprintf(place->port, sizeof(place->port), "%s", colon + 1);
    return DUCT_OK;
}

static enum duct_err unresolved(const struct di_url *url, const struct place *place, int code)
{
    if (code == EAI_MEMORY)
        return di_fail(DUCT_ENOMEMORY, "no memory to look up %s", place->host);
    if (code == EAI_SYSTEM)
        return di_fail_os(errno, "looking up %s", place->host);
    if (code == EAI_AGAIN)
        return di_fail(DUCT_EOS, "looking up %s: no name server answered", place->host);
    return di_fail(DUCT_EINVAL, "tcp://%s at position %zu: there is no host %s (%s)", url->rest,
                   url->rest_at, place->host, gai_strerror(code));
}

/* Numbers first: they need no name server, and are never looked up. */
static enum duct_err look_up(const struct di_url *url, struct addrinfo **found)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct place place;
    enum duct_err err = take_apart(url, &place);

    if (err != DUCT_OK)
        return err;
    const char *host = place.host[0] != '\0' ? place.host : "127.0.0.1";
    int code = getaddrinfo(host, place.port, &hints, found);
    if (code == EAI_NONAME) {
        hints.ai_flags = AI_NUMERICSERV;
        code = getaddrinfo(host, place.port, &hints, found);
    }
    return code == 0 ? DUCT_OK : unresolved(url, &place, code);
}

static void name_of(char *name, size_t capacity, const struct sockaddr *at, socklen_t size)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (getnameinfo(at, size, host, sizeof(host), port, sizeof(port),
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(name, capacity, "?");
    else
        snprintf(name, capacity, at->sa_family == AF_INET6 ? "[%.80s]:%.8s" : "%.80s:%.8s", host,
                 port);
}

static enum duct_err resolve(const struct di_url *url, struct stream_address *addresses,
                             unsigned *count)
{
    struct addrinfo *found;
    enum duct_err err = look_up(url, &found);

    if (err != DUCT_OK)
        return err;
    *count = 0;
    for (struct addrinfo *at = found; at != NULL && *count < STREAM_ADDRESSES_MAX;
         at = at->ai_next) {
        struct stream_address *address = &addresses[(*count)++];
        memcpy(&address->at, at->ai_addr, at->ai_addrlen);
        address->size = at->ai_addrlen;
        name_of(address->name, sizeof(address->name), at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(found);
    return DUCT_OK;
}

static void set(int fd, int level, int option, int value)
{
    /* What a kernel does not know is done without. */
    setsockopt(fd, level, option, &value, sizeof(value));
}

static void tune(int fd)
{
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* what is to leave together is gathered above */
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, IDLE_S);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, APART_S);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, PROBES);
    set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNACKED_MS);
}

static enum duct_err bind_one(int fd, const struct addrinfo *at, const struct di_options *options,
                              const char *name)
{
    set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (options->o.reuse_port == DUCT_YES)
        set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (at->ai_family == AF_INET6)
        set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, (int)options->o.backlog) != 0) {
        if (errno == EADDRINUSE)
            return di_fail(DUCT_EINUSE,
                           "%s has a listener; stop it, choose another port, or give reuseport=1 "
                           "to all who share it",
                           name);
        return di_fail_os(errno, "listening at %s", name);
    }
    return DUCT_OK;
}

/* The first address of the name: one listener is one socket. */
static enum duct_err listen_at(struct di_io *io, const struct di_url *url,
                               const struct di_options *options, int *out, char *name,
                               size_t capacity, void **state)
{
    struct sockaddr_storage bound;
    socklen_t size = sizeof(bound);
    struct addrinfo *found;
    enum duct_err err = look_up(url, &found);

    (void)io;
    *state = NULL;
    if (err != DUCT_OK)
        return err;
    name_of(name, capacity, found->ai_addr, found->ai_addrlen);
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        err = di_fail_os(errno, "a socket for %s", name);
    else
        err = bind_one(fd, found, options, name);
    freeaddrinfo(found);
    if (err != DUCT_OK) {
        if (fd >= 0)
            close(fd);
        return err;
    }
    if (getsockname(fd, (struct sockaddr *)&bound, &size) == 0)
        name_of(name, capacity, (struct sockaddr *)&bound, size);
    di_fork_close_in_child(fd);
    *out = fd;
    return DUCT_OK;
}

static void unlisten(struct di_io *io, int fd, void *state)
{
    (void)io;
    (void)state;
    di_fork_close(fd);
}

/* Nobody says who it is: that is for a scheme with keys. */
static enum duct_err identify(int fd, const struct di_options *options, struct stream_peer *peer)
{
    (void)fd;
    (void)options;
    *peer = (struct stream_peer){.uid = UINT32_MAX, .gid = UINT32_MAX};
    return DUCT_OK;
}

/* The host alone: its connections differ in the port. */
static void who(int fd, char *name, size_t capacity)
{
    struct sockaddr_storage at;
    socklen_t size = sizeof(at);

    if (getpeername(fd, (struct sockaddr *)&at, &size) != 0 ||
        getnameinfo((struct sockaddr *)&at, size, name, (socklen_t)capacity, NULL, 0,
                    NI_NUMERICHOST) != 0)
        name[0] = '\0';
}

const struct stream_scheme stream_scheme_tcp = {.name = "tcp",
                                                .resolve = resolve,
                                                .listen = listen_at,
                                                .unlisten = unlisten,
                                                .tune = tune,
                                                .identify = identify,
                                                .who = who};
