/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>

#include "lib/io/io.h"
#include "tests/count/pair.h"

/*
 * A pipe's exported descriptor reads unready once a receive has said AGAIN, also where the peer rings through the control
 * socket, as it does until it has read which eventfd to ring, and where the loop has other news and asks nobody for the
 * socket's. The linker puts a clock that stands still in the place of the tick's, by which a sender looks for news now and
 * then.
 */

int64_t __wrap_di_coarse_now(void);

int64_t __wrap_di_coarse_now(void)
{
    return 0;
}

enum { ROUNDS = 20 };

static bool readable(int fd)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};

    return poll(&ask, 1, 0) == 1;
}

static void quiet(struct duct_pipe *pipe, int fd)
{
    struct duct_msg msg;

    MUST(duct_recv(pipe, &msg, 0) == DUCT_EAGAIN);
    MUST(!readable(fd));
}

static void rung_through_the_socket(enum duct_io io)
{
    struct pair pair;
    uint64_t number, tag;
    size_t size;
    int fd;

    pair_open(&pair, io, "wait=park");
    /* From here on the loop sleeps on words, in a ring that posts completions at any time. */
    MUST(duct_read(pair.pipes[0], &number, sizeof(number), &size, &tag, DUCT_MILLISECOND) ==
         DUCT_ETIMEOUT);
    MUST(duct_pipe_fd(pair.pipes[0], &fd) == DUCT_OK);
    quiet(pair.pipes[0], fd);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        MUST(duct_write(pair.pipes[1], &i, sizeof(i), i, SOON) == DUCT_OK);
        MUST(readable(fd));
        if (i % 2 != 0)
            duct_context_wake(pair.contexts[0]);
        MUST(duct_read(pair.pipes[0], &number, sizeof(number), &size, &tag, SOON) == DUCT_OK);
        MUST(number == i && tag == i);
        quiet(pair.pipes[0], fd);
    }
    pair_close(&pair);
}

int main(void)
{
    rung_through_the_socket(DUCT_IO_EPOLL);
    if (di_io_uring_available())
        rung_through_the_socket(DUCT_IO_URING);
    return 0;
}
