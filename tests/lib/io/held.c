/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends without a copy (di_io_send_held): what is told to have gone arrives, memory comes back once, and only when
 * nobody reads it any more or its loop goes; where it cannot be done, nothing was sent. The linker puts the test's
 * io_uring_enter2() in the place of the library's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/io/io.h"
#include "tests/lib/io/refuse.h"
#include "tests/must.h"

enum { SKIP = 77, PIECE = 65536, PIECES = 512 };

struct sent {
    struct di_io_hold hold; /* first */
    unsigned char *bytes;
    unsigned released;
    enum di_io_released how;
};

static void released(struct di_io_hold *hold, enum di_io_released how)
{
    struct sent *sent = (struct sent *)hold;

    sent->released++;
    sent->how = how;
    if (how == DI_IO_ABANDONED)
        MUST(munmap(sent->bytes, PIECE) == 0);
    else
        memset(sent->bytes, 0xee, PIECE);
}

static void fill(struct sent *sent, unsigned seed)
{
    *sent = (struct sent){.hold = {.release = released}};
    sent->bytes = mmap(NULL, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(sent->bytes != MAP_FAILED);
    memset(sent->bytes, (int)(seed % 200), PIECE);
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    MUST(listener >= 0 && bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0);
    MUST(listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&at, &size) == 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(fds[0] >= 0 && connect(fds[0], (struct sockaddr *)&at, sizeof(at)) == 0);
    fds[1] = accept(listener, NULL, NULL);
    MUST(fds[1] >= 0);
    close(listener);
}

static struct di_io *open_loop(void)
{
    struct di_io *io;

    refusal = 0;
    MUST(di_io_open(&io, &di_io_uring) == DUCT_OK);
    return io;
}

/* Sends pieces until the socket is full: how many whole ones went, and how many bytes in all. */
static unsigned send_until_full(struct di_io *io, int fd, struct sent *sents, size_t *bytes)
{
    unsigned i = 0;

    *bytes = 0;
    for (; i < PIECES; i++) {
        bool held;
        fill(&sents[i], i);
        const struct iovec piece = {sents[i].bytes, PIECE};
        int64_t done = di_io_send_held(io, fd, &piece, &sents[i].hold, &held);
        if (!held)
            munmap(sents[i].bytes, PIECE);
        MUST(done == -EAGAIN || (done > 0 && held));
        *bytes += done > 0 ? (size_t)done : 0;
        if (done < PIECE)
            return held ? i + 1 : i;
    }
    MUST(i < PIECES); /* a socket is full at some time */
    return 0;
}

static void receive_all(int fd, size_t bytes)
{
    static unsigned char got[PIECE];

    for (size_t at = 0; at < bytes;) {
        ssize_t done = recv(fd, got, sizeof(got), 0);
        MUST(done > 0);
        for (size_t i = 0; i < (size_t)done; i++)
            MUST(got[i] == ((at + i) / PIECE) % 200);
        at += (size_t)done;
    }
}

/* Everything arrives as it was, although memory is overwritten as soon as it comes back. */
static void memory_comes_back_when_it_was_read(void)
{
    static struct sent sents[PIECES];
    struct di_io *io = open_loop();
    int fds[2];
    size_t bytes;

    tcp_pair(fds);
    unsigned count = send_until_full(io, fds[0], sents, &bytes);
    receive_all(fds[1], bytes);
    for (unsigned i = 0; i < count; i++) {
        while (sents[i].released == 0) {
            /* Which ends by completions, and this is none. */
            enum duct_err err = di_io_wait(io, di_io_now(io) + 1000000);
            MUST(err == DUCT_OK || err == DUCT_EAGAIN);
        }
        MUST(sents[i].released == 1 && sents[i].how != DI_IO_ABANDONED);
        munmap(sents[i].bytes, PIECE);
    }
    di_io_close(io);
    for (unsigned i = 0; i < count; i++)
        MUST(sents[i].released == 1);
    close(fds[0]);
    close(fds[1]);
}

static void leave_by_close(struct di_io **io)
{
    di_io_close(*io);
    *io = NULL;
}

static void leave_by_adoption(struct di_io **io)
{
    MUST(di_io_adopt(*io) == DUCT_OK);
}

static void leave_by_export(struct di_io **io)
{
    MUST(di_io_fd(*io) >= 0);
    MUST(((*io)->can & DI_IO_CAN_HOLD) == 0);
}

/* What the kernel may still read is given back as that when its ring goes, and arrives all the same. */
static void a_ring_that_goes_gives_back_all(void (*leave)(struct di_io **io))
{
    static struct sent sents[PIECES];
    struct di_io *io = open_loop();
    unsigned abandoned = 0;
    int fds[2];
    size_t bytes;

    tcp_pair(fds);
    unsigned count = send_until_full(io, fds[0], sents, &bytes);
    leave(&io);
    for (unsigned i = 0; i < count; i++) {
        MUST(sents[i].released == 1);
        abandoned += sents[i].how == DI_IO_ABANDONED;
        if (sents[i].how != DI_IO_ABANDONED)
            munmap(sents[i].bytes, PIECE);
    }
    MUST(abandoned > 0); /* the socket is full of them */
    receive_all(fds[1], bytes);
    if (io != NULL)
        di_io_close(io);
    for (unsigned i = 0; i < count; i++)
        MUST(sents[i].released == 1);
    close(fds[0]);
    close(fds[1]);
}

/* A socket that cannot, a kernel that takes nothing, a loop that cannot: nothing is sent, nothing is held. */
static void where_it_cannot_nothing_is_sent(void)
{
    static const struct di_io_backend *const backends[] = {&di_io_uring, &di_io_epoll};
    struct sent sent;
    int pair[2], fds[2];
    char byte;

    tcp_pair(fds);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    for (int i = 0; i < 4; i++) {
        struct di_io *io;
        const int end = i == 0 ? 0 : 1; /* a Unix socket; then TCP */
        bool held = true;
        MUST(di_io_open(&io, backends[i == 3]) == DUCT_OK);
        fill(&sent, 1);
        const struct iovec piece = {sent.bytes, PIECE};
        refusal = i == 1 ? -EAGAIN : i == 2 ? -EBUSY : 0;
        MUST(di_io_send_held(io, end == 0 ? pair[0] : fds[0], &piece, &sent.hold, &held) ==
             -EOPNOTSUPP);
        refusal = 0;
        MUST(!held || sent.released == 1);
        while (di_io_wait(io, 0) == DUCT_OK)
            continue;
        di_io_close(io);
        MUST(recv(end == 0 ? pair[1] : fds[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
        if (sent.released == 0 || sent.how != DI_IO_ABANDONED)
            munmap(sent.bytes, PIECE);
    }
    for (int i = 0; i < 2; i++) {
        close(pair[i]);
        close(fds[i]);
    }
}

/* A peer that has reset the connection is an error of the connection. */
static void errors_are_those_of_the_line(void)
{
    const struct linger now = {.l_onoff = 1};
    struct di_io *io = open_loop();
    struct sent sent;
    bool held;
    int fds[2];

    tcp_pair(fds);
    MUST(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
    close(fds[1]);
    fill(&sent, 1);
    const struct iovec piece = {sent.bytes, PIECE};
    int64_t done = di_io_send_held(io, fds[0], &piece, &sent.hold, &held);
    MUST(done == -ECONNRESET || done == -EPIPE);
    di_io_close(io);
    MUST(sent.released == held);
    if (!held || sent.how != DI_IO_ABANDONED)
        munmap(sent.bytes, PIECE);
    close(fds[0]);
}

int main(void)
{
    if (!di_io_uring_available())
        return SKIP;
    struct di_io *io = open_loop();
    bool can = (io->can & DI_IO_CAN_HOLD) != 0;
    di_io_close(io);
    if (!can)
        return SKIP;
    memory_comes_back_when_it_was_read();
    a_ring_that_goes_gives_back_all(leave_by_close);
    a_ring_that_goes_gives_back_all(leave_by_adoption);
    a_ring_that_goes_gives_back_all(leave_by_export);
    where_it_cannot_nothing_is_sent();
    errors_are_those_of_the_line();
    return 0;
}
