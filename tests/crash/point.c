/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/point.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/crash.h"

/* All points of the program: the linker names the ends of the section. There is none in a program that links
 * the library as it is shipped. */
extern const struct di_crash_point __start_di_crash_points[] __attribute__((weak));
extern const struct di_crash_point __stop_di_crash_points[] __attribute__((weak));

#define POINTS_MAX 512u

static struct crash_plan *armed;
static struct crash_plan from_environment;
static char tried[POINTS_MAX][sizeof(armed->last)];
static unsigned tried_count;

/* Read once, before main: whoever passes a point may be a thread. */
__attribute__((constructor)) static void read_environment(void)
{
    const char *at = getenv("DUCT_CRASH_AT");

    if (at == NULL)
        return;
    from_environment.die_at = strtoull(at, NULL, 10);
    armed = &from_environment;
}

void di_crash_pass(const struct di_crash_point *point)
{
    struct crash_plan *plan = armed;

    if (plan == NULL)
        return;
    /* One thread of a victim passes points. */
    plan->passed++;
    memcpy(plan->last, point->name, sizeof(plan->last));
    if (plan->passed == plan->die_at || strcmp(plan->die_name, point->name) == 0)
        kill(getpid(), SIGKILL);
}

struct crash_plan *crash_plan_new(void)
{
    struct crash_plan *plan =
        mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return plan == MAP_FAILED ? NULL : plan;
}

void crash_plan_free(struct crash_plan *plan)
{
    munmap(plan, sizeof(*plan));
}

void crash_arm(struct crash_plan *plan)
{
    armed = plan;
}

static bool was_tried(const char *name)
{
    for (unsigned i = 0; i < tried_count; i++) {
        if (strcmp(tried[i], name) == 0)
            return true;
    }
    return false;
}

void crash_tried(const struct crash_plan *plan)
{
    if (tried_count < POINTS_MAX && !was_tried(plan->last))
        memcpy(tried[tried_count++], plan->last, sizeof(plan->last));
}

/* Inlined points are there once for each place. */
static bool is_first(const struct di_crash_point *point)
{
    for (const struct di_crash_point *at = __start_di_crash_points; at < point; at++) {
        if (strcmp(at->name, point->name) == 0)
            return false;
    }
    return true;
}

const char *crash_point_name(unsigned number)
{
    for (const struct di_crash_point *at = __start_di_crash_points; at < __stop_di_crash_points;
         at++) {
        if (is_first(at) && number-- == 0)
            return at->name;
    }
    return NULL;
}

unsigned crash_untried(const char *prefix)
{
    unsigned count = 0, all = 0;
    const char *name;

    for (unsigned i = 0; (name = crash_point_name(i)) != NULL; i++) {
        if (strncmp(name, prefix, strlen(prefix)) != 0)
            continue;
        all++;
        if (was_tried(name))
            continue;
        printf("nobody has died at %s\n", name);
        count++;
    }
    if (all == 0)
        printf("there is no point %s any more\n", prefix);
    return count + (all == 0);
}
