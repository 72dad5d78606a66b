/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <duct/duct.h>

#include "lib/protocol/handshake.h"
#include "lib/protocol/wire.h"
#include "transports/stream.h"

/*
 * Peers of tcp:// that are none, or break the rules after the handshake: each is turned away or closed by itself,
 * counted, and the honest ones go on. And what a dial says that finds nobody.
 */

static struct duct_context *context;
static struct duct_listener *listener;

static void listen_with(const char *query)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[128];

    cr_assert_eq(duct_context_open(&context, NULL), DUCT_OK);
    options.context = context;
    snprintf(url, sizeof(url), "tcp://127.0.0.1:0%s", query);
    cr_assert_eq(duct_listen(&listener, url, &options), DUCT_OK, "%s", duct_err_detail());
}

static void close_all(void)
{
    duct_context_close(context);
}

static int connect_raw(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const char *port = strrchr(duct_listener_path(listener), ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_not_null(port);
    address.sin_port = htons((uint16_t)atoi(port + 1));
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void say(int fd, const void *bytes, size_t size)
{
    cr_assert_eq(send(fd, bytes, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Runs the listener until it has turned away so many. */
static void until_refused(uint64_t count)
{
    struct duct_pipe *pipe = NULL;

    while (duct_listener_refused(listener) < count) {
        enum duct_err err = duct_accept(listener, &pipe, 5 * DUCT_MILLISECOND);
        cr_assert_eq(err, DUCT_ETIMEOUT);
    }
    cr_assert_eq(duct_listener_refused(listener), count);
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
            cr_assert_eq(duct_accept(listener, &pipe, DUCT_MILLISECOND), DUCT_ETIMEOUT);
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

    listen_with("");
    for (size_t i = 0; i < 4; i++) {
        int fd = connect_raw();
        say(fd, strangers[i].bytes, strangers[i].size);
        until_refused(i + 1);
        cr_assert_eq(answer(fd, bytes, sizeof(bytes)), 0);
    }
    close_all();
}

Test(stream_peers, another_version_hears_both)
{
    const struct di_hello future = {
        .version_min = 7, .version_max = 9, .frame_max = 65536, .message_max = 65536, .session = 1};
    unsigned char bytes[DI_SHAKE_MAX], told[DI_SHAKE_MAX], reply[DI_SHAKE_MAX];
    struct di_shake shake;
    size_t used, replied;

    listen_with("");
    int fd = connect_raw();
    say(fd, bytes, di_shake_begin(&shake, true, &future, bytes));
    until_refused(1);
    size_t size = answer(fd, told, sizeof(told));
    cr_assert_eq(di_shake_take(&shake, told, size, &used, reply, &replied), DUCT_EVERSION);
    cr_assert(strstr(duct_err_detail(), "7 to 9") && strstr(duct_err_detail(), "1 to 1"));
    close_all();
}

Test(stream_peers, silence_has_its_time)
{
    unsigned char bytes[512];

    listen_with("?handshake=20ms");
    int fd = connect_raw();
    int half = connect_raw();
    say(half, "duct", 4);
    until_refused(2);
    answer(fd, bytes, sizeof(bytes));
    answer(half, bytes, sizeof(bytes));
    close_all();
}

/* ---- After the handshake ---- */

struct raw {
    int fd;
    uint64_t session;
    struct duct_pipe *pipe;
};

static struct raw meet(void)
{
    const struct di_hello own = {.version_min = 1,
                                 .version_max = 1,
                                 .frame_max = 65536,
                                 .message_max = 65536,
                                 .session = 0x0102030405060708};
    unsigned char bytes[DI_SHAKE_MAX], told[DI_SHAKE_MAX];
    struct raw raw = {.fd = connect_raw(), .session = own.session};
    struct di_shake shake;
    size_t used, size;

    say(raw.fd, bytes, di_shake_begin(&shake, true, &own, bytes));
    cr_assert_eq(duct_accept(listener, &raw.pipe, 20 * DUCT_MILLISECOND), DUCT_ETIMEOUT);
    ssize_t got = recv(raw.fd, told, sizeof(told), 0);
    cr_assert_gt(got, 0);
    cr_assert_eq(di_shake_take(&shake, told, (size_t)got, &used, bytes, &size), DUCT_OK);
    say(raw.fd, bytes, size);
    cr_assert_eq(duct_accept(listener, &raw.pipe, 5 * DUCT_SECOND), DUCT_OK);
    return raw;
}

static struct di_frame frame_of(const struct raw *raw, uint32_t size)
{
    return (struct di_frame){
        .size = size, .type = DI_FRAME_DATA, .session = (uint32_t)raw->session, .whole = size};
}

static void say_frame(const struct raw *raw, const struct di_frame *frame, size_t payload)
{
    static unsigned char bytes[DI_WIRE_HEADER + 70000];

    di_wire_put(bytes, frame);
    memset(bytes + DI_WIRE_HEADER, 'p', payload);
    say(raw->fd, bytes, DI_WIRE_HEADER + di_wire_padded(payload));
}

Test(stream_frames, what_breaks_the_rules_closes_that_pipe_alone)
{
    struct duct_msg msg;

    listen_with("");
    struct raw good = meet();
    for (int i = 0; i < 6; i++) {
        struct raw bad = meet();
        struct di_frame frame = frame_of(&bad, 8);
        if (i == 0)
            frame.size = frame.whole = 65537; /* above what was agreed */
        if (i == 1)
            frame.session++;
        if (i == 2)
            frame.seq = 1; /* out of turn */
        if (i == 3)
            frame.type = 99;
        if (i == 4)
            frame.offset = 8, frame.whole = 16; /* a part without its beginning */
        if (i == 5)
            frame.type = DI_FRAME_CLOSE, frame.whole = 0, frame.size = 4;
        say_frame(&bad, &frame, 8);
        cr_assert_eq(duct_recv(bad.pipe, &msg, 5 * DUCT_SECOND), DUCT_ECORRUPT, "%d", i);
        cr_assert_eq(duct_write(bad.pipe, "x", 1, 0, 0), DUCT_ECORRUPT);
        duct_pipe_close(bad.pipe);
        close(bad.fd);
        /* The honest one does not notice. */
        frame = frame_of(&good, 8);
        frame.seq = (uint32_t)i;
        say_frame(&good, &frame, 8);
        cr_assert_eq(duct_recv(good.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK, "%s", duct_err_detail());
        cr_assert(msg.size == 8 && memcmp(msg.data, "pppppppp", 8) == 0);
        cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    }
    close(good.fd);
    close_all();
}

/* A message in parts, cut anywhere on the way; other parts in between are not for it. */
Test(stream_frames, parts_become_one_message)
{
    struct duct_msg msg;

    listen_with("");
    struct raw raw = meet();
    for (uint32_t seq = 0; seq < 3; seq++) {
        struct di_frame frame = frame_of(&raw, 0);
        frame.seq = seq;
        frame.whole = 50001;
        for (uint32_t at = 0; at < 50001; at += frame.size) {
            frame.offset = at;
            frame.size = 50001 - at < 7001 ? 50001 - at : 7001;
            say_frame(&raw, &frame, frame.size);
        }
        cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK, "%s", duct_err_detail());
        cr_assert_eq(msg.size, 50001);
        for (size_t i = 0; i < msg.size; i++)
            cr_assert_eq(((unsigned char *)msg.data)[i], 'p');
        cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    }
    struct di_frame first = frame_of(&raw, 1000);
    first.seq = 3;
    first.whole = 3000;
    say_frame(&raw, &first, 1000);
    first.offset = 2000; /* the middle is missing */
    say_frame(&raw, &first, 1000);
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_ECORRUPT);
    close(raw.fd);
    close_all();
}

/* The end of the stream is a death, unless it was announced. */
Test(stream_frames, an_end_without_a_word_is_a_death)
{
    struct duct_msg msg;

    listen_with("");
    struct raw raw = meet();
    struct di_frame frame = frame_of(&raw, 8);
    say_frame(&raw, &frame, 8);
    frame.seq = 1;
    unsigned char header[DI_WIRE_HEADER];
    di_wire_put(header, &frame);
    say(raw.fd, header, 20); /* and half of another */
    close(raw.fd);
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK);
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_EPEER);
    close_all();
}

/* ---- Good-bye ---- */

/* The socket's end, after a good-bye or whatever else came before it. */
static void hear_end(int fd)
{
    const struct timeval patience = {.tv_sec = 20};
    unsigned char bytes[512];
    ssize_t got;

    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    while ((got = recv(fd, bytes, sizeof(bytes), 0)) > 0)
        continue;
    cr_assert_eq(got, 0, "the end does not come");
}

static _Atomic bool has_hung_up;

/* Hears the end, and goes on for a while: nothing of that may be answered with a reset. */
static void *says_more_and_hangs_up(void *arg)
{
    const struct raw *raw = arg;
    struct di_frame frame = frame_of(raw, 8);

    hear_end(raw->fd);
    for (frame.seq = 0; frame.seq < 100; frame.seq++)
        say_frame(raw, &frame, 8);
    has_hung_up = true;
    close(raw->fd);
    return NULL;
}

Test(stream_goodbye, who_lingers_listens_until_the_peer_hangs_up)
{
    pthread_t peer;

    listen_with("");
    struct raw raw = meet();
    cr_assert_eq(pthread_create(&peer, NULL, says_more_and_hangs_up, &raw), 0);
    duct_pipe_close_with(raw.pipe, 1, "enough", 20 * DUCT_SECOND);
    cr_assert(has_hung_up);
    cr_assert_eq(pthread_join(peer, NULL), 0);
    close_all();
}

Test(stream_goodbye, a_peer_that_never_hangs_up_is_left_in_time)
{
    listen_with("");
    struct raw raw = meet();
    duct_pipe_close_with(raw.pipe, 1, "enough", 30 * DUCT_MILLISECOND);
    hear_end(raw.fd);
    close(raw.fd);
    close_all();
}

Test(stream_goodbye, who_was_told_hangs_up_before_its_program_does)
{
    struct duct_msg msg;

    listen_with("");
    struct raw raw = meet();
    struct di_frame frame = frame_of(&raw, 8);
    frame.type = DI_FRAME_CLOSE;
    frame.whole = 0;
    unsigned char bytes[DI_WIRE_HEADER + DI_CLOSE_SIZE_MAX] = {0};
    frame.size = (uint32_t)di_close_put(bytes + DI_WIRE_HEADER, 7, DUCT_ECLOSED, "enough");
    di_wire_put(bytes, &frame);
    say(raw.fd, bytes, DI_WIRE_HEADER + di_wire_padded(frame.size));
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_ECLOSED);
    hear_end(raw.fd);
    cr_assert_eq(duct_write(raw.pipe, "x", 1, 0, 0), DUCT_ECLOSED);
    duct_pipe_close_with(raw.pipe, 8, "", 20 * DUCT_SECOND);
    close(raw.fd);
    close_all();
}

/* ---- Peers that go on and come to no end, or say nothing at all ---- */

Test(stream_frames, a_message_that_never_completes_has_its_time)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_msg msg;

    listen_with("?reassembly=30ms");
    struct raw good = meet(), bad = meet();
    /* One that was complete in time, and after it nothing. */
    struct di_frame frame = frame_of(&good, 1000);
    frame.whole = 2000;
    say_frame(&good, &frame, 1000);
    frame.offset = 1000;
    say_frame(&good, &frame, 1000);
    cr_assert_eq(duct_recv(good.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK);
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    /* One of which a byte comes now and then, inside the loop's turns. */
    frame = frame_of(&bad, 1000);
    frame.whole = 60000;
    say_frame(&bad, &frame, 1000);
    frame.offset = 1000;
    frame.size = 50000;
    unsigned char header[DI_WIRE_HEADER];
    di_wire_put(header, &frame);
    say(bad.fd, header, sizeof(header));
    for (int i = 0; i < 5000 && info.end == DUCT_OK; i++) {
        (void)!send(bad.fd, "p", 1, MSG_NOSIGNAL);
        cr_assert_eq(duct_recv(bad.pipe, &msg, 2 * DUCT_MILLISECOND), DUCT_ETIMEOUT);
        cr_assert_eq(duct_pipe_info(bad.pipe, &info), DUCT_OK);
    }
    cr_assert_eq(info.end, DUCT_ETIMEOUT);
    cr_assert_eq(duct_pipe_info(good.pipe, &info), DUCT_OK);
    cr_assert_eq(info.end, DUCT_OK);
    close(good.fd);
    close(bad.fd);
    close_all();
}

Test(stream_frames, a_peer_that_answers_no_ping_is_gone)
{
    unsigned char bytes[DI_WIRE_HEADER];
    struct di_frame frame;
    struct duct_msg msg;

    listen_with("?heartbeat=5ms&heartbeat_missed=2");
    struct raw raw = meet();
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_EPEER);
    cr_assert_not_null(strstr(duct_err_detail(), "silent"), "%s", duct_err_detail());
    const struct di_wire_rules rules = {
        .session = (uint32_t)raw.session, .frame_max = 65536, .message_max = 65536};
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(recv(raw.fd, bytes, sizeof(bytes), MSG_WAITALL), sizeof(bytes));
        cr_assert_eq(di_wire_get(&frame, bytes, &rules), DUCT_OK);
        cr_assert_eq(frame.type, DI_FRAME_PING);
    }
    close(raw.fd);
    close_all();
}

