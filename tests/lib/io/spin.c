/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loop that looks before it sleeps (di_io_spin): what comes meanwhile is found without a call that sleeps, and
 * looking ends. The linker puts the test's functions in the places of those that enter the kernel.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/io/futex.h"
#include "lib/io/io.h"
#include "tests/lib/io/enters.h"
#include "tests/must.h"

#define LONG  ((int64_t)1000000000)
#define SHORT ((int64_t)50000)

static unsigned slept;         /* calls that could sleep */
static unsigned raise_in;      /* the event comes after so many calls that do not; 0: after none */
static bool raise_asleep;      /* it comes as soon as the loop sleeps */
static int event = -1;         /* raised, or the word changed */
static _Atomic uint32_t *word; /* instead */

static void raise_event(void)
{
    const uint64_t one = 1;

    if (word != NULL) /* relaxed: of this thread alone */
        atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
    else
        MUST(write(event, &one, sizeof(one)) == sizeof(one));
}

static void entering(bool sleeps)
{
    if (!sleeps)
        return;
    slept++;
    if (raise_asleep)
        raise_event();
    raise_asleep = false;
}

/* The event comes behind the call, so that it is not what the call returns with. */
static void entered(bool sleeps)
{
    if (!sleeps && raise_in > 0 && --raise_in == 0)
        raise_event();
}

int __real_di_futex_sleep(const _Atomic uint32_t *at, uint32_t expected, const unsigned *tail,
                          unsigned seen, int64_t timeout_ns);
int __wrap_di_futex_sleep(const _Atomic uint32_t *at, uint32_t expected, const unsigned *tail,
                          unsigned seen, int64_t timeout_ns);
int __wrap_di_futex_sleep(const _Atomic uint32_t *at, uint32_t expected, const unsigned *tail,
                          unsigned seen, int64_t timeout_ns)
{
    entering(true);
    return __real_di_futex_sleep(at, expected, tail, seen, timeout_ns);
}

static int completions;

static void done(struct di_io_op *op, int result)
{
    (void)op;
    MUST(result >= 0);
    completions++;
}

/* One event, found as the case says: by a look, or by a sleep once there was enough looking. */
static void wait_once(struct di_io *io, struct di_io_op *op, int64_t spin_ns, bool by_look)
{
    di_io_spin(io, spin_ns);
    completions = 0;
    slept = 0;
    di_io_submit(io, op);
    raise_in = by_look ? 1 : 0;
    raise_asleep = !by_look;
    while (completions == 0)
        MUST(di_io_wait(io, INT64_MAX) == DUCT_OK);
    MUST(completions == 1);
    MUST(by_look ? slept == 0 : slept > 0);
    raise_in = 0;
}

static void of_a_descriptor(struct di_io *io)
{
    struct di_io_op op = {.done = done, .kind = DI_IO_POLL, .events = POLLIN};
    uint64_t count;

    op.fd = event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(event >= 0);
    for (int i = 0; i < 3; i++) {
        wait_once(io, &op, LONG, true);
        MUST(read(event, &count, sizeof(count)) == sizeof(count));
        wait_once(io, &op, SHORT, false);
        MUST(read(event, &count, sizeof(count)) == sizeof(count));
        wait_once(io, &op, 0, false);
        MUST(read(event, &count, sizeof(count)) == sizeof(count));
    }
    di_io_forget(io, &op);
    close(event);
}

static void of_a_word(struct di_io *io)
{
    static _Atomic uint32_t at;
    struct di_io_op op = {.done = done, .kind = DI_IO_WORD, .word = &at};

    if ((io->can & DI_IO_CAN_WORD) == 0)
        return;
    word = &at;
    /* Only the first wait of a loop enters the kernel before it looks, to have its wakes watched. */
    wait_once(io, &op, LONG, true);
    op.expected = 1; /* the changed one */
    wait_once(io, &op, SHORT, false);
    word = NULL;
}

/* A wait that ends before there was enough looking does not sleep either, and neither does one that must not wait. */
static void until_a_deadline(struct di_io *io)
{
    struct di_io_op timer = {.done = done, .kind = DI_IO_TIMER};

    di_io_spin(io, LONG);
    slept = 0;
    MUST(di_io_wait(io, 0) == DUCT_EAGAIN);
    MUST(di_io_wait(io, di_io_now(io) + SHORT) == DUCT_EAGAIN);
    timer.deadline = di_io_now(io) + SHORT;
    di_io_submit(io, &timer);
    MUST(di_io_wait(io, INT64_MAX) == DUCT_OK);
    di_io_wake(io);
    MUST(di_io_wait(io, INT64_MAX) == DUCT_OK);
    MUST(slept == 0);
}

/* An exported loop goes on another way. */
static void exported(struct di_io *io)
{
    di_io_spin(io, LONG);
    MUST(di_io_fd(io) >= 0);
    slept = 0;
    MUST(di_io_wait(io, di_io_now(io) + SHORT) == DUCT_EAGAIN);
    MUST(slept == 0);
}

static void every_case(const struct di_io_backend *backend)
{
    static void (*const cases[])(struct di_io *) = {of_a_descriptor, of_a_word, until_a_deadline,
                                                    exported};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct di_io *io;
        MUST(di_io_open(&io, backend) == DUCT_OK);
        cases[i](io);
        di_io_close(io);
    }
}

int main(void)
{
    if (di_io_uring_available())
        every_case(&di_io_uring);
    every_case(&di_io_epoll);
    return 0;
}
