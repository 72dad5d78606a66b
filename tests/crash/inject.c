/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/inject.h"

#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/inject_errors.h"
#include "tests/crash/victim.h"

/* ---- Registers ---- */

#if defined(__x86_64__)

static bool skip_call(pid_t child)
{
    return ptrace(PTRACE_POKEUSER, child, offsetof(struct user_regs_struct, orig_rax), -1L) == 0;
}

static bool set_result(pid_t child, long result)
{
    return ptrace(PTRACE_POKEUSER, child, offsetof(struct user_regs_struct, rax), result) == 0;
}

#elif defined(__aarch64__)

static bool skip_call(pid_t child)
{
    int number = -1;
    struct iovec piece = {&number, sizeof(number)};

    return ptrace(PTRACE_SETREGSET, child, NT_ARM_SYSTEM_CALL, &piece) == 0;
}

static bool set_result(pid_t child, long result)
{
    struct user_regs_struct regs;
    struct iovec piece = {&regs, sizeof(regs)};

    if (ptrace(PTRACE_GETREGSET, child, NT_PRSTATUS, &piece) != 0)
        return false;
    regs.regs[0] = (unsigned long)result;
    return ptrace(PTRACE_SETREGSET, child, NT_PRSTATUS, &piece) == 0;
}

#else

static bool skip_call(pid_t child)
{
    (void)child;
    return false;
}

static bool set_result(pid_t child, long result)
{
    (void)child;
    (void)result;
    return false;
}

#endif

/* ---- The child ---- */

struct traced {
    int (*role)(void *user);
    void *user;
};

static int run_traced(void *user)
{
    struct traced *traced = user;

    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0)
        return INJECT_CANNOT;
    kill(getpid(), SIGSTOP);
    return traced->role(traced->user);
}

/* ---- The tracer ---- */

/* The child is about to make its call; the result to force on it, or 0. */
static int on_entry(pid_t child, struct inject *inject, long number, unsigned long operation)
{
    /* Sequentially consistent by default of the kernel's stop: the child does not run. */
    if (atomic_load_explicit(&inject->on, memory_order_relaxed) == 0 ||
        ++inject->calls != inject->at)
        return 0;
    const struct inject_call *call = inject_call(number);
    /* To wake somebody cannot fail. */
    if (number == SYS_futex && (operation & FUTEX_CMD_MASK) == FUTEX_WAKE && !inject->kill)
        call = NULL;
    if (inject->kill) {
        snprintf(inject->what, sizeof(inject->what), "%s, call %ld",
                 call != NULL ? call->name : "another", number);
        inject->done = true;
        kill(child, SIGKILL);
        return 0;
    }
    inject->errors = 0;
    while (call != NULL && call->errors[inject->errors] != 0)
        inject->errors++;
    if (inject->which >= inject->errors)
        return 0;
    int errnum = call->errors[inject->which];
    snprintf(inject->what, sizeof(inject->what), "%s gives %s", call->name,
             strerrorname_np(errnum));
    if (!skip_call(child))
        crash_fail("a system call cannot be left out on this machine");
    inject->done = true;
    return errnum;
}

/* Lets the child go on to its next stop, handing it that signal. */
static int next_stop(pid_t child, int signal)
{
    int status;

    if (ptrace(PTRACE_SYSCALL, child, 0, (long)signal) != 0 && errno != ESRCH)
        crash_fail("ptrace: %s", strerror(errno));
    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            crash_fail("waitpid: %s", strerror(errno));
    }
    return status;
}

int inject_run(int (*role)(void *user), void *user, struct inject *inject)
{
    struct traced traced = {role, user};
    struct __ptrace_syscall_info info;
    pid_t child = crash_spawn(run_traced, &traced, NULL);
    int status, forced = 0;

    inject->calls = 0;
    inject->done = false;
    if (waitpid(child, &status, 0) != child)
        crash_fail("waitpid: %s", strerror(errno));
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) != 0)
        crash_fail("ptrace: %s", strerror(errno));
    for (int signal = 0;;) {
        status = next_stop(child, signal);
        if (!WIFSTOPPED(status))
            break;
        signal = WSTOPSIG(status);
        if (signal != (SIGTRAP | 0x80))
            continue;
        signal = 0;
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof(info), &info) <= 0)
            continue; /* killed meanwhile: the next stop is its end */
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            forced =
                on_entry(child, inject, (long)info.entry.nr, (unsigned long)info.entry.args[1]);
        } else if (forced != 0) {
            set_result(child, -forced);
            forced = 0;
        }
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) != SIGKILL)
        crash_fail("%s: the process ended by signal %d", inject->what, WTERMSIG(status));
    return -1;
}
