/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_MUST_H
#define TESTS_MUST_H

#include <stdio.h>
#include <stdlib.h>

#include <duct/error.h>

/* For plain programs, which Criterion is not for. The detail is that of the last call that failed, if one did. */
#define MUST(condition)                                                         \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, \
                    duct_err_detail());                                         \
            abort();                                                            \
        }                                                                       \
    } while (0)

#endif
