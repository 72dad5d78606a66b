/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include <duct/duct.h>

#include "tools/cat.h"

/*
 * leave_end URL: leaves in a durable pipe what a listener says at the end of its input, from a session that is over,
 * and three lines behind it, for whoever dials next.
 */
static int fail(const char *what)
{
    fprintf(stderr, "leave_end: %s: %s\n", what, duct_err_detail());
    return 1;
}

int main(int argc, char **argv)
{
    const uint64_t over = 1;
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    if (argc != 2 || duct_listen(&listener, argv[1], NULL) != DUCT_OK ||
        duct_accept(listener, &pipe, 0) != DUCT_OK)
        return fail("cannot listen");
    if (duct_write(pipe, &over, sizeof(over), CAT_END_TAG, 0) != DUCT_OK)
        return fail("cannot write the end");
    for (int i = 1; i <= 3; i++) {
        const char line[] = {(char)('0' + i), '\n'};
        if (duct_write(pipe, line, sizeof(line), 0, 0) != DUCT_OK)
            return fail("cannot write a line");
    }
    duct_pipe_close(pipe);
    duct_listener_close(listener);
    return 0;
}
