/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <duct/duct.h>

#include "lib/protocol/handshake.h"
#include "tests/transports/raw.h"

/*
 * Peers of tcp:// that are none, or break the rules after the handshake: each is turned away or closed by itself,
 * counted, and the honest ones go on. And what a dial says that finds nobody.
 */

/* Runs the listener until it has turned away so many. */
static void until_refused(uint64_t count)
{
    struct duct_pipe *pipe = NULL;

    while (duct_listener_refused(raw_listener) < count) {
        enum duct_err err = duct_accept(raw_listener, &pipe, 5 * DUCT_MILLISECOND);
        cr_assert_eq(err, DUCT_ETIMEOUT);
    }
    cr_assert_eq(duct_listener_refused(raw_listener), count);
}

/* What comes before the socket's end, which takes the listener's loop to come. */
static size_t answer(int fd, unsigned char *bytes, size_t size)
{
    struct duct_pipe *pipe = NULL;
    size_t got = 0;
    ssize_t part;

    while ((part = recv(fd, bytes + got, size - got, MSG_DONTWAIT)) != 0) {
        if (part > 0)
            got += (size_t)part;
        else
            cr_assert_eq(duct_accept(raw_listener, &pipe, DUCT_MILLISECOND), DUCT_ETIMEOUT);
    }
    close(fd);
    return got;
}

Test(stream_peers, strangers_are_turned_away_without_an_answer)
{
    static const struct {
        const char *bytes;
        size_t size;
    } strangers[] = {{"GET / HTTP/1.1\r\n\r\n", 18},
                     {"\x16\x03\x01\x02\x00\x01", 6},
                     {"\0\0\0\0\0\0\0\0", 8},
                     {"X", 1}};
    unsigned char bytes[512];

    raw_listen("");
    for (size_t i = 0; i < 4; i++) {
        int fd = raw_connect();
        raw_say(fd, strangers[i].bytes, strangers[i].size);
        until_refused(i + 1);
        cr_assert_eq(answer(fd, bytes, sizeof(bytes)), 0);
    }
    raw_close();
}

Test(stream_peers, another_version_hears_both)
{
    const struct di_hello future = {
        .version_min = 7, .version_max = 9, .frame_max = 65536, .message_max = 65536, .session = 1};
    unsigned char bytes[DI_SHAKE_MAX], told[DI_SHAKE_MAX], reply[DI_SHAKE_MAX];
    struct di_shake shake;
    size_t used, replied;

    raw_listen("");
    int fd = raw_connect();
    raw_say(fd, bytes, di_shake_begin(&shake, true, &future, bytes));
    until_refused(1);
    size_t size = answer(fd, told, sizeof(told));
    cr_assert_eq(di_shake_take(&shake, told, size, &used, reply, &replied), DUCT_EVERSION);
    cr_assert(strstr(duct_err_detail(), "7 to 9") && strstr(duct_err_detail(), "1 to 1"));
    raw_close();
}

Test(stream_peers, silence_has_its_time)
{
    unsigned char bytes[512];

    raw_listen("?handshake=20ms");
    int fd = raw_connect();
    int half = raw_connect();
    raw_say(half, "duct", 4);
    until_refused(2);
    answer(fd, bytes, sizeof(bytes));
    answer(half, bytes, sizeof(bytes));
    raw_close();
}

/* ---- Dialling nobody ---- */

static enum duct_err dial_gives(const char *url, const char *words)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe = NULL;

    options.context = raw_context;
    options.dial_ns = 200 * DUCT_MILLISECOND;
    enum duct_err err = duct_dial(&pipe, url, &options);
    cr_assert_null(pipe);
    cr_assert_not_null(strstr(duct_err_detail(), words), "%s: %s", url, duct_err_detail());
    return err;
}

Test(stream_dial, each_failure_has_its_own_error_and_names_the_address)
{
    raw_listen("");
    char url[160], held[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);

    /* A port that is taken, and nobody listens. */
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(held, sizeof(held), "127.0.0.1:%d", ntohs(address.sin_port));
    snprintf(url, sizeof(url), "tcp://%s", held);
    cr_assert_eq(dial_gives(url, held), DUCT_ENOTFOUND);
    /* One that listens, and does not speak. */
    cr_assert_eq(listen(fd, 1), 0);
    cr_assert_eq(dial_gives(url, held), DUCT_ETIMEOUT);
    close(fd);
    cr_assert_eq(dial_gives("tcp://no such host:1", "position 6"), DUCT_EINVAL);
    cr_assert_eq(dial_gives("tcp://127.0.0.1", "host:port"), DUCT_EINVAL);
    cr_assert_eq(dial_gives("tcp://127.0.0.1:", "host:port"), DUCT_EINVAL);
    cr_assert_eq(dial_gives("tcp://127.0.0.1:65536", "65535"), DUCT_EINVAL);
    cr_assert_eq(dial_gives("tcp://::1:80", "brackets"), DUCT_EINVAL);
    cr_assert_eq(dial_gives("uds://relative", "/path"), DUCT_EINVAL);
    cr_assert_eq(dial_gives("uds:///nowhere/at/all", "/nowhere/at/all"), DUCT_ENOTFOUND);
    raw_close();
}

Test(stream_dial, addresses_in_use_and_shared)
{
    struct duct_listener *second = NULL;
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[160];

    raw_listen("?reuseport=1");
    options.context = raw_context;
    snprintf(url, sizeof(url), "tcp://%s", duct_listener_path(raw_listener));
    cr_assert_eq(duct_listen(&second, url, &options), DUCT_EINUSE);
    cr_assert_not_null(strstr(duct_err_detail(), duct_listener_path(raw_listener)));
    snprintf(url, sizeof(url), "tcp://%s?reuseport=1", duct_listener_path(raw_listener));
    cr_assert_eq(duct_listen(&second, url, &options), DUCT_OK, "%s", duct_err_detail());
    raw_close();
}
