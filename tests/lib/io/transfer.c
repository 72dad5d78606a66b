/* SPDX-License-Identifier: Apache-2.0 */
/* CONNECT, SEND, RECV and CALL of lib/io/io.h, on every backend. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/lib/io/suite.h"

struct pair {
    int fds[2];
};

static struct pair stream_pair(void)
{
    struct pair pair;
    if (suite_io->backend == &di_io_sim) {
        di_sim_pair(suite_io, pair.fds);
        return pair;
    }
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.fds), 0);
    return pair;
}

static struct probe transfer_probe(enum di_io_kind kind, int fd, const struct iovec *pieces,
                                   uint32_t count)
{
    return (struct probe){.op = {.done = probe_done,
                                 .kind = kind,
                                 .fd = fd,
                                 .events = POLLIN | POLLRDHUP,
                                 .pieces = pieces,
                                 .piece_count = count}};
}

static void until(struct di_io *io, const struct probe *p, int count)
{
    while (p->count < count)
        cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
    cr_assert_eq(p->count, count);
}

/* The other side, which has no loop. */
static ssize_t put_bytes(int fd, const void *bytes, size_t size)
{
    const struct iovec piece = {(void *)(uintptr_t)bytes, size};
    return fd < SIM_FIRST ? write(fd, bytes, size) : di_io_try_send(suite_io, fd, &piece, 1);
}

static ssize_t get_bytes(int fd, void *bytes, size_t size)
{
    const struct iovec piece = {bytes, size};
    return fd < SIM_FIRST ? recv(fd, bytes, size, MSG_DONTWAIT)
                          : di_io_try_recv(suite_io, fd, &piece, 1);
}

static void close_end(int fd)
{
    if (fd < SIM_FIRST)
        close(fd);
    else
        di_io_close_socket(suite_io, fd);
}

/* --- RECV --- */

EVERY_BACKEND(a_receive_takes_what_is_there)
{
    struct pair pair = stream_pair();
    char bytes[16] = {0};
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_RECV, pair.fds[0], &piece, 1);
    cr_assert_eq(put_bytes(pair.fds[1], "hello", 5), 5);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(p.count, 0); /* 2: never from submit */
    until(*loop, &p, 1);
    cr_assert_eq(p.result, 5);
    cr_assert_str_eq(bytes, "hello");
}

EVERY_BACKEND(a_receive_waits_for_the_first_byte)
{
    struct pair pair = stream_pair();
    char a[3], b[5];
    struct iovec pieces[2] = {{a, sizeof a}, {b, sizeof b}};
    struct probe p = transfer_probe(DI_IO_RECV, pair.fds[0], pieces, 2);
    for (int i = 1; i <= 20; i++) {
        di_io_submit(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        cr_assert_eq(put_bytes(pair.fds[1], "abcdef", 6), 6);
        until(*loop, &p, i);
        cr_assert_eq(p.result, 6);
        cr_assert(memcmp(a, "abc", 3) == 0 && memcmp(b, "def", 3) == 0);
    }
}

/* Whatever was there before, came between two, or was left by the one before is received. */
EVERY_BACKEND(no_byte_is_forgotten)
{
    struct pair pair = stream_pair();
    char bytes[4];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_RECV, pair.fds[0], &piece, 1);
    size_t sent = 0, received = 0;
    for (int i = 1; sent < 1000 || received < sent; i++) {
        if (sent < 1000)
            sent += (size_t)put_bytes(pair.fds[1], "0123456789", 1 + (size_t)(i * 7 % 10));
        di_io_submit(*loop, &p.op);
        if (i % 3 == 0 && sent < 1000)
            sent += (size_t)put_bytes(pair.fds[1], "0123456789", 2);
        until(*loop, &p, i);
        cr_assert_gt(p.result, 0);
        received += (size_t)p.result;
    }
    cr_assert_eq(received, sent);
}

EVERY_BACKEND(the_end_of_the_stream_is_received_after_its_bytes)
{
    for (int before = 0; before < 2; before++) {
        struct pair pair = stream_pair();
        char bytes[16];
        struct iovec piece = {bytes, sizeof bytes};
        struct probe p = transfer_probe(DI_IO_RECV, pair.fds[0], &piece, 1);
        if (before == 0) {
            di_io_submit(*loop, &p.op);
            cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        }
        cr_assert_eq(put_bytes(pair.fds[1], "bye", 3), 3);
        close_end(pair.fds[1]);
        if (before == 1)
            di_io_submit(*loop, &p.op);
        until(*loop, &p, 1);
        cr_assert_eq(p.result, 3);
        for (int i = 2; i < 4; i++) {
            di_io_submit(*loop, &p.op);
            until(*loop, &p, i);
            cr_assert_eq(p.result, 0);
        }
        di_io_forget(*loop, &p.op);
        close_end(pair.fds[0]);
    }
}

