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
    Test(epoll, name)                      \
    {                                      \
        on_backend(&di_io_epoll, name);    \
    }                                      \
    static void name(struct di_io **loop)

static inline void on_backend(const struct di_io_backend *backend, void (*body)(struct di_io **))
{
    if (backend == &di_io_uring && !di_io_uring_available())
        cr_skip_test("io_uring is not available");
    struct di_io *io = NULL;
    cr_assert_eq(di_io_open(&io, backend), DUCT_OK, "%s", duct_err_detail());
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

static inline int event_fd(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

static inline void raise_fd(int fd)
{
    uint64_t one = 1;
    cr_assert_eq(write(fd, &one, sizeof one), 8);
}

static inline void drain_fd(int fd)
{
    uint64_t count;
    cr_assert_eq(read(fd, &count, sizeof count), 8);
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
