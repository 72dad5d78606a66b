/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <duct/duct.h>

#include "lib/protocol/wire.h"
#include "tests/transports/raw.h"
#include "transports/stream.h"

/* Frames as a peer of tcp:// may send them, well and badly, and those that it gets: a bare socket on the other side. */

Test(stream_frames, what_breaks_the_rules_closes_that_pipe_alone)
{
    struct duct_msg msg;

    raw_listen("");
    struct raw good = raw_meet();
    for (int i = 0; i < 6; i++) {
        struct raw bad = raw_meet();
        struct di_frame frame = raw_frame(&bad, 8);
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
        raw_say_frame(&bad, &frame, 8);
        cr_assert_eq(duct_recv(bad.pipe, &msg, 5 * DUCT_SECOND), DUCT_ECORRUPT, "%d", i);
        cr_assert_eq(duct_write(bad.pipe, "x", 1, 0, 0), DUCT_ECORRUPT);
        duct_pipe_close(bad.pipe);
        close(bad.fd);
        /* The honest one does not notice. */
        frame = raw_frame(&good, 8);
        frame.seq = (uint32_t)i;
        raw_say_frame(&good, &frame, 8);
        cr_assert_eq(duct_recv(good.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK, "%s", duct_err_detail());
        cr_assert(msg.size == 8 && memcmp(msg.data, "pppppppp", 8) == 0);
        cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    }
    close(good.fd);
    raw_close();
}

/* A message in parts, cut anywhere on the way; other parts in between are not for it. */
Test(stream_frames, parts_become_one_message)
{
    struct duct_msg msg;

    raw_listen("");
    struct raw raw = raw_meet();
    for (uint32_t seq = 0; seq < 3; seq++) {
        struct di_frame frame = raw_frame(&raw, 0);
        frame.seq = seq;
        frame.whole = 50001;
        for (uint32_t at = 0; at < 50001; at += frame.size) {
            frame.offset = at;
            frame.size = 50001 - at < 7001 ? 50001 - at : 7001;
            raw_say_frame(&raw, &frame, frame.size);
        }
        cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK, "%s", duct_err_detail());
        cr_assert_eq(msg.size, 50001);
        for (size_t i = 0; i < msg.size; i++)
            cr_assert_eq(((unsigned char *)msg.data)[i], 'p');
        cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    }
    struct di_frame first = raw_frame(&raw, 1000);
    first.seq = 3;
    first.whole = 3000;
    raw_say_frame(&raw, &first, 1000);
    first.offset = 2000; /* the middle is missing */
    raw_say_frame(&raw, &first, 1000);
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_ECORRUPT);
    close(raw.fd);
    raw_close();
}

/* The end of the stream is a death, unless it was announced. */
Test(stream_frames, an_end_without_a_word_is_a_death)
{
    struct duct_msg msg;

    raw_listen("");
    struct raw raw = raw_meet();
    struct di_frame frame = raw_frame(&raw, 8);
    raw_say_frame(&raw, &frame, 8);
    frame.seq = 1;
    unsigned char header[DI_WIRE_HEADER];
    di_wire_put(header, &frame);
    raw_say(raw.fd, header, 20); /* and half of another */
    close(raw.fd);
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK);
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_EPEER);
    raw_close();
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
    struct di_frame frame = raw_frame(raw, 8);

    hear_end(raw->fd);
    for (frame.seq = 0; frame.seq < 100; frame.seq++)
        raw_say_frame(raw, &frame, 8);
    has_hung_up = true;
    close(raw->fd);
    return NULL;
}

Test(stream_goodbye, who_lingers_listens_until_the_peer_hangs_up)
{
    pthread_t peer;

    raw_listen("");
    struct raw raw = raw_meet();
    cr_assert_eq(pthread_create(&peer, NULL, says_more_and_hangs_up, &raw), 0);
    duct_pipe_close_with(raw.pipe, 1, "enough", 20 * DUCT_SECOND);
    cr_assert(has_hung_up);
    cr_assert_eq(pthread_join(peer, NULL), 0);
    raw_close();
}

Test(stream_goodbye, a_peer_that_never_hangs_up_is_left_in_time)
{
    raw_listen("");
    struct raw raw = raw_meet();
    duct_pipe_close_with(raw.pipe, 1, "enough", 30 * DUCT_MILLISECOND);
    hear_end(raw.fd);
    close(raw.fd);
    raw_close();
}

