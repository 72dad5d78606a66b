/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <unistd.h>

#include <duct/options.h>

#include "tools/cat.h"
#include "tools/cli.h"

/* What moved so far, on one line of a terminal that has nothing better to show. */

#define PERIOD_NS (DUCT_SECOND / 4)

bool cat_progress_wanted(const struct cat_options *options)
{
    return !options->quiet && options->threads == 0 && isatty(STDERR_FILENO) &&
           !isatty(STDOUT_FILENO) && !isatty(STDIN_FILENO);
}

static void line(const struct cat_loop *loop, int64_t now, const char *end)
{
    double elapsed = (double)(now - loop->started) / 1e9;
    uint64_t bytes = loop->bytes_in + loop->bytes_out;

    fprintf(stderr, "%s: sent %s, received %s in %.1f s, %s/s%s",
            loop->options->listening ? "duct listen" : "duct dial",
            cli_bytes((double)loop->bytes_in).text, cli_bytes((double)loop->bytes_out).text,
            elapsed, cli_bytes(elapsed > 0 ? (double)bytes / elapsed : 0).text, end);
}

void cat_progress(struct cat_loop *loop, int64_t now)
{
    static int64_t next;

    if (now < next || now - loop->started < PERIOD_NS)
        return;
    next = now + PERIOD_NS;
    fputs("\r\033[K", stderr);
    line(loop, now, "");
}

void cat_summary(struct cat_loop *loop)
{
    bool shown = cat_progress_wanted(loop->options);

    if (!shown && !loop->options->verbose)
        return;
    if (shown)
        fputs("\r\033[K", stderr);
    line(loop, cli_now(), "\n");
}
