/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel that takes nothing for a while (io_uring_enter gives EAGAIN or EBUSY): what was submitted is not lost, a
 * CALL says that it sent nothing, and the loop goes on when there is room again. The linker puts the test's
 * io_uring_enter2() in the place of the library's.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/io/io.h"
#include "tests/lib/io/refuse.h"
#include "tests/must.h"

enum { SKIP = 77 };

static int completions, last;

static void done(struct di_io_op *op, int result)
{
    (void)op;
    completions++;
    last = result;
}

static void pair_of(int fds[2])
{
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
}

static void a_call_has_sent_nothing(struct di_io *io)
{
    int fds[2];
    char bytes[8];
    struct iovec piece = {bytes, sizeof(bytes)};
    struct di_io_op op = {.done = done,
                          .kind = DI_IO_CALL,
                          .fd = -1,
                          .data = "question",
                          .size = 8,
                          .events = POLLIN | POLLRDHUP,
                          .pieces = &piece,
                          .piece_count = 1};

    pair_of(fds);
    op.fd = fds[0];
    completions = 0;
    di_io_submit(io, &op);
    MUST(di_io_wait(io, 0) == DUCT_OK);
    MUST(completions == 1 && last == DI_IO_FAILED && op.error == EAGAIN && op.sent == 0);
    refusal = 0;
    MUST(di_io_wait(io, 0) == DUCT_EAGAIN);
    /* Nor later. */
    MUST(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) < 0 && errno == EAGAIN);
    di_io_submit(io, &op);
    MUST(di_io_wait(io, 0) == DUCT_EAGAIN);
    MUST(recv(fds[1], bytes, sizeof(bytes), MSG_DONTWAIT) == 8);
    MUST(send(fds[1], "answer", 6, 0) == 6);
    while (completions == 1)
        MUST(di_io_wait(io, INT64_MAX) == DUCT_OK);
    MUST(last == 6 && op.sent == 8);
    di_io_forget(io, &op);
    close(fds[0]);
    close(fds[1]);
}

/* More than the submission queue has room for: what does not fit fails, what does is taken later. */
static void everything_completes_once(struct di_io *io)
{
    enum { OPS = 200 };
    static struct di_io_op ops[OPS];
    static int fds[OPS][2];

    completions = 0;
    for (int i = 0; i < OPS; i++) {
        pair_of(fds[i]);
        ops[i] =
            (struct di_io_op){.done = done, .kind = DI_IO_POLL, .fd = fds[i][0], .events = POLLIN};
        di_io_submit(io, &ops[i]);
    }
    MUST(di_io_wait(io, 0) == DUCT_OK);
    int refused = completions;
    MUST(refused > 0 && refused < OPS && last == DI_IO_FAILED);
    refusal = 0;
    for (int i = 0; i < OPS; i++)
        MUST(send(fds[i][1], "x", 1, 0) == 1);
    while (completions < OPS)
        MUST(di_io_wait(io, INT64_MAX) == DUCT_OK);
    MUST(di_io_wait(io, 0) == DUCT_EAGAIN && completions == OPS);
    for (int i = 0; i < OPS; i++) {
        di_io_forget(io, &ops[i]);
        close(fds[i][0]);
        close(fds[i][1]);
    }
}

/* Its poll of the wake has no room in the queue; the wake is heard all the same. */
static void a_wake_is_not_lost(struct di_io *io)
{
    di_io_wake(io);
    MUST(di_io_wait(io, 0) == DUCT_EAGAIN);
    refusal = 0;
    MUST(di_io_wait(io, INT64_MAX) == DUCT_OK);
}

/* For good: every call says so, and the end completes what is left. */
static void a_loop_that_failed_says_so(struct di_io *io)
{
    int fds[2];
    struct di_io_op op = {.done = done, .kind = DI_IO_POLL, .events = POLLIN};

    pair_of(fds);
    op.fd = fds[0];
    completions = 0;
    di_io_submit(io, &op);
    for (int i = 0; i < 3; i++)
        MUST(di_io_wait(io, INT64_MAX) == DUCT_EOS);
    MUST(completions == 0);
    di_io_close(io);
    MUST(completions == 1 && last == DI_IO_CANCELED);
    close(fds[0]);
    close(fds[1]);
}

static struct di_io *open_loop(void)
{
    struct di_io *io;

    refusal = 0;
    MUST(di_io_open(&io, &di_io_uring) == DUCT_OK);
    return io;
}

int main(void)
{
    static void (*const cases[])(struct di_io *) = {a_call_has_sent_nothing,
                                                    everything_completes_once, a_wake_is_not_lost};

    if (!di_io_uring_available())
        return SKIP;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (int busy = 0; busy < 2; busy++) {
            struct di_io *io = open_loop();
            refusal = busy ? -EBUSY : -EAGAIN;
            cases[i](io);
            di_io_close(io);
        }
    }
    struct di_io *io = open_loop();
    refusal = -EBADFD;
    a_loop_that_failed_says_so(io);
    return 0;
}
