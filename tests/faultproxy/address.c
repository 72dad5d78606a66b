/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/faultproxy/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The size of the address; 0: it is none. */
static socklen_t fill(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *colon = strrchr(text, ':');
    size_t length = strlen(text);
    char host[64];

    if (text[0] == '/' || text[0] == '@') {
        if (length >= sizeof(un.sun_path))
            return 0;
        memcpy(un.sun_path, text, length);
        if (text[0] == '@')
            un.sun_path[0] = '\0';
        memcpy(out, &un, sizeof(un));
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (text[0] == '/'));
    }
    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        return 0;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    in.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (inet_pton(AF_INET, host, &in.sin_addr) != 1)
        return 0;
    memcpy(out, &in, sizeof(in));
    return sizeof(in);
}

static int open_socket(const char *text, struct sockaddr_storage *at, socklen_t *size)
{
    const int one = 1;

    if ((*size = fill(text, at)) == 0) {
        errno = EINVAL;
        return -1;
    }
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && at->ss_family == AF_INET)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

int address_connect(const char *address)
{
    struct sockaddr_storage at;
    socklen_t size;
    int fd = open_socket(address, &at, &size);

    if (fd >= 0 && connect(fd, (struct sockaddr *)&at, size) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int address_listen(const char *address, char *name, size_t capacity)
{
    struct sockaddr_storage at;
    socklen_t size;
    int fd = open_socket(address, &at, &size);

    if (fd >= 0 && (bind(fd, (struct sockaddr *)&at, size) != 0 || listen(fd, 16) != 0)) {
        close(fd);
        return -1;
    }
    snprintf(name, capacity, "%s", address);
    if (fd >= 0 && at.ss_family == AF_INET && getsockname(fd, (struct sockaddr *)&at, &size) == 0)
        snprintf(name, capacity, "127.0.0.1:%u",
                 ntohs(((const struct sockaddr_in *)(const void *)&at)->sin_port));
    return fd;
}
