/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_LIFE_H
#define TESTS_CRASH_LIFE_H

#include <stdbool.h>

#include <duct/duct.h>

#include "tests/crash/survivor.h"

/* The life of a victim that meets a survivor, as far as it is the same for every death. */
struct life {
    bool listens; /* and the survivor dials, or the other way round */
    enum duct_io io;
    const char *scheme;
    const char *query; /* options of its address, beside TALK_QUERY */
    struct survivor *survivor;
    struct scene *scene;
};

struct living {
    struct duct_context *context;
    struct duct_listener *listener;
    struct duct_pipe *pipe;
};

/* In the victim: opens its context, and the pipe to the survivor. */
enum duct_err life_open(const struct life *life, struct living *living);
void life_close(struct living *living); /* all but the pipe */

/* The end of a life that failed by itself: says why; returns the exit status. */
int life_failed(enum duct_err err);

/* In the driver: one round, in which role(user) is the victim's life. True if it died; it is counted in
 * seen by what the survivor saw. */
bool life_round(const struct life *life, int (*role)(void *user), void *user, unsigned *seen);

/* Fresh memory for scenes, which survivors and victims share. */
struct scene *scene_new(void);
void scene_free(struct scene *scene);

#endif
