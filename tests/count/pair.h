/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_COUNT_PAIR_H
#define TESTS_COUNT_PAIR_H

#include <stdio.h>
#include <stdlib.h>

#include <duct/duct.h>

#include "tests/must.h"

/* Both ends of a pipe in one process, each on a context of its own and both owned by the caller. */
struct pair {
    struct duct_context *contexts[2];
    struct duct_listener *listener;
    struct duct_pipe *pipes[2];
    char url[256];
    char directory[32];
};

void pair_open(struct pair *pair, enum duct_io io, const char *query);
void pair_open_uds(struct pair *pair, enum duct_io io, const char *query);
void pair_close(struct pair *pair);

/* A directory of the test's own for sockets; and its end. */
void pair_directory(char directory[32]);
void pair_leave(const char *directory);

#define SOON (20 * DUCT_SECOND)

#endif
