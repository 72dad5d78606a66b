/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * Row 11: who sleeps when its peer dies is woken by the kernel, and not by an interval. The survivor is traced
 * (ptrace): once it has gone to sleep in a receive, it is in one system call, which has no timeout; no timer of
 * its own is set; it makes no other call until its peer is killed; and then that same call returns.
 */

enum { MARK = 0x7175, CALLS_TO_SLEEP = 200, SKIP = 77 };

/* That nothing happens is waited for this long. A busy machine can only hide a failure, not make one. */
static const struct timespec quiet_for = {.tv_nsec = 300000000};

struct setting {
    enum duct_io io;
    const char *query;
};

static const struct setting settings[] = {
    {DUCT_IO_AUTO, "wait=park"},
    {DUCT_IO_AUTO, "wait=park&bell=eventfd"},
    {DUCT_IO_AUTO, "wait=park&bell=socket"},
    {DUCT_IO_EPOLL, "wait=park&bell=eventfd"},
    {DUCT_IO_EPOLL, "wait=park&bell=socket"},
};

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition))                                                            \
            crash_fail("%s (line %d; %s)", #condition, __LINE__, duct_err_detail()); \
    } while (0)

/* ---- The two ---- */

static int survivor(void *user)
{
    const struct setting *setting = user;
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct duct_msg msg;
    char url[100];

    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
        return SKIP;
    kill(getpid(), SIGSTOP);
    with.io = setting->io;
    CHECK(duct_context_open(&options.context, &with) == DUCT_OK);
    snprintf(url, sizeof(url), "shm://quiet?handshake=60s&%s", setting->query);
    CHECK(duct_listen(&listener, url, &options) == DUCT_OK);
    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    CHECK(duct_recv(pipe, &msg, TALK_HUNG) == DUCT_OK);
    CHECK(duct_msg_release(&msg) == DUCT_OK);
    syscall(SYS_getppid, MARK);
    CHECK(duct_recv(pipe, &msg, DUCT_FOREVER) == DUCT_EPEER);
    duct_pipe_close(pipe);
    duct_listener_close(listener);
    duct_context_close(options.context);
    return 0;
}

static int victim(void *user)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;

    (void)user;
    options.wait_for_listener = DUCT_YES;
    options.dial_ns = TALK_HUNG;
    if (duct_dial(&pipe, "shm://quiet", &options) != DUCT_OK ||
        duct_write(pipe, "hello", 6, 0, TALK_HUNG) != DUCT_OK)
        return life_failed(DUCT_EOS);
    while (pause() != 0)
        continue;
    return 1;
}

/* ---- The tracer ---- */

/* The child's next stop; false if it makes none for a while. */
static bool next_stop(pid_t child, int *status)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    for (;;) {
        pid_t got = waitpid(child, status, WNOHANG);
        if (got == child)
            return true;
        if (got < 0)
            crash_fail("waitpid: %s", strerror(errno));
        if (sigtimedwait(&set, NULL, &quiet_for) < 0 && errno == EAGAIN)
            return waitpid(child, status, WNOHANG) == child;
    }
}

static void resume(pid_t child, int signal)
{
    if (ptrace(PTRACE_SYSCALL, child, 0, (long)signal) != 0)
        crash_fail("ptrace: %s", strerror(errno));
}

/* A stop that is a system call's: what it is. Otherwise NONE, and the signal is handed on with the resume. */
static struct __ptrace_syscall_info what(pid_t child, int status, int *signal)
{
    struct __ptrace_syscall_info info = {.op = PTRACE_SYSCALL_INFO_NONE};

    if (!WIFSTOPPED(status))
        crash_fail("the survivor ended early: %#x", (unsigned)status);
    *signal = WSTOPSIG(status);
    if (*signal != (SIGTRAP | 0x80))
        return info;
    *signal = 0;
    if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0)
        crash_fail("no system call to see: %s", strerror(errno));
    return info;
}

