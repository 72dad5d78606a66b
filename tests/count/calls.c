/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls per round trip, counted with ptrace on one of two processes, between two marks that
 * it makes (getppid with a number). A spinning exchange makes none but its glance at the kernel,
 * which is bounded by the time it takes: one a millisecond. A parked one rings once and sleeps once. A question over
 * a stream and its answer are one on io_uring.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/count/pair.h"
#include "transports/shm_pipe.h"

enum { WARM = 1000, ROUNDS = 5000, MARK = 0x6475, SKIP = 77 };

/* Shared with the dialer: how long its rounds took. */
static int64_t *took_ms;

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void mark(unsigned which)
{
    syscall(SYS_getppid, MARK, which);
}

static void options_for(struct duct_options *options, enum duct_io io)
{
    struct duct_context_options io_options = DUCT_CONTEXT_OPTIONS_INIT;

    io_options.io = io;
    *options = (struct duct_options)DUCT_OPTIONS_INIT;
    enum duct_err err = duct_context_open(&options->context, &io_options);
    if (err == DUCT_ENOTSUP)
        _exit(SKIP);
    MUST(err == DUCT_OK);
}

/* The other side is slowed down by its tracer, and would find each answer there before it could sleep.
 * So the answer is held back until it said anew that it sleeps, and a little longer. */
static void let_it_sleep(struct duct_pipe *pipe)
{
    const struct di_ringer *ringer = &((struct shm_pipe *)pipe)->sender->ringer;
    static uint64_t last;
    uint64_t word = last;

    for (int i = 0; i < 2000000 && (word == last || !(word & DI_WANT_DATA)); i++)
        word = di_peer_load(ringer->word);
    last = word;
    /* The rest of its way into the kernel. */
    for (int i = 0; i < 400; i++)
        milliseconds();
}

static void trip(struct duct_pipe *pipe, bool first, bool parked)
{
    struct duct_msg msg;
    char bytes[8] = "payload";

    if (first)
        MUST(duct_write(pipe, bytes, 8, 1, SOON) == DUCT_OK);
    MUST(duct_recv(pipe, &msg, SOON) == DUCT_OK);
    MUST(duct_msg_release(&msg) == DUCT_OK);
    if (parked)
        let_it_sleep(pipe);
    if (!first)
        MUST(duct_write(pipe, bytes, 8, 1, SOON) == DUCT_OK);
}

/* A question and its answer, by the one call that is for it. */
static void call(struct duct_pipe *pipe)
{
    struct duct_msg out, in;

    MUST(duct_msg_loan(pipe, 8, &out) == DUCT_OK);
    memcpy(out.data, "payload", 8);
    MUST(duct_call(pipe, &out, &in, SOON) == DUCT_OK);
    MUST(duct_msg_release(&in) == DUCT_OK);
}

static void run_dialer(const char *url, enum duct_io io, bool calls)
{
    struct duct_options options;
    struct duct_pipe *pipe;

    MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
    raise(SIGSTOP);
    options_for(&options, io);
    options.wait_for_listener = DUCT_YES;
    options.dial_ns = SOON;
    MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
    for (int i = 0; i < WARM; i++)
        trip(pipe, true, false);
    int64_t before = milliseconds();
    mark(1);
    for (int i = 0; i < ROUNDS; i++) {
        if (calls)
            call(pipe);
        else
            trip(pipe, true, false);
    }
    mark(2);
    *took_ms = milliseconds() - before;
    duct_context_close(options.context);
    _exit(0);
}

static void run_listener(const char *url, enum duct_io io, bool parked)
{
    struct duct_options options;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct duct_msg msg;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    options_for(&options, io);
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    MUST(duct_accept(listener, &pipe, SOON) == DUCT_OK);
    for (int i = 0; i < WARM + ROUNDS; i++)
        trip(pipe, false, parked);
    MUST(duct_recv(pipe, &msg, SOON) == DUCT_ECLOSED);
    duct_context_close(options.context);
    _exit(0);
}

/* Lets the dialer run to its end; returns the calls between the marks, or -1 if it skipped. */
static long trace(pid_t pid)
{
    bool counting = false, entering = true;
    long calls = 0;
    int status;

    MUST(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
    MUST(ptrace(PTRACE_SETOPTIONS, pid, NULL,
                (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) == 0);
    for (int signal = 0;;) {
        MUST(ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(uintptr_t)(unsigned)signal) == 0);
        MUST(waitpid(pid, &status, 0) == pid);
        if (WIFEXITED(status)) {
            MUST(WEXITSTATUS(status) == SKIP || WEXITSTATUS(status) == 0);
            return WEXITSTATUS(status) == SKIP ? -1 : calls;
        }
        MUST(!WIFSIGNALED(status));
        signal = 0;
        if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
            signal = WSTOPSIG(status);
            continue;
        }
        struct __ptrace_syscall_info info;
        MUST(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0);
        entering = info.op == PTRACE_SYSCALL_INFO_ENTRY;
        if (!entering)
            continue;
        if (info.entry.nr == SYS_getppid && info.entry.args[0] == MARK)
            counting = info.entry.args[1] == 1;
        else
            calls += counting;
    }
}

/* per_trip: calls allowed for each round trip; per_ms: and for each millisecond. */
static int count(const char *url, enum duct_io io, double per_trip, double per_ms)
{
    bool shm = strncmp(url, "shm:", 4) == 0;
    int status;

    pid_t listener = fork();
    MUST(listener >= 0);
    if (listener == 0)
        run_listener(url, io, shm && per_trip > 0);
    pid_t dialer = fork();
    MUST(dialer >= 0);
    if (dialer == 0)
        run_dialer(url, io, !shm);
    long calls = trace(dialer);
    MUST(waitpid(listener, &status, 0) == listener);
    if (calls < 0)
        return 0;
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    double allowed = per_trip * ROUNDS + per_ms * (double)(*took_ms + 1);
    printf("%-40s %-5s %7.4f calls a round trip (%ld in %d, %lld ms; allowed %.0f)\n", url,
           io == DUCT_IO_URING ? "uring" : "epoll", (double)calls / ROUNDS, calls, ROUNDS,
           (long long)*took_ms, allowed);
    return (double)calls > allowed;
}

int main(void)
{
    char directory[32];
    int over = 0;

    took_ms =
        mmap(NULL, sizeof(*took_ms), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(took_ms != MAP_FAILED);
    pair_directory(directory);
    for (int i = 0; i < 2; i++) {
        enum duct_io io = i == 0 ? DUCT_IO_URING : DUCT_IO_EPOLL;
        /* The spinner's own glances, and those of its sends. */
        over |= count("shm://count?wait=spin", io, 0, 3);
    }
    /* One to ring, one to sleep; a few more where a sleep was cut short. */
    over |= count("shm://count?wait=park", DUCT_IO_URING, 2.1, 0);
    /* Without futexes: ring, sleep, take the byte off the socket, find no more. */
    over |= count("shm://count?wait=park&bell=socket", DUCT_IO_EPOLL, 4.1, 0);
    over |= count("shm://count?wait=park&bell=eventfd", DUCT_IO_EPOLL, 3.1, 0);
    /* One a leg: it sends, sleeps and receives. A few more for timers. */
    over |= count("uds://@duct-count", DUCT_IO_URING, 1.02, 0);
    /* It sends, finds nothing, sleeps, receives. */
    over |= count("uds://@duct-count", DUCT_IO_EPOLL, 4.1, 0);
    pair_leave(directory);
    return over;
}
