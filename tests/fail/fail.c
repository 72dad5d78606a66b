/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fail/fail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tests/fail/fail_calls.h"

static struct {
    bool on;
    unsigned at, calls;
    int error;
    const char *failed;
    char what[128];
} plan;

static long blocks;

void fail_at(unsigned n, int error)
{
    plan.at = n;
    plan.calls = 0;
    plan.error = error;
    plan.failed = NULL;
    plan.on = true;
}

unsigned fail_calls(void)
{
    plan.on = false;
    return plan.calls;
}

const char *fail_what(void)
{
    if (plan.failed == NULL)
        return "nothing";
    snprintf(plan.what, sizeof(plan.what), "%s, number %u: %s", plan.failed, plan.at,
             strerror(plan.error));
    return plan.what;
}

bool fail_now(const char *call, const int *errors)
{
    if (!plan.on)
        return false;
    while (*errors != 0 && *errors != plan.error)
        errors++;
    if (*errors == 0 || ++plan.calls != plan.at)
        return false;
    plan.failed = call;
    errno = plan.error;
    return true;
}

void fail_count_block(long difference)
{
    blocks += difference;
}

long fail_blocks(void)
{
    return blocks;
}
