/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers that a ring's receives choose from: as many as are needed, and no more. */
#include <errno.h>
#include <sys/socket.h>

#include "lib/io/uring.h"
#include "tests/lib/io/suite.h"

enum { MANY = 200 };

static struct di_io *open_uring(void)
{
    struct di_io *io = NULL;
    if (!di_io_uring_available())
        cr_skip_test("io_uring is not available");
    cr_assert_eq(di_io_open(&io, &di_io_uring), DUCT_OK);
    if ((io->can & DI_IO_CAN_TAKE) == 0)
        cr_skip_test("this kernel cannot choose the buffers");
    return io;
}

static struct probe pairs[MANY];
static int others[MANY];

static void open_pairs(int count)
{
    for (int i = 0; i < count; i++) {
        int fds[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        pairs[i] = (struct probe){.op = {.done = probe_done,
                                         .kind = DI_IO_RECV_ANY,
                                         .fd = fds[0],
                                         .events = POLLIN | POLLRDHUP}};
        others[i] = fds[1];
    }
}

/* One byte to each of the first so many, at the same time; all is taken. */
static void exchange(struct di_io *io, int count)
{
    for (int i = 0; i < count; i++) {
        if (!pairs[i].op.in_flight)
            di_io_submit(io, &pairs[i].op);
    }
    while (di_io_wait(io, 0) == DUCT_OK)
        continue;
    for (int i = 0; i < count; i++)
        cr_assert_eq(write(others[i], "x", 1), 1);
    for (int i = 0; i < count; i++) {
        struct di_buffer *buffer = NULL;
        while (di_io_take(io, &pairs[i].op, &buffer) == -EAGAIN)
            cr_assert_eq(di_io_wait(io, INT64_MAX), DUCT_OK);
        cr_assert_eq(buffer->size, 1);
        di_buffer_release(buffer);
    }
}

static unsigned wanted(struct di_io *io)
{
    return di_uring_of(io)->buffers->wanted;
}

Test(buffers, there_are_more_while_many_receive_at_once_and_fewer_later)
{
    struct di_io *io = open_uring();
    open_pairs(MANY);
    exchange(io, 1);
    cr_assert_eq(wanted(io), DI_URING_BUFFERS_LEAST);
    for (int i = 0; i < 8; i++)
        exchange(io, MANY);
    cr_assert_gt(wanted(io), DI_URING_BUFFERS_LEAST);
    cr_assert_leq(wanted(io), DI_URING_BUFFERS_MOST);
    for (int i = 0; i < 8 * DI_URING_BUFFERS_WINDOW; i++)
        exchange(io, 1);
    cr_assert_eq(wanted(io), DI_URING_BUFFERS_LEAST);
    cr_assert_leq(di_uring_of(io)->buffers->offered, DI_URING_BUFFERS_LEAST);
    di_io_close(io);
}

/* A reader that does not take has so many of them, whatever its peer sends. */
Test(buffers, one_that_does_not_take_has_few)
{
    static char much[8192];
    struct di_io *io = open_uring();
    open_pairs(1);
    di_io_submit(io, &pairs[0].op);
    size_t sent = 0;
    for (int i = 0; i < 1000; i++) {
        ssize_t put = send(others[0], much, sizeof much, MSG_DONTWAIT);
        sent += put > 0 ? (size_t)put : 0;
        (void)!di_io_wait(io, 0);
    }
    cr_assert_leq(pairs[0].op.received_count, 64);
    cr_assert_not(pairs[0].op.receiving);
    cr_assert_lt(sent, 4u << 20); /* the rest of it did not go */
    cr_assert_eq(pairs[0].count, 1);
    di_io_close(io); /* with all that waits */
}

/* Released by whoever, also when the pool is gone; those that nobody has are few. */
Test(buffers, a_pool_outlives_its_owner)
{
    struct di_buffer *out[100];
    struct di_buffers *pool = di_buffers_open();
    cr_assert_not_null(pool);
    for (unsigned i = 0; i < 100; i++)
        cr_assert_not_null(out[i] = di_buffers_take(pool));
    for (unsigned i = 0; i < 90; i++)
        di_buffer_release(out[i]);
    cr_assert_leq(pool->idle, 16);
    struct di_buffer *again = di_buffers_take(pool);
    cr_assert_lt(pool->idle, 16);
    cr_assert(di_buffer_alone(again));
    di_buffer_hold(again);
    cr_assert_not(di_buffer_alone(again));
    di_buffer_release(again);
    di_buffer_release(again);
    di_buffers_close(pool);
    for (unsigned i = 90; i < 100; i++) {
        memset(out[i]->bytes, 1, out[i]->capacity);
        di_buffer_release(out[i]);
    }
}
