/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_IO_TAKE_H
#define TESTS_IO_TAKE_H

#include <errno.h>
#include <sys/socket.h>

#include "tests/lib/io/suite.h"

/* Streams whose one end is the loop's, by RECV_ANY, and the other the test's. */

static inline void stream_pair(int fds[2])
{
    if (suite_io->backend == &di_io_sim)
        di_sim_pair(suite_io, fds);
    else
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

static inline void close_end(int fd)
{
    if (fd < SIM_FIRST)
        close(fd);
    else
        di_io_close_socket(suite_io, fd);
}

/* The other side, which has no loop. */
static inline void put_bytes(int fd, const void *bytes, size_t size)
{
    const struct iovec piece = {(void *)(uintptr_t)bytes, size};
    cr_assert_eq(fd < SIM_FIRST ? send(fd, bytes, size, MSG_DONTWAIT)
                                : di_io_try_send(suite_io, fd, &piece, 1),
                 (ssize_t)size);
}

static inline struct probe any_probe(int fd)
{
    if ((suite_io->can & DI_IO_CAN_TAKE) == 0)
        cr_skip_test("this kernel cannot choose the buffers");
    return (struct probe){
        .op = {.done = probe_done, .kind = DI_IO_RECV_ANY, .fd = fd, .events = POLLIN | POLLRDHUP}};
}

/* Waits until there is something to take, or the loop says that it is over. */
static inline int64_t take(struct di_io *io, struct probe *p, struct di_buffer **buffer)
{
    int64_t got;
    while ((got = di_io_take(io, &p->op, buffer)) == -EAGAIN) {
        if (!p->op.in_flight)
            di_io_submit(io, &p->op);
        cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
    }
    return got;
}

static inline size_t take_some(struct di_io *io, struct probe *p)
{
    struct di_buffer *buffer = NULL;
    int64_t got = take(io, p, &buffer);
    cr_assert_gt(got, 0);
    di_buffer_release(buffer);
    return (size_t)got;
}

/* Submits and cancels until nothing is received beneath it; what comes meanwhile is counted. */
static inline size_t stop(struct di_io *io, struct probe *p)
{
    struct di_buffer *buffer = NULL;
    size_t size = 0;
    while (p->op.in_flight || di_io_receiving(&p->op)) {
        if (!p->op.in_flight)
            di_io_submit(io, &p->op);
        di_io_cancel(io, &p->op);
        cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
        while (di_io_receiving(&p->op) && di_io_take(io, &p->op, &buffer) > 0) {
            size += buffer->size;
            di_buffer_release(buffer);
        }
    }
    return size;
}

#endif
