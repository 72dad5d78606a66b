/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transports/raw.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/protocol/handshake.h"

struct duct_context *raw_context;
struct duct_listener *raw_listener;

void raw_listen(const char *query)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[128];

    cr_assert_eq(duct_context_open(&raw_context, NULL), DUCT_OK);
    options.context = raw_context;
    snprintf(url, sizeof(url), "tcp://127.0.0.1:0%s", query);
    cr_assert_eq(duct_listen(&raw_listener, url, &options), DUCT_OK, "%s", duct_err_detail());
}

void raw_close(void)
{
    duct_context_close(raw_context);
}

int raw_connect(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(duct_listener_path(raw_listener), ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_not_null(port);
    address.sin_port = htons((uint16_t)atoi(port + 1));
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

void raw_say(int fd, const void *bytes, size_t size)
{
    cr_assert_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

struct raw raw_meet(void)
{
    const struct di_hello own = {.version_min = 1,
                                 .version_max = 1,
                                 .frame_max = 65536,
                                 .message_max = 65536,
                                 .session = 0x0102030405060708};
    unsigned char bytes[DI_SHAKE_MAX], told[DI_SHAKE_MAX];
    struct raw raw = {.fd = raw_connect(), .session = own.session};
    struct di_shake shake;
    size_t used, size;

    raw_say(raw.fd, bytes, di_shake_begin(&shake, true, &own, bytes));
    /* The answer comes out of the listener's loop, on a busy machine not in its first turn. */
    ssize_t got;
    while ((got = recv(raw.fd, told, sizeof(told), MSG_DONTWAIT)) < 0)
        cr_assert_eq(duct_accept(raw_listener, &raw.pipe, 5 * DUCT_MILLISECOND), DUCT_ETIMEOUT);
    cr_assert_gt(got, 0);
    cr_assert_eq(di_shake_take(&shake, told, (size_t)got, &used, bytes, &size), DUCT_OK);
    raw_say(raw.fd, bytes, size);
    cr_assert_eq(duct_accept(raw_listener, &raw.pipe, 5 * DUCT_SECOND), DUCT_OK);
    return raw;
}

struct di_frame raw_frame(const struct raw *raw, uint32_t size)
{
    return (struct di_frame){
        .size = size, .type = DI_FRAME_DATA, .session = (uint32_t)raw->session, .whole = size};
}

void raw_say_frame(const struct raw *raw, const struct di_frame *frame, size_t payload)
{
    static unsigned char bytes[DI_WIRE_HEADER + 70000];

    di_wire_put(bytes, frame);
    memset(bytes + DI_WIRE_HEADER, 'p', payload);
    raw_say(raw->fd, bytes, DI_WIRE_HEADER + di_wire_padded(payload));
}

void raw_hear_frame(const struct raw *raw, struct di_frame *frame, unsigned char *payload)
{
    const struct di_wire_rules rules = {
        .session = (uint32_t)raw->session, .frame_max = 65536, .message_max = 65536};
    unsigned char header[DI_WIRE_HEADER];

    cr_assert_eq(recv(raw->fd, header, sizeof(header), MSG_WAITALL), (ssize_t)sizeof(header));
    cr_assert_eq(di_wire_get(frame, header, &rules), DUCT_OK, "%s", duct_err_detail());
    size_t size = di_wire_padded(frame->size);
    if (size > 0)
        cr_assert_eq(recv(raw->fd, payload, size, MSG_WAITALL), (ssize_t)size);
}
