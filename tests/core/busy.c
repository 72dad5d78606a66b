/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A context that looks before it sleeps (spin_ns): what arrives meanwhile over a stream is found without a call that
 * sleeps, by a call on the pipe as by a wait for events. The linker puts the test's functions in the places of those
 * that enter the kernel.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/core/context.h"
#include "tests/count/pair.h"
#include "tests/lib/io/enters.h"

static _Thread_local unsigned slept;   /* calls of this thread that could sleep */
static _Thread_local unsigned send_in; /* the message comes after so many looks in vain; 0: never */
static struct duct_pipe *other;        /* who sends it */

static void looked(void)
{
    if (send_in == 0 || --send_in > 0)
        return;
    MUST(duct_write(other, "news", 4, 0, 0) == DUCT_OK);
}

ssize_t __real_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags);
ssize_t __wrap_recv(int fd, void *bytes, size_t size, int flags)
{
    ssize_t got = __real_recv(fd, bytes, size, flags);
    if (got >= 0 || errno != EAGAIN)
        return got;
    looked();
    errno = EAGAIN;
    return got;
}

ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t got = __real_recvmsg(fd, message, flags);
    if (got >= 0 || errno != EAGAIN)
        return got;
    looked();
    errno = EAGAIN;
    return got;
}

static void entering(bool sleeps)
{
    slept += sleeps;
}

static void entered(bool sleeps)
{
    (void)sleeps;
}

static void take(struct duct_pipe *pipe, int64_t timeout_ns)
{
    char got[8];
    size_t size;

    MUST(duct_read(pipe, got, sizeof(got), &size, NULL, timeout_ns) == DUCT_OK);
    MUST(size == 4 && memcmp(got, "news", 4) == 0);
}

/* A call on the pipe: the message comes while it looks, and it has not slept. */
static void by_a_call(struct pair *pair)
{
    for (unsigned looks = 1; looks < 5; looks++) {
        slept = 0;
        send_in = looks + 1;
        take(pair->pipes[0], SOON);
        MUST(slept == 0 && send_in == 0);
    }
}

/* Looking ends, and with it a call that waits for nothing; it sleeps where there is time left. */
static void for_a_while(struct pair *pair)
{
    char got[8];
    size_t size;

    slept = 0;
    MUST(duct_read(pair->pipes[0], got, sizeof(got), &size, NULL, DUCT_MILLISECOND) ==
         DUCT_ETIMEOUT);
    MUST(slept == 0);
    di_io_spin(pair->contexts[0]->io, 1000);
    MUST(duct_read(pair->pipes[0], got, sizeof(got), &size, NULL, 20 * DUCT_MILLISECOND) ==
         DUCT_ETIMEOUT);
    MUST(slept > 0);
    MUST(pair->contexts[0]->io->spin_ns == 1000);
}

static void play(enum duct_io io)
{
    struct pair pair;

    pair_open_uds(&pair, io, "wait=park");
    other = pair.pipes[1];
    di_io_spin(pair.contexts[0]->io, DUCT_SECOND);
    by_a_call(&pair);
    for_a_while(&pair);
    pair_close(&pair);
}

int main(void)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    if (di_io_uring_available())
        play(DUCT_IO_URING);
    play(DUCT_IO_EPOLL);
    options.spin_ns = -1;
    MUST(duct_context_open(&context, &options) == DUCT_EINVAL);
    options.spin_ns = DUCT_CONTEXT_SPIN_MAX + 1;
    MUST(duct_context_open(&context, &options) == DUCT_EINVAL);
    options.spin_ns = DUCT_CONTEXT_SPIN_MAX;
    MUST(duct_context_open(&context, &options) == DUCT_OK);
    MUST(context->io->spin_ns == DUCT_CONTEXT_SPIN_MAX);
    duct_context_close(context);
    return 0;
}
