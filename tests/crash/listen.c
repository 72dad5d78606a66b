/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/crash/victim.h"

/*
 * Rows 1 and 2 of the crash matrix: a listener dies at each step of binding, of taking over what another
 * left, and of closing. Whoever comes next has the address at once, and leaves nothing.
 */

#define URL "shm://crash"

static int listens_and_closes(void *user)
{
    struct duct_listener *listener;
    enum duct_err err = duct_listen(&listener, URL, NULL);

    (void)user;
    if (err != DUCT_OK) {
        fprintf(stderr, "listen: %s: %s\n", duct_err_name(err), duct_err_detail());
        return 1;
    }
    duct_listener_close(listener);
    return 0;
}

/* Leaves a stale socket behind: dies with the listener open. */
static int listens_and_dies(void *user)
{
    struct duct_listener *listener;

    (void)user;
    if (duct_listen(&listener, URL, NULL) != DUCT_OK)
        return 1;
    kill(getpid(), SIGKILL);
    return 2;
}

/* Dies at point k of listening and closing, and everything is as if it had never been. */
static bool dies_at(struct crash_plan *plan, uint64_t k, bool over_stale)
{
    if (over_stale) {
        if (crash_wait(crash_spawn(listens_and_dies, NULL, NULL)) != -1 || crash_world_names() != 2)
            crash_fail("no stale socket was left to take over");
    }
    *plan = (struct crash_plan){.die_at = k};
    int status = crash_wait(crash_spawn(listens_and_closes, NULL, plan));
    if (status > 0)
        crash_fail("point %llu (%s): the listener failed", (unsigned long long)k, plan->last);
    if (status == 0 && crash_world_names() != 0)
        crash_fail("a listener that closed left a name");
    if (status == 0)
        return false;
    crash_tried(plan);
    if (crash_wait(crash_spawn(listens_and_closes, NULL, NULL)) != 0)
        crash_fail("after a death at %s the address is not free", plan->last);
    if (crash_world_names() != 0)
        crash_fail("after a death at %s, and a successor, %u names remain", plan->last,
                   crash_world_names());
    return true;
}

int main(void)
{
    struct crash_plan *plan = crash_plan_new();
    uint64_t k = 1;
    unsigned deaths = 0;

    crash_world_open();
    for (int over_stale = 0; over_stale < 2; over_stale++) {
        for (k = 1; dies_at(plan, k, over_stale); k++)
            deaths++;
    }
    printf("%u deaths\n", deaths);
    crash_plan_free(plan);
    /* All of binding; what a dialer passes is another test's. */
    return crash_untried("names.lock") + crash_untried("names.s") + crash_untried("names.b") +
               crash_untried("names.listening") + crash_untried("listen.") >
           0;
}
