/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_FAIL_FAIL_CALLS_H
#define TESTS_FAIL_FAIL_CALLS_H

#include <stdbool.h>

/* Between fail.c, which decides, and fail_calls.c, which does. */

/* The errors that a call has, up to a 0. True: it is to fail, and errno says how. */
bool fail_now(const char *call, const int *errors);

void fail_count_block(long difference);

#endif
