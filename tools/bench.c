/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/cli.h"

/*
 * duct bench: becomes duct-bench, which lies beside this program in a build tree, and in the libexec
 * directory of the same prefix when installed; DUCT_LIBEXEC leads there from the directory of duct.
 */

static const char *const places[] = {"", DUCT_LIBEXEC "/"};

int bench_main(int argc, char **argv)
{
    char own[PATH_MAX], path[PATH_MAX + 64];
    ssize_t length = readlink("/proc/self/exe", own, sizeof(own) - 1);

    (void)argc;
    if (length < 0) {
        cli_say("cannot find out where this program lies: %s", strerror(errno));
        return CLI_FAILED;
    }
    own[length] = '\0';
    *strrchr(own, '/') = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        snprintf(path, sizeof(path), "%s/%sduct-bench", own, places[i]);
        execv(path, argv);
        if (errno != ENOENT) {
            cli_say("cannot run %s: %s", path, strerror(errno));
            return CLI_FAILED;
        }
    }
    cli_say("duct-bench is neither in %s nor in %s/%s; configure with -DDUCT_BUILD_BENCH=ON, build "
            "and install it",
            own, own, DUCT_LIBEXEC);
    return CLI_FAILED;
}
