/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/leg.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/hostile/must.h"

/* Where the fields are: docs/PROTOCOL.md, once more. */
enum { AT_BOOT = 40, AT_FLAGS = 76, AT_PATIENCE = 80, AT_NONCE = 88 };

static void put(unsigned char *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * (bytes - 1 - i));
}

static uint64_t get(const unsigned char *at, unsigned bytes)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

struct leg_offer leg_offer(unsigned char tag)
{
    struct leg_offer offer = {.flags = LEG_ENDPOINT, .patience_ms = 2000, .nonce = {tag, 1}};
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    unsigned digits = 0, value;
    char c[2] = "";

    MUST(file != NULL);
    while (digits < 32 && fread(c, 1, 1, file) == 1) {
        if (sscanf(c, "%1x", &value) != 1)
            continue;
        offer.boot[digits / 2] = (unsigned char)(offer.boot[digits / 2] << 4 | value);
        digits++;
    }
    fclose(file);
    return offer;
}

static void begin(unsigned char *out, uint16_t kind, size_t size)
{
    memset(out, 0, size);
    memcpy(out, "duct", 4);
    put(out + 4, kind, 2);
    put(out + 6, size, 2);
}

size_t leg_hello(unsigned char *out, uint64_t session, const struct leg_offer *offer)
{
    begin(out, LEG_HELLO, LEG_HELLO_SIZE);
    put(out + 8, 1, 2);
    put(out + 10, 1, 2);
    put(out + 12, 1, 4); /* has: an offer */
    put(out + 20, 65536, 4);
    put(out + 24, 65536, 8);
    put(out + 32, session, 8);
    memcpy(out + AT_BOOT, offer->boot, sizeof(offer->boot));
    put(out + AT_FLAGS, offer->flags, 4);
    put(out + AT_PATIENCE, offer->patience_ms, 4);
    memcpy(out + AT_NONCE, offer->nonce, sizeof(offer->nonce));
    return LEG_HELLO_SIZE;
}

size_t leg_last(unsigned char *out, uint16_t kind, uint64_t session)
{
    begin(out, kind, 16);
    put(out + 8, session, 8);
    return 16;
}

bool leg_offered(const unsigned char *bytes, size_t size, uint64_t *session,
                 struct leg_offer *offer)
{
    if (size < LEG_HELLO_SIZE || leg_kind(bytes) != LEG_HELLO || !(get(bytes + 12, 4) & 1))
        return false;
    *session = get(bytes + 32, 8);
    memcpy(offer->boot, bytes + AT_BOOT, sizeof(offer->boot));
    offer->flags = (uint32_t)get(bytes + AT_FLAGS, 4);
    offer->patience_ms = (uint32_t)get(bytes + AT_PATIENCE, 4);
    memcpy(offer->nonce, bytes + AT_NONCE, sizeof(offer->nonce));
    return true;
}

uint16_t leg_kind(const unsigned char *bytes)
{
    return (uint16_t)get(bytes + 4, 2);
}

static int loopback(unsigned port, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    MUST(fd >= 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                    .sin_port = htons((uint16_t)port)};
    return fd;
}

int leg_connect(unsigned port)
{
    struct sockaddr_in address;
    int fd = loopback(port, &address);

    MUST(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    return fd;
}

int leg_listen(unsigned *port)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int fd = loopback(0, &address);

    MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 16) == 0);
    MUST(getsockname(fd, (struct sockaddr *)&address, &size) == 0);
    *port = ntohs(address.sin_port);
    return fd;
}
