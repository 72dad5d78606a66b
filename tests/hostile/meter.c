/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/meter.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/context.h"
#include "tests/hostile/must.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

enum { MARK = 0x6875 };

/* Shared with the tracer: what it counted. NULL: there is none. */
static unsigned long *counted;
static unsigned long steps;

/* ---- The tracer ---- */

/* Resumes the child and waits for its next stop. False: it is gone, and so are we. */
static int resume(pid_t pid, bool counting, int deliver)
{
    int status;

    MUST(ptrace(counting ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL,
                (void *)(uintptr_t)(unsigned)deliver) == 0);
    MUST(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    if (WIFSIGNALED(status)) {
        fprintf(stderr, "killed by signal %d\n", WTERMSIG(status));
        _exit(1);
    }
    return WSTOPSIG(status);
}

/* Counts from each SIGUSR1 to the mark that follows it. */
static void trace(pid_t pid)
{
    bool counting = false;
    int deliver = 0;

    for (;;) {
        int signal = resume(pid, counting, deliver);
        deliver = 0;
        if (signal == SIGUSR1) {
            counting = true;
            *counted = 0;
        } else if (signal == (SIGTRAP | 0x80)) {
            struct __ptrace_syscall_info info;
            MUST(ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) > 0);
            if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
                continue;
            if (info.entry.nr == SYS_getppid && info.entry.args[0] == MARK)
                counting = false;
            else
                ++*counted;
        } else if (signal != SIGSTOP) {
            deliver = signal;
        }
    }
}

void meter_start(void)
{
    int status;

    if (SANITIZED)
        return;
    counted =
        mmap(NULL, sizeof(*counted), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    MUST(counted != MAP_FAILED);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            counted = NULL;
        else
            raise(SIGSTOP);
        return;
    }
    MUST(waitpid(pid, &status, 0) == pid);
    if (!WIFSTOPPED(status))
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
    MUST(ptrace(PTRACE_SETOPTIONS, pid, NULL,
                (void *)(uintptr_t)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)) == 0);
    trace(pid);
}

/* ---- The loop ---- */

/* One table for each backend: the loop's own, but for wait. */
static struct di_io_backend tables[2];
static enum duct_err (*waits[2])(struct di_io *io, int64_t deadline);

static void (*act_before)(void *arg);
static void *act_arg;

void meter_before_turns(void (*act)(void *arg), void *arg)
{
    act_before = act;
    act_arg = arg;
}

static void turn(void)
{
    steps++;
    if (act_before != NULL)
        act_before(act_arg);
}

static enum duct_err count_uring(struct di_io *io, int64_t deadline)
{
    turn();
    return waits[0](io, deadline);
}

static enum duct_err count_epoll(struct di_io *io, int64_t deadline)
{
    turn();
    return waits[1](io, deadline);
}

void meter_context(struct duct_context *context)
{
    struct di_io *io = context->io;
    unsigned which = io->backend == &di_io_uring || io->backend == &tables[0] ? 0 : 1;

    if (waits[which] == NULL) {
        waits[which] = io->backend->wait;
        tables[which] = *io->backend;
        tables[which].wait = which == 0 ? count_uring : count_epoll;
    }
    io->backend = &tables[which];
}

void meter_begin(void)
{
    steps = 0;
    if (counted != NULL)
        raise(SIGUSR1);
}

void meter_end(struct cost *cost)
{
    if (counted != NULL)
        syscall(SYS_getppid, MARK);
    cost->steps = steps;
    cost->calls = counted != NULL ? *counted : 0;
}
