/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_COVERAGE_H
#define TEST_COVERAGE_H

#include <signal.h>
#include <unistd.h>

/*
 * In front of every file of a build that counts coverage (DUCT_COVERAGE). A process writes its counts when it
 * exits; here also one that leaves by _exit(), or kills itself at a crash point, where most of what is tested
 * under death and injected errors happens. One that another process kills takes its counts with it.
 */
void __gcov_dump(void);

/* What makes the status up has been counted by then. */
static inline __attribute__((noreturn, unused)) void exit_counted(int status)
{
    __gcov_dump();
    _exit(status);
}

#define _exit(status) exit_counted(status)
#define kill(pid, sig) \
    ((void)((sig) == SIGKILL && (pid) == getpid() ? (__gcov_dump(), 0) : 0), kill(pid, sig))

#endif
