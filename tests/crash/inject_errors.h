/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_INJECT_ERRORS_H
#define TESTS_CRASH_INJECT_ERRORS_H

/* A system call, and the errors it can give, up to a 0. */
struct inject_call {
    long number;
    const char *name;
    int errors[8];
};

/* NULL: none that can fail. */
const struct inject_call *inject_call(long number);

#endif
