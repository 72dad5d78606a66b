/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_IO_SUITE_H
#define TESTS_IO_SUITE_H

#include <criterion/criterion.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/io/io.h"
#include "lib/io/sim.h"

/*
 * EACH_BACKEND(name) { … io … } is one test of the contract, run on every backend with an open
 * loop. A body may set io to NULL after closing it. One that this kernel does not allow is skipped.
 */
#define EACH_BACKEND(name)                 \
    static void name(struct di_io **loop); \
    Test(uring, name)                      \
    {                                      \
        on_backend(&di_io_uring, name);    \
    }                                      \
    Test(sqpoll, name)                     \
    {                                      \
        on_backend(&di_io_sqpoll, name);   \
    }                                      \
    Test(epoll, name)                      \
    {                                      \
        on_backend(&di_io_epoll, name);    \
    }                                      \
    static void name(struct di_io **loop)

/* EVERY_BACKEND(name): on the simulated one too, whose descriptors are not the kernel's. */
#define EVERY_BACKEND(name)                \
    static void name(struct di_io **loop); \
    Test(sim, name)                        \
    {                                      \
        on_backend(&di_io_sim, name);      \
    }                                      \
    EACH_BACKEND(name)

/* The loop of the test that runs, for those who make and use descriptors; and of those the other end. */
static struct di_io *suite_io;
static int suite_other[8192];
enum { SIM_FIRST = 1 << 24 };

static inline void on_backend(const struct di_io_backend *backend, void (*body)(struct di_io **))
{
    if (backend == &di_io_uring && !di_io_uring_available())
        cr_skip_test("io_uring is not available");
    struct di_io *io = NULL;
    if (backend == &di_io_sqpoll && di_io_open(&io, backend) == DUCT_ENOTSUP)
        cr_skip_test("SQPOLL is not available");
    if (io == NULL)
        cr_assert_eq(di_io_open(&io, backend), DUCT_OK, "%s", duct_err_detail());
    suite_io = io;
    body(&io);
    if (io != NULL)
        di_io_close(io);
}

/* For a body with operations still in flight on its stack. */
static inline void end(struct di_io **loop)
{
    di_io_close(*loop);
    *loop = NULL;
}

#define MS ((int64_t)1000000)

/* An operation that counts its completions. */
struct probe {
    struct di_io_op op;
    int count;
    int result;
    struct di_io *again; /* submit it again from done(), this often */
    int again_max;
};

static inline void probe_done(struct di_io_op *op, int result)
{
    struct probe *p = di_container(op, struct probe, op);
    p->count++;
    p->result = result;
    if (p->again != NULL && p->count <= p->again_max)
        di_io_submit(p->again, op);
}

static inline struct probe poll_probe(int fd, uint32_t events)
{
    return (struct probe){
        .op = {.done = probe_done, .kind = DI_IO_POLL, .fd = fd, .events = events}};
}

static inline struct probe timer_probe(int64_t deadline)
{
    return (struct probe){.op = {.done = probe_done, .kind = DI_IO_TIMER, .deadline = deadline}};
}

static inline struct probe word_probe(const _Atomic uint32_t *word, uint32_t expected)
{
    return (struct probe){
        .op = {.done = probe_done, .kind = DI_IO_WORD, .word = word, .expected = expected}};
}

/* A simulated descriptor's byte counts as an eventfd's one. */
static inline int event_fd(void)
{
    if (suite_io != NULL && suite_io->backend == &di_io_sim) {
        int pair[2];
        di_sim_pair(suite_io, pair);
        cr_assert_geq(pair[1], SIM_FIRST);
        suite_other[pair[0] - SIM_FIRST] = pair[1];
        return pair[0];
    }
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static inline void raise_fd(int fd)
{
    uint64_t one = 1;
    const struct iovec piece = {&one, 1};
    if (fd >= SIM_FIRST)
        cr_assert_eq(di_io_try_send(suite_io, suite_other[fd - SIM_FIRST], &piece, 1), 1);
    else
        cr_assert_eq(write(fd, &one, sizeof one), 8);
}

static inline void drain_fd(int fd)
{
    char all[64];
    const struct iovec piece = {all, sizeof all};
    uint64_t count;
    if (fd >= SIM_FIRST)
        cr_assert_gt(di_io_try_recv(suite_io, fd, &piece, 1), 0);
    else
        cr_assert_eq(read(fd, &count, sizeof count), 8);
}

static inline void close_fd(int fd)
{
    if (fd < SIM_FIRST) {
        close(fd);
        return;
    }
    di_io_close_socket(suite_io, fd);
    di_io_close_socket(suite_io, suite_other[fd - SIM_FIRST]);
}

static inline int dup_fd(int fd)
{
    return fd < SIM_FIRST ? dup(fd) : di_io_dup_socket(suite_io, fd);
}

static inline bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLIN) != 0;
}

/* Returns once that thread of ours sleeps in the kernel. */
static inline void until_asleep(pid_t thread)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    for (;;) {
        FILE *file = fopen(path, "r");
        cr_assert_not_null(file);
        const char *got = fgets(line, sizeof line, file);
        fclose(file);
        if (got != NULL && strstr(line, ") S ") != NULL)
            return;
        sched_yield();
    }
}

#endif
