/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DURABLE_BELOW_H
#define TESTS_DURABLE_BELOW_H

#include "shm/durable.h"

#include "tests/durable/ends.h"

/* Ends of the pipe of ends.h, opened below the transport: without a socket. */
static inline struct di_durable *open_below(enum di_end which)
{
    const struct di_durable_asks asks = {.dir = base,
                                         .name = "x",
                                         .end = which,
                                         .slots = 16,
                                         .max_msg = 1024,
                                         .pool = 8192,
                                         .held = 16,
                                         .bytes_max = UINT64_MAX};
    struct di_durable *end;

    cr_assert_eq(di_durable_open(&end, &asks), DUCT_OK, "%s", duct_err_detail());
    return end;
}

#endif