EVERY_BACKEND(a_receive_and_a_poll_take_turns)
{
    struct pair pair = stream_pair();
    char bytes[16];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_RECV, pair.fds[0], &piece, 1);
    for (int i = 1; i < 30; i += 2) {
        p.op.kind = DI_IO_RECV;
        di_io_submit(*loop, &p.op);
        cr_assert_eq(put_bytes(pair.fds[1], "ab", 2), 2);
        until(*loop, &p, i);
        cr_assert_eq(p.result, 2);
        p.op.kind = DI_IO_POLL;
        di_io_submit(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        cr_assert_eq(put_bytes(pair.fds[1], "cdefgh", 6), 6);
        until(*loop, &p, i + 1);
        cr_assert(p.result > 0 && (p.result & POLLIN));
        /* Only some of it: the receive that follows finds the rest. */
        struct iovec some = {bytes, 4};
        cr_assert_eq(di_io_try_recv(*loop, pair.fds[0], &some, 1), 4);
        p.op.kind = DI_IO_RECV;
        di_io_submit(*loop, &p.op);
        until(*loop, &p, i + 2);
        cr_assert_eq(p.result, 2);
        p.count--;
    }
}

EVERY_BACKEND(cancel_ends_what_waits_to_move_bytes)
{
    struct pair pair = stream_pair();
    char bytes[16];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_RECV, pair.fds[0], &piece, 1);
    di_io_submit(*loop, &p.op);
    di_io_wait(*loop, 0);
    di_io_cancel(*loop, &p.op);
    until(*loop, &p, 1);
    cr_assert_eq(p.result, DI_IO_CANCELED);
    /* And takes nothing with it. */
    cr_assert_eq(put_bytes(pair.fds[1], "kept", 4), 4);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(di_io_try_recv(*loop, pair.fds[0], &piece, 1), 4);
}

EACH_BACKEND(a_send_to_nobody_fails_with_the_reason)
{
    struct pair pair = stream_pair();
    static char abc[] = "abc";
    struct iovec piece = {abc, 3};
    close_end(pair.fds[1]);
    cr_assert_eq(di_io_try_send(*loop, pair.fds[0], &piece, 1), -EPIPE); /* and without SIGPIPE */
}

/* --- CALL --- */

EVERY_BACKEND(a_call_sends_and_then_receives)
{
    struct pair pair = stream_pair();
    char bytes[16], got[8];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_CALL, pair.fds[0], &piece, 1);
    p.op.data = "question";
    p.op.size = 8;
    for (int i = 1; i <= 20; i++) {
        di_io_submit(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        cr_assert_eq(get_bytes(pair.fds[1], got, 8), 8);
        cr_assert_eq(put_bytes(pair.fds[1], "answer", 6), 6);
        until(*loop, &p, i);
        cr_assert_eq(p.result, 6);
        cr_assert_eq(p.op.sent, 8);
        cr_assert(memcmp(got, "question", 8) == 0 && memcmp(bytes, "answer", 6) == 0);
    }
}

EVERY_BACKEND(a_call_that_is_not_answered_is_sent_all_the_same)
{
    struct pair pair = stream_pair();
    char bytes[16], got[8];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_CALL, pair.fds[0], &piece, 1);
    p.op.data = "question";
    p.op.size = 8;
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_cancel(*loop, &p.op);
    until(*loop, &p, 1);
    cr_assert_eq(p.result, DI_IO_CANCELED);
    cr_assert_eq(p.op.sent, 8);
    cr_assert_eq(get_bytes(pair.fds[1], got, 8), 8);
}

EVERY_BACKEND(a_call_without_room_says_how_much_went)
{
    struct pair pair = stream_pair();
    static char question[4 << 20], sink[65536];
    char bytes[16];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_CALL, pair.fds[0], &piece, 1);
    p.op.data = question;
    p.op.size = sizeof question;
    di_io_submit(*loop, &p.op);
    di_io_wait(*loop, 0);
    di_io_cancel(*loop, &p.op);
    until(*loop, &p, 1);
    cr_assert_lt(p.result, 0);
    cr_assert_lt(p.op.sent, sizeof question);
    /* Exactly so much. */
    size_t there = 0;
    ssize_t got;
    while ((got = get_bytes(pair.fds[1], sink, sizeof sink)) > 0)
        there += (size_t)got;
    cr_assert_eq(there, p.op.sent);
    cr_assert_eq(put_bytes(pair.fds[1], "late", 4), 4);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

EACH_BACKEND(a_call_to_nobody_fails_with_the_reason)
{
    struct pair pair = stream_pair();
    char bytes[16];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe p = transfer_probe(DI_IO_CALL, pair.fds[0], &piece, 1);
    p.op.data = "question";
    p.op.size = 8;
    close_end(pair.fds[1]);
    di_io_submit(*loop, &p.op);
    until(*loop, &p, 1);
    cr_assert_eq(p.result, DI_IO_FAILED);
    cr_assert_eq(p.op.error, EPIPE);
    cr_assert_eq(p.op.sent, 0);
}

