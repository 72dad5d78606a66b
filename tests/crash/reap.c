/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/reap.h"

#include <stdio.h>
#include <stdlib.h>

#include <duct/janitor.h>

#include "tests/crash/victim.h"

int crash_reap(void *directory)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;
    size_t count;

    options.directory = directory;
    if (duct_janitor_open(&janitor, &options) != DUCT_OK)
        return 100;
    count = duct_janitor_count(janitor);
    for (size_t i = 0; i < count; i++) {
        if (duct_janitor_remove(janitor, i, false) != DUCT_OK)
            return 101;
    }
    duct_janitor_close(janitor);
    return (int)count;
}

void crash_new_directory(const char *path)
{
    char command[256];

    snprintf(command, sizeof(command), "rm -rf %s && mkdir -m 700 %s", path, path);
    if (system(command) != 0)
        crash_fail("no directory");
}
