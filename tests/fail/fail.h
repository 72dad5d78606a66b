/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAIL_FAIL_H
#define TESTS_FAIL_FAIL_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include <duct/error.h>

/*
 * Calls of the C library that fail on request, memory included, which tests/crash/inject.h, a system call at a
 * time, cannot ask for. The linker puts ours (fail_calls.c) in the place of the library's in a program made
 * with duct_failing_program(). One thread.
 */

/* From now on the n-th call, from 1, that can fail with that error does so, once. 0: none does. Forgets how many
 * calls there were. */
void fail_at(unsigned n, int error);

/* How many calls could have failed so since then. Stops the counting, and the failing. */
unsigned fail_calls(void);

/* What failed, as "open: No such file or directory"; "nothing". */
const char *fail_what(void);

/* Blocks of memory that were taken and not given back since the program began. */
long fail_blocks(void);

/* Set: it seems that this is no container, whose processes are not all that there are. */
extern bool fail_outermost;

/* What must hold whatever failed. */
#define FAIL_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: after %s: not so: %s (%s)\n", __FILE__, __LINE__, fail_what(), \
                    #condition, duct_err_detail());                                                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