/* --- CONNECT, accept --- */

static int bound(struct sockaddr_in *address)
{
    socklen_t size = sizeof *address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    cr_assert_eq(bind(fd, (struct sockaddr *)address, sizeof *address), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static struct probe connect_probe(struct di_io *io, const struct sockaddr_in *address)
{
    int fd = di_io_open_socket(io, AF_INET);
    cr_assert_geq(fd, 0);
    return (struct probe){.op = {.done = probe_done,
                                 .kind = DI_IO_CONNECT,
                                 .fd = fd,
                                 .address = (const struct sockaddr *)address,
                                 .address_size = sizeof *address}};
}

EACH_BACKEND(a_connection_is_made_and_used)
{
    struct sockaddr_in address;
    int listener = bound(&address);
    cr_assert_eq(listen(listener, 5), 0);
    struct di_io_op from = {.kind = DI_IO_ACCEPT, .fd = listener};
    cr_assert_eq(di_io_accept(*loop, &from), -EAGAIN);
    struct probe p = connect_probe(*loop, &address);
    di_io_submit(*loop, &p.op);
    until(*loop, &p, 1);
    cr_assert_eq(p.result, 0);
    /* Or a receive by io_uring would not wait. */
    cr_assert_eq(fcntl(p.op.fd, F_GETFL) & O_NONBLOCK, 0);
    di_io_forget(*loop, &p.op);
    int accepted = di_io_accept(*loop, &from);
    cr_assert_geq(accepted, 0);
    char bytes[8];
    struct iovec piece = {bytes, sizeof bytes};
    struct probe r = transfer_probe(DI_IO_RECV, p.op.fd, &piece, 1);
    di_io_submit(*loop, &r.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(write(accepted, "tcp", 3), 3);
    until(*loop, &r, 1);
    cr_assert_eq(r.result, 3);
    end(loop);
    close(accepted);
    close(listener);
    close(p.op.fd);
}

EACH_BACKEND(a_connection_is_refused_with_the_reason)
{
    struct sockaddr_in address;
    int nobody = bound(&address); /* but does not listen */
    struct probe p = connect_probe(*loop, &address);
    di_io_submit(*loop, &p.op);
    until(*loop, &p, 1);
    cr_assert_eq(p.result, DI_IO_FAILED);
    cr_assert_eq(p.op.error, ECONNREFUSED);
    di_io_forget(*loop, &p.op);
    close(nobody);
    close(p.op.fd);
}

EACH_BACKEND(a_listener_with_a_full_queue_is_not_absent)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path + 1, sizeof at.sun_path - 1, "duct-full-%d-%s", getpid(),
             (*loop)->backend->name);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    cr_assert_eq(listen(listener, 0), 0);
    struct probe p[4];
    int full = 0;
    for (int i = 0; i < 4; i++) {
        p[i] = connect_probe(*loop, NULL);
        di_io_close_socket(*loop, p[i].op.fd);
        p[i].op.fd = di_io_open_socket(*loop, AF_UNIX);
        p[i].op.address = (const struct sockaddr *)&at;
        p[i].op.address_size = sizeof at;
        di_io_submit(*loop, &p[i].op);
        until(*loop, &p[i], 1);
        cr_assert(p[i].result == 0 || p[i].result == DI_IO_FAILED);
        full += p[i].result == DI_IO_FAILED;
        if (p[i].result == DI_IO_FAILED)
            cr_assert_eq(p[i].op.error, EAGAIN);
        di_io_forget(*loop, &p[i].op);
    }
    cr_assert_gt(full, 0);
    for (int i = 0; i < 4; i++)
        di_io_close_socket(*loop, p[i].op.fd);
    close(listener);
}

EACH_BACKEND(a_second_descriptor_outlives_the_first)
{
    struct sockaddr_in address;
    int listener = bound(&address);
    cr_assert_eq(listen(listener, 5), 0);
    struct probe p = connect_probe(*loop, &address);
    di_io_submit(*loop, &p.op);
    until(*loop, &p, 1);
    di_io_forget(*loop, &p.op);
    int second = di_io_dup_socket(*loop, p.op.fd);
    cr_assert_geq(second, 0);
    di_io_close_socket(*loop, p.op.fd);
    struct di_io_op from = {.kind = DI_IO_ACCEPT, .fd = listener};
    int accepted = di_io_accept(*loop, &from);
    char word[] = "dup";
    const struct iovec piece = {word, 3};
    cr_assert_eq(di_io_try_send(*loop, second, &piece, 1), 3);
    char bytes[8];
    cr_assert_eq(recv(accepted, bytes, sizeof bytes, 0), 3);
    di_io_close_socket(*loop, second);
    cr_assert_eq(recv(accepted, bytes, sizeof bytes, 0), 0);
    di_io_close_socket(*loop, -1);
    cr_assert_eq(di_io_dup_socket(*loop, -1), -EBADF);
}