Test(stream_goodbye, who_was_told_hangs_up_before_its_program_does)
{
    struct duct_msg msg;

    raw_listen("");
    struct raw raw = raw_meet();
    struct di_frame frame = raw_frame(&raw, 8);
    frame.type = DI_FRAME_CLOSE;
    frame.whole = 0;
    unsigned char bytes[DI_WIRE_HEADER + DI_CLOSE_SIZE_MAX] = {0};
    frame.size = (uint32_t)di_close_put(bytes + DI_WIRE_HEADER, 7, DUCT_ECLOSED, "enough");
    di_wire_put(bytes, &frame);
    raw_say(raw.fd, bytes, DI_WIRE_HEADER + di_wire_padded(frame.size));
    cr_assert_eq(duct_recv(raw.pipe, &msg, 5 * DUCT_SECOND), DUCT_ECLOSED);
    hear_end(raw.fd);
    cr_assert_eq(duct_write(raw.pipe, "x", 1, 0, 0), DUCT_ECLOSED);
    duct_pipe_close_with(raw.pipe, 8, "", 20 * DUCT_SECOND);
    close(raw.fd);
    raw_close();
}

/* ---- Peers that go on and come to no end, or say nothing at all ---- */

Test(stream_frames, a_message_that_never_completes_has_its_time)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_msg msg;

    raw_listen("?reassembly=30ms");
    struct raw good = raw_meet(), bad = raw_meet();
    /* One that was complete in time, and after it nothing. */
    struct di_frame frame = raw_frame(&good, 1000);
    frame.whole = 2000;
    raw_say_frame(&good, &frame, 1000);
    frame.offset = 1000;
    raw_say_frame(&good, &frame, 1000);
    cr_assert_eq(duct_recv(good.pipe, &msg, 5 * DUCT_SECOND), DUCT_OK);
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    /* One of which a byte comes now and then, inside the loop's turns. */
    frame = raw_frame(&bad, 1000);
    frame.whole = 60000;
    raw_say_frame(&bad, &frame, 1000);
    frame.offset = 1000;
    frame.size = 50000;
    unsigned char header[DI_WIRE_HEADER];
    di_wire_put(header, &frame);
    raw_say(bad.fd, header, sizeof(header));
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
    raw_close();
}

Test(stream_frames, a_peer_that_answers_no_ping_is_gone)
{
    unsigned char bytes[DI_WIRE_HEADER];
    struct di_frame frame;
    struct duct_msg msg;

    raw_listen("?heartbeat=5ms&heartbeat_missed=2");
    struct raw raw = raw_meet();
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
    raw_close();
}

/* Answers that nobody reads are not kept without end. */
Test(stream_frames, a_flood_of_pings_is_answered_as_far_as_it_is_read)
{
    enum { PINGS = 300000, AT_ONCE = 1000 };
    static unsigned char bytes[AT_ONCE * DI_WIRE_HEADER];
    struct duct_msg msg;

    raw_listen("");
    struct raw raw = raw_meet();
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
    raw_close();
}

/* Nothing of what lay in our memory before goes along: not in the padding, whatever the size. */
Test(stream_frames, messages_of_a_run_are_whole_frames_with_zeros_behind)
{
    enum { MESSAGES = 200 };
    unsigned char payload[DI_WIRE_ALIGN + MESSAGES];
    struct duct_msg msg;
    struct di_frame frame;

    mallopt(M_PERTURB,
            0x5a); /* memory is not clean by chance; a sanitizer sees to that by itself */
    raw_listen("");
    struct raw raw = raw_meet();
    for (uint32_t i = 0; i < MESSAGES; i++) {
        cr_assert_eq(duct_msg_loan(raw.pipe, MESSAGES, &msg), DUCT_OK);
        memset(msg.data, 0xff, MESSAGES);
        msg.size = i;
        msg.tag = ~(uint64_t)i;
        msg.flags = i % 50 == 49 ? 0 : DUCT_MSG_MORE;
        cr_assert_eq(duct_send(raw.pipe, &msg, DUCT_SECOND), DUCT_OK);
        cr_assert_null(msg.owner);
    }
    for (uint32_t i = 0; i < MESSAGES; i++) {
        raw_hear_frame(&raw, &frame, payload);
        cr_assert_eq(frame.type, DI_FRAME_DATA);
        cr_assert(frame.seq == i && frame.size == i && frame.whole == i && frame.offset == 0);
        cr_assert_eq(frame.tag, ~(uint64_t)i);
        for (size_t at = 0; at < di_wire_padded(i); at++)
            cr_assert_eq(payload[at], at < i ? 0xff : 0, "byte %zu of %u", at, i);
    }
    close(raw.fd);
    raw_close();
}