/* Answers that nobody reads are not kept without end. */
Test(stream_frames, a_flood_of_pings_is_answered_as_far_as_it_is_read)
{
    enum { PINGS = 300000, AT_ONCE = 1000 };
    static unsigned char bytes[AT_ONCE * DI_WIRE_HEADER];
    struct duct_msg msg;

    listen_with("");
    struct raw raw = meet();
    struct di_frame frame = {.type = DI_FRAME_PING, .session = (uint32_t)raw.session};
    for (size_t i = 0; i < AT_ONCE; i++)
        di_wire_put(bytes + i * DI_WIRE_HEADER, &frame);
    const struct stream *stream = stream_of(raw.pipe)->stream;
    for (size_t sent = 0; sent < PINGS * (size_t)DI_WIRE_HEADER;) {
        size_t at = sent % sizeof(bytes);
        ssize_t part = send(raw.fd, bytes + at, sizeof(bytes) - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += part > 0 ? (size_t)part : 0;
        cr_assert_eq(duct_recv(raw.pipe, &msg, 0), DUCT_EAGAIN);
        cr_assert_leq(stream->queue.bytes, stream->queue.limit + 2 * STREAM_MORE_MAX);
    }
    close(raw.fd);
    close_all();
}

/* ---- Dialling nobody ---- */

static enum duct_err dial_gives(const char *url, const char *words)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe = NULL;

    options.context = context;
    options.dial_ns = 200 * DUCT_MILLISECOND;
    enum duct_err err = duct_dial(&pipe, url, &options);
    cr_assert_null(pipe);
    cr_assert_not_null(strstr(duct_err_detail(), words), "%s: %s", url, duct_err_detail());
    return err;
}

Test(stream_dial, each_failure_has_its_own_error_and_names_the_address)
{
    listen_with("");
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
    close_all();
}

Test(stream_dial, addresses_in_use_and_shared)
{
    struct duct_listener *second = NULL;
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[160];

    listen_with("?reuseport=1");
    options.context = context;
    snprintf(url, sizeof(url), "tcp://%s", duct_listener_path(listener));
    cr_assert_eq(duct_listen(&second, url, &options), DUCT_EINUSE);
    cr_assert_not_null(strstr(duct_err_detail(), duct_listener_path(listener)));
    snprintf(url, sizeof(url), "tcp://%s?reuseport=1", duct_listener_path(listener));
    cr_assert_eq(duct_listen(&second, url, &options), DUCT_OK, "%s", duct_err_detail());
    close_all();
}
