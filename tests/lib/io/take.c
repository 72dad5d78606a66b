/* SPDX-License-Identifier: Apache-2.0 */
/* RECV_ANY, CALL_ANY and di_io_take() of lib/io/io.h, on every backend. */
#include <errno.h>
#include <pthread.h>
#include <sys/socket.h>

#include "tests/lib/io/take.h"

/* What is there to take now, as text; "" if nothing. */
static const char *taken(struct di_io *io, struct probe *p)
{
    static char text[256];
    struct di_buffer *buffer = NULL;
    size_t size = 0;
    for (int64_t got; (got = di_io_take(io, &p->op, &buffer)) > 0;) {
        cr_assert_eq((size_t)got, buffer->size);
        cr_assert_lt(size + buffer->size, sizeof text);
        memcpy(text + size, buffer->bytes, buffer->size);
        size += buffer->size;
        di_buffer_release(buffer);
    }
    text[size] = '\0';
    return text;
}

static void take_so_many(struct di_io *io, struct probe *p, size_t size)
{
    cr_assert_eq(take_some(io, p), size);
}

/* An operation that was forgotten and begins a new life has nothing of the last. */
EVERY_BACKEND(what_nobody_took_is_forgotten)
{
    int former[2], next[2];
    stream_pair(former);
    stream_pair(next);
    struct probe p = any_probe(former[0]);
    di_io_submit(*loop, &p.op);
    put_bytes(former[1], "old", 3);
    while (p.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    while (p.op.in_flight || p.op.receiving) {
        if (!p.op.in_flight)
            di_io_submit(*loop, &p.op);
        di_io_cancel(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    }
    di_io_forget(*loop, &p.op);
    p.op.fd = next[0];
    int before = p.count;
    di_io_submit(*loop, &p.op);
    put_bytes(next[1], "new", 3);
    while (p.count == before)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_str_eq(taken(*loop, &p), "new");
    stop(*loop, &p);
}

EVERY_BACKEND(it_completes_once_per_submission)
{
    int fds[2];
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    for (int i = 1; i <= 20; i++) {
        di_io_submit(*loop, &p.op);
        put_bytes(fds[1], "abc", 3);
        cr_assert_lt(p.count, i); /* 2: never from submit */
        while (p.count < i)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.count, i);
        cr_assert_eq(p.result, 1);
        cr_assert_str_eq(taken(*loop, &p), "abc");
    }
    stop(*loop, &p);
}

EVERY_BACKEND(what_comes_while_it_is_not_in_flight_is_taken_later)
{
    int fds[2];
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    put_bytes(fds[1], "one", 3);
    take_so_many(*loop, &p, 3);
    put_bytes(fds[1], "two", 3);
    while (di_io_wait(*loop, 0) == DUCT_OK)
        continue; /* whatever was in flight */
    put_bytes(fds[1], "three", 5);
    cr_assert_str_eq(taken(*loop, &p), "twothree");
    stop(*loop, &p);
}

EVERY_BACKEND(nothing_is_there_to_take)
{
    int fds[2];
    struct di_buffer *buffer;
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    cr_assert_eq(di_io_take(*loop, &p.op, &buffer), -EAGAIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(di_io_take(*loop, &p.op, &buffer), -EAGAIN);
    cr_assert_eq(p.count, 0);
    di_io_cancel(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, DI_IO_CANCELED);
    cr_assert_not(di_io_receiving(&p.op));
}

EVERY_BACKEND(the_end_comes_behind_the_bytes)
{
    int fds[2];
    struct di_buffer *buffer = NULL;
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    di_io_submit(*loop, &p.op);
    put_bytes(fds[1], "bye", 3);
    close_end(fds[1]);
    take_so_many(*loop, &p, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(take(*loop, &p, &buffer), 0);
    stop(*loop, &p);
}

EVERY_BACKEND(bytes_outlive_the_loop)
{
    int fds[2];
    struct di_buffer *buffer = NULL;
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    put_bytes(fds[1], "still there", 12);
    cr_assert_eq(take(*loop, &p, &buffer), 12);
    stop(*loop, &p);
    di_io_forget(*loop, &p.op);
    close_end(fds[0]);
    close_end(fds[1]);
    end(loop);
    cr_assert_str_eq((const char *)buffer->bytes, "still there");
    di_buffer_release(buffer);
}

/* The operation is not in flight, but has received. */
EVERY_BACKEND(a_loop_is_closed_with_bytes_waiting)
{
    int fds[2];
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    put_bytes(fds[1], "a", 1);
    take_so_many(*loop, &p, 1);
    di_io_submit(*loop, &p.op);
    put_bytes(fds[1], "b", 1);
    int before = p.count;
    while (p.count == before)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    close_end(fds[0]);
    close_end(fds[1]);
    end(loop);
}

/* However the stop and what arrives meet: every byte is taken, in order, and the rest is in the socket. */
EVERY_BACKEND(a_stop_loses_no_byte)
{
    int fds[2];
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    size_t sent = 0, received = 0;
    char bytes[64] = {0};
    for (int i = 0; i < 200; i++) {
        put_bytes(fds[1], bytes, 1 + (size_t)i % 60);
        sent += 1 + (size_t)i % 60;
        if (i % 3 != 0) {
            received += take_some(*loop, &p);
        }
        put_bytes(fds[1], bytes, 7);
        sent += 7;
        if (i % 2 == 0)
            received += stop(*loop, &p);
        di_io_forget(*loop, &p.op);
        const struct iovec piece = {bytes, 5};
        int64_t got = p.op.receiving ? 0 : di_io_try_recv(*loop, fds[0], &piece, 1);
        received += got > 0 ? (size_t)got : 0;
    }
    while (received < sent) {
        received += take_some(*loop, &p);
    }
    cr_assert_eq(received, sent);
    stop(*loop, &p);
}

EVERY_BACKEND(a_question_and_its_answer)
{
    int fds[2];
    struct di_buffer *buffer = NULL;
    char bytes[8] = {0};
    const struct iovec piece = {bytes, sizeof bytes};
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    p.op.kind = DI_IO_CALL_ANY;
    p.op.data = "ask";
    p.op.size = 3;
    for (int i = 1; i <= 10; i++) {
        di_io_submit(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        cr_assert_eq(di_io_try_recv(*loop, fds[1], &piece, 1), 3);
        put_bytes(fds[1], "answer", 6);
        while (p.count < i)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.op.sent, 3);
        cr_assert_eq(di_io_take(*loop, &p.op, &buffer), 6);
        di_buffer_release(buffer);
    }
    p.op.kind = DI_IO_RECV_ANY;
    stop(*loop, &p);
}

/* The question goes although an answer to it, or to nothing, waits. */
EVERY_BACKEND(a_question_is_sent_whatever_waits)
{
    int fds[2];
    char bytes[8] = {0};
    const struct iovec piece = {bytes, sizeof bytes};
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    di_io_submit(*loop, &p.op);
    put_bytes(fds[1], "x", 1);
    while (p.count < 1)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    p.op.kind = DI_IO_CALL_ANY;
    p.op.data = "ask";
    p.op.size = 3;
    di_io_submit(*loop, &p.op);
    while (p.count < 2)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, 1);
    cr_assert_eq(di_io_try_recv(*loop, fds[1], &piece, 1), 3);
    take_so_many(*loop, &p, 1);
    p.op.kind = DI_IO_RECV_ANY;
    stop(*loop, &p);
}

EVERY_BACKEND(a_question_that_does_not_all_go_ends_early)
{
    static char much[4 << 20];
    int fds[2];
    stream_pair(fds);
    struct probe p = any_probe(fds[0]);
    p.op.kind = DI_IO_CALL_ANY;
    p.op.data = much;
    p.op.size = sizeof much;
    di_io_submit(*loop, &p.op);
    while (p.count < 1)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, DI_IO_FAILED);
    cr_assert_eq(p.op.error, EAGAIN);
    cr_assert_lt(p.op.sent, sizeof much);
    cr_assert_gt(p.op.sent, 0);
    p.op.kind = DI_IO_RECV_ANY;
    stop(*loop, &p);
}

/* A reader that does not take cannot have all the loop's buffers: what it leaves stays in the socket. */
EVERY_BACKEND(a_slow_reader_has_few_buffers)
{
    static char bytes[DI_BUFFER_SIZE];
    int slow[2], quick[2];
    const int most = 1 << 20;
    stream_pair(slow);
    stream_pair(quick);
    if (slow[1] < SIM_FIRST)
        cr_assert_eq(setsockopt(slow[1], SOL_SOCKET, SO_SNDBUF, &most, sizeof most), 0);
    struct probe s = any_probe(slow[0]), q = any_probe(quick[0]);
    di_io_submit(*loop, &s.op);
    size_t sent = 0;
    for (int i = 0; i < 100; i++) {
        const struct iovec piece = {bytes, sizeof bytes};
        int64_t put = slow[1] < SIM_FIRST ? send(slow[1], bytes, sizeof bytes, MSG_DONTWAIT)
                                          : di_io_try_send(*loop, slow[1], &piece, 1);
        sent += put > 0 ? (size_t)put : 0;
        put_bytes(quick[1], "q", 1);
        if (!q.op.in_flight)
            di_io_submit(*loop, &q.op);
        (void)!di_io_wait(*loop, 0);
        take_so_many(*loop, &q, 1);
    }
    cr_assert_leq(s.op.received_count, 48);
    cr_assert_eq(s.count, 1);
    size_t received = 0;
    while (received < sent) {
        received += take_some(*loop, &s);
    }
    cr_assert_eq(received, sent);
    stop(*loop, &s);
    stop(*loop, &q);
}

/* What the former thread's ring has received, and what it has not, is had by the next thread. */
struct handed {
    struct di_io *io;
    struct probe p;
    int fd;
};

static void *begin_elsewhere(void *arg)
{
    struct handed *h = arg;
    struct di_buffer *buffer = NULL;
    cr_assert_eq(di_io_adopt(h->io), DUCT_OK);
    put_bytes(h->fd, "first", 5);
    cr_assert_eq(take(h->io, &h->p, &buffer), 5);
    di_buffer_release(buffer);
    put_bytes(h->fd, "second", 6);
    (void)!di_io_wait(h->io, 0);
    put_bytes(h->fd, "third", 5);
    if (!h->p.op.in_flight)
        di_io_submit(h->io, &h->p.op);
    return NULL;
}

EACH_BACKEND(bytes_go_along_to_the_next_thread)
{
    int fds[2];
    stream_pair(fds);
    for (int i = 0; i < 50; i++) {
        struct handed h = {.io = *loop, .p = any_probe(fds[0]), .fd = fds[1]};
        pthread_t thread;
        pthread_create(&thread, NULL, begin_elsewhere, &h);
        pthread_join(thread, NULL);
        cr_assert_eq(di_io_adopt(*loop), DUCT_OK);
        struct di_buffer *buffer = NULL;
        char text[16] = {0};
        for (size_t size = 0; size < 11; di_buffer_release(buffer)) {
            int64_t got = take(*loop, &h.p, &buffer);
            cr_assert_leq(size + (size_t)got, 11);
            memcpy(text + size, buffer->bytes, (size_t)got);
            size += (size_t)got;
        }
        cr_assert_str_eq(text, "secondthird");
        stop(*loop, &h.p);
        di_io_forget(*loop, &h.p.op);
    }
}

/* An exported loop goes on with what its ring had received. */
EACH_BACKEND(bytes_go_along_to_the_exported_loop)
{
    int fds[2];
    struct di_buffer *buffer = NULL;
    stream_pair(fds);
    struct probe p = any_probe(fds[0]), idle = any_probe(fds[1]);
    put_bytes(fds[1], "a", 1);
    take_so_many(*loop, &p, 1);
    put_bytes(fds[1], "bc", 2);
    di_io_submit(*loop, &idle.op);
    (void)!di_io_wait(*loop, 0);
    int fd = di_io_fd(*loop);
    cr_assert_geq(fd, 0);
    cr_assert(di_io_receiving(&p.op) || !p.op.in_flight);
    put_bytes(fds[1], "d", 1);
    size_t size = 0;
    while (size < 3) {
        size += (size_t)take(*loop, &p, &buffer);
        di_buffer_release(buffer);
    }
    cr_assert_eq(size, 3);
    stop(*loop, &p);
    di_io_forget(*loop, &p.op);
    stop(*loop, &idle);
    di_io_forget(*loop, &idle.op);
}
