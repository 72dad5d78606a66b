/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { URL_BYTES = 192 };

bool subject_setup(struct bench_run *run)
{
    static char url[URL_BYTES]; /* one run at a time */
    static unsigned runs;
    int length = snprintf(url, sizeof(url), "shm://duct-bench-%d-%u?wait_listener=1%s%s",
                          (int)getpid(), runs++, run->what->geometry[0] != '\0' ? "&" : "",
                          run->what->geometry);
    run->own = url;
    return length > 0 && (size_t)length < sizeof(url);
}

const char *subject_url(const struct bench_run *run)
{
    return run->own;
}

bool subject_fail(struct subject *side, const char *call, enum duct_err err)
{
    if (!side->failed)
        fprintf(stderr, "%s: %s: %s\n", call, duct_err_name(err), duct_err_detail());
    side->failed = true;
    return false;
}

struct subject subject_open(struct bench_run *run, bool is_first)
{
    struct subject side = {.size = run->size};
    bool well;

    if (is_first)
        well = subject_ok(&side, "listen", duct_listen(&side.listener, run->own, NULL)) &&
               subject_ok(&side, "accept", duct_accept(side.listener, &side.pipe, SUBJECT_WAIT_NS));
    else
        well = subject_ok(&side, "dial", duct_dial(&side.pipe, run->own, NULL));
    if (!well)
        _exit(6);
    return side;
}

uint64_t subject_sum(size_t size, uint64_t total)
{
    uint64_t words = size / 8;
    return words * (total * (total + 1) / 2) + total * (words * (words - 1) / 2);
}

void subject_close(struct subject *side, struct bench_run *run, bool is_first, bool read_in_full,
                   uint64_t total)
{
    bool right =
        !side->failed && (!read_in_full || side->sum == subject_sum(side->size, total));

    duct_pipe_close(side->pipe);
    duct_listener_close(side->listener);
    if (is_first)
        bench_check(run, right);
    else if (!right)
        _exit(7);
}

struct bench_case subject_with(const struct bench_case *what, const char *format, ...)
{
    struct bench_case with = *what;
    va_list args;
    va_start(args, format);
    vsnprintf(with.geometry, sizeof(with.geometry), format, args);
    va_end(args);
    return with;
}