static bool has_timeout(pid_t child, const struct __ptrace_syscall_info *info)
{
    switch (info->entry.nr) {
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
    case SYS_epoll_pwait:
        return (int)info->entry.args[3] != -1;
    case SYS_epoll_pwait2:
    case SYS_futex_waitv:
        return info->entry.args[3] != 0;
    case SYS_io_uring_enter: {
        struct io_uring_getevents_arg arg = {0};
        struct iovec here = {&arg, sizeof(arg)};
        struct iovec there = {(void *)(uintptr_t)info->entry.args[4], sizeof(arg)};
        if (!(info->entry.args[3] & IORING_ENTER_EXT_ARG))
            return false;
        if (process_vm_readv(child, &here, 1, &there, 1, 0) != (ssize_t)sizeof(arg))
            crash_fail("the call's argument cannot be read");
        return arg.ts != 0;
    }
    default:
        crash_fail("it sleeps in system call %llu", (unsigned long long)info->entry.nr);
    }
}

/* Timer descriptors of the child that are set. */
static unsigned timers_set(pid_t child)
{
    char path[64], line[128];
    unsigned set = 0;

    for (int fd = 0; fd < 64; fd++) {
        unsigned long long seconds, nanoseconds;
        snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", (int)child, fd);
        FILE *file = fopen(path, "re");
        while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
            if (sscanf(line, "it_value: (%llu, %llu)", &seconds, &nanoseconds) == 2)
                set += seconds != 0 || nanoseconds != 0;
        }
        if (file != NULL)
            fclose(file);
    }
    return set;
}

/* Lets the survivor go to sleep; returns the call that it sleeps in, and how many came before. */
static struct __ptrace_syscall_info until_asleep(pid_t child, unsigned *calls)
{
    struct __ptrace_syscall_info info, last = {.op = PTRACE_SYSCALL_INFO_NONE};
    bool marked = false;
    int status, signal = 0;

    for (*calls = 0; *calls < CALLS_TO_SLEEP;) {
        resume(child, signal);
        if (!next_stop(child, &status)) {
            if (marked && last.op == PTRACE_SYSCALL_INFO_ENTRY)
                return last;
            /* Before the mark it may wait for the other. */
            while (!next_stop(child, &status))
                continue;
        }
        info = what(child, status, &signal);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            marked |= info.entry.nr == SYS_getppid && info.entry.args[0] == MARK;
            *calls += marked;
        }
        last = info;
    }
    crash_fail("%u calls, and not asleep", *calls);
}

static void sleeps_until_killed(const struct setting *setting)
{
    struct setting copy = *setting;
    unsigned calls;
    int status, signal;
    pid_t sleeper = crash_spawn(survivor, &copy, NULL);

    if (waitpid(sleeper, &status, 0) != sleeper)
        crash_fail("waitpid: %s", strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIP) {
        fprintf(stderr, "tracing is not allowed here\n");
        _exit(SKIP);
    }
    if (ptrace(PTRACE_SETOPTIONS, sleeper, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        crash_fail("ptrace: %s", strerror(errno));
    pid_t dies = crash_spawn(victim, NULL, NULL);
    struct __ptrace_syscall_info asleep = until_asleep(sleeper, &calls);
    if (has_timeout(sleeper, &asleep))
        crash_fail("%s: the sleep has a timeout", setting->query);
    if (timers_set(sleeper) != 0)
        crash_fail("%s: a timer is set", setting->query);
    crash_kill(dies);
    while (!next_stop(sleeper, &status))
        continue;
    if (what(sleeper, status, &signal).op != PTRACE_SYSCALL_INFO_EXIT)
        crash_fail("%s: the sleep was not what the death ended", setting->query);
    if (ptrace(PTRACE_CONT, sleeper, 0, 0L) != 0)
        crash_fail("ptrace: %s", strerror(errno));
    if (crash_wait(sleeper) != 0)
        crash_fail("%s: the survivor failed", setting->query);
    printf("%s, %s: asleep in call %llu after %u others, 0 until the death\n",
           setting->io == DUCT_IO_EPOLL ? "epoll" : "any loop", setting->query,
           (unsigned long long)asleep.entry.nr, calls - 2);
}

int main(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    crash_world_open();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        sleeps_until_killed(&settings[i]);
    return 0;
}
