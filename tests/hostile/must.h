/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_MUST_H
#define TESTS_HOSTILE_MUST_H

#include <stdio.h>
#include <stdlib.h>

#include <duct/duct.h>

/* Longer than anything takes on a busy machine; a wait that gets here has hung. */
#define SOON (20 * DUCT_SECOND)

/* What is being played; for the message of whoever fails. */
extern const char *playing;

#define MUST(condition)                                                                      \
    do {                                                                                     \
        if (!(condition)) {                                                                  \
            fprintf(stderr, "%s:%d: %s: %s (%s)\n", __FILE__, __LINE__, playing, #condition, \
                    duct_err_detail());                                                      \
            abort();                                                                         \
        }                                                                                    \
    } while (0)

/* The call gives that error. */
#define GIVES(call, expected)                                                                 \
    do {                                                                                      \
        enum duct_err given = (call);                                                         \
        if (given != (expected)) {                                                            \
            fprintf(stderr, "%s:%d: %s: %s gives %s, expected %s (%s)\n", __FILE__, __LINE__, \
                    playing, #call, duct_err_name(given), duct_err_name(expected),            \
                    duct_err_detail());                                                       \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

#endif
