/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_INJECT_H
#define TESTS_CRASH_INJECT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Faults at a system call. The child runs under ptrace(2) and not under strace, which would cost a
 * program's start each time: this takes some milliseconds, so that every call can be tried with every
 * error. Neither is it done by wrapping functions: io_uring's calls are made without libc.
 *
 * Lies in memory shared with the child, which says with `on` where faults are wanted.
 */
struct inject {
    _Atomic uint32_t on;
    bool kill;      /* the child dies on entry to the call; else the call fails */
    uint64_t at;    /* which call, from 1; 0: none */
    unsigned which; /* of the errors that the call can give, from 0 */

    bool report; /* the user's: print each error */

    uint64_t calls;  /* out: counted so far */
    unsigned errors; /* out: how many errors the call has that was to fail */
    bool done;       /* out: it was done */
    char what[64];   /* out: "connect gives ECONNREFUSED" */
};

/* Runs role(user) in a child. Its exit status; -1 if it was killed. 77: this machine cannot. */
int inject_run(int (*role)(void *user), void *user, struct inject *inject);

/* inject_run() cannot trace here. */
#define INJECT_CANNOT 77

#endif
