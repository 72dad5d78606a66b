/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/hostile/must.h"

/* Numbers of so many bytes, the largest byte first. */
static unsigned char *put(unsigned char *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
    return out + bytes;
}

static uint64_t get(const unsigned char *in, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

static socklen_t address_of(const char *path, struct sockaddr_storage *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const char *colon = strrchr(path, ':');
    char host[64];

    if (path[0] == '@') {
        memcpy(un.sun_path + 1, path + 1, strlen(path + 1));
        memcpy(out, &un, sizeof(un));
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    }
    MUST(colon != NULL && (size_t)(colon - path) < sizeof(host));
    memcpy(host, path, (size_t)(colon - path));
    host[colon - path] = '\0';
    MUST(inet_pton(AF_INET, host, &in.sin_addr) == 1);
    in.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    memcpy(out, &in, sizeof(in));
    return sizeof(in);
}

void wire_connect(struct wire *wire, const char *path)
{
    struct sockaddr_storage address;
    socklen_t size = address_of(path, &address);

    *wire = (struct wire){.session = WIRE_HONEST.session};
    wire->fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(wire->fd >= 0);
    MUST(connect(wire->fd, (struct sockaddr *)&address, size) == 0);
}

void wire_close(struct wire *wire)
{
    if (wire->fd >= 0)
        close(wire->fd);
    wire->fd = -1;
}

static unsigned char *put_prefix(unsigned char *out, uint32_t magic, unsigned kind, unsigned size)
{
    return put(put(put(out, magic, 4), kind, 2), size, 2);
}

size_t wire_put_hello(unsigned char *out, const struct wire_hello *hello)
{
    unsigned char *at = put_prefix(out, hello->magic, WIRE_HELLO, WIRE_HELLO_SIZE);

    at = put(put(at, hello->version_min, 2), hello->version_max, 2);
    at = put(put(put(at, hello->has, 4), hello->needs, 4), hello->frame_max, 4);
    at = put(put(at, hello->message_max, 8), hello->session, 8);
    return (size_t)(at - out);
}

size_t wire_put_ready(unsigned char *out, uint64_t session)
{
    return (size_t)(put(put_prefix(out, WIRE_MAGIC, WIRE_READY, WIRE_READY_SIZE), session, 8) -
                    out);
}

size_t wire_put_frame(unsigned char *out, const struct wire_frame *f)
{
    unsigned char *at = put(put(put(put(out, f->size, 4), f->type, 1), f->flags, 1), f->channel, 2);

    at = put(put(put(put(at, f->tag, 8), f->session, 4), f->seq, 4), f->ack, 4);
    at = put(put(put(at, f->whole, 4), f->offset, 4), f->reserved, 4);
    return (size_t)(at - out);
}

struct wire_frame wire_data(const struct wire *wire, uint32_t size)
{
    return (struct wire_frame){.size = size,
                               .type = WIRE_DATA,
                               .session = (uint32_t)wire->session,
                               .seq = wire->seq,
                               .whole = size};
}

struct wire_frame wire_note(const struct wire *wire, uint8_t type)
{
    return (struct wire_frame){.type = type, .session = (uint32_t)wire->session, .seq = wire->seq};
}

bool wire_say(struct wire *wire, const void *bytes, size_t size)
{
    return send(wire->fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

bool wire_say_frame(struct wire *wire, const struct wire_frame *frame, size_t payload)
{
    static unsigned char bytes[WIRE_HEADER_SIZE + 70000];
    size_t padded = (payload + 7) / 8 * 8;

    MUST(padded <= 70000);
    size_t size = wire_put_frame(bytes, frame);
    memset(bytes + size, 0, padded);
    memset(bytes + size, 'p', payload);
    return wire_say(wire, bytes, size + padded);
}

long wire_hear(struct wire *wire, void *bytes, size_t capacity)
{
    ssize_t got = recv(wire->fd, bytes, capacity, MSG_DONTWAIT);

    if (got > 0)
        return (long)got;
    if (got < 0 && errno == EAGAIN)
        return 0;
    MUST(got == 0 || errno == ECONNRESET || errno == EPIPE);
    return -1;
}

uint32_t wire_kind(const unsigned char *message)
{
    return (uint32_t)get(message + 4, 2);
}

uint32_t wire_code(const unsigned char *message)
{
    return (uint32_t)get(message + 8, 4);
}

size_t wire_frame_bytes(const unsigned char *frame)
{
    return WIRE_HEADER_SIZE + (get(frame, 4) + 7) / 8 * 8;
}

uint32_t wire_frame_type(const unsigned char *frame)
{
    return (uint32_t)get(frame + 4, 1);
}

uint32_t wire_close_err(const unsigned char *frame)
{
    return (uint32_t)get(frame + WIRE_HEADER_SIZE + 4, 4);
}
