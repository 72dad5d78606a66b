/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CONFORMANCE_GENERATIONS_H
#define TESTS_CONFORMANCE_GENERATIONS_H

#include "tests/conformance/suite.h"

/*
 * For tests of pipes that come back. Here dials; there is a process that has one listener after the other live and
 * die, each in a process of its own, none of which says good-bye unless it means to.
 */

/* There: one life, to its end. */
void generation(struct side *s, script *run);

/* Listens, tells, accepts, and listens no more. */
void serve(struct side *s);

/* Here: changes of state. */
struct history {
    struct duct_event event[64];
    size_t count;
};

/* Notes every change of state up to the one that is waited for. history may be NULL. */
void until(struct side *s, enum duct_state state, struct history *history);

/* Dials once told. */
void dial_with(struct side *s, const char *query);

/* Has the listener die, and learns of it. */
void lose(struct side *s);

#endif
