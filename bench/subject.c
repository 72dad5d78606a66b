/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/subject.h"

#include <stdio.h>
#include <unistd.h>

enum { URL_BYTES = 192 };

bool subject_setup(struct bench_run *run)
{
    static char url[URL_BYTES]; /* one run at a time */
    static unsigned runs;
    const struct bench_geometry *geometry = &run->what->geometry;
    int length =
        snprintf(url, sizeof(url), "shm://duct-bench-%d-%u?wait_listener=1", (int)getpid(), runs++);

    if (geometry->slots != 0)
        length += snprintf(url + length, sizeof(url) - (size_t)length,
                           "&slots=%u&max_msg=%zu&pool=%zu&wait=%s", geometry->slots,
                           geometry->max_msg, geometry->pool, geometry->wait);
    run->own = url;
    return length > 0 && (size_t)length < sizeof(url);
}

uint64_t subject_touch(const struct bench_run *run)
{
    const struct bench_geometry *geometry = &run->what->geometry;
    uint64_t blocks = run->size > SUBJECT_SMALL_MAX ? geometry->pool / run->size : 0;
    return geometry->slots + blocks;
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

/* Sum of the words of messages 1 .. total. */
static uint64_t sum_of(size_t size, uint64_t total)
{
    uint64_t words = size / 8;
    return words * (total * (total + 1) / 2) + total * (words * (words - 1) / 2);
}

void subject_close(struct subject *side, struct bench_run *run, bool is_first, bool read_in_full)
{
    uint64_t total = subject_touch(run) + bench_total(&run->plan);
    bool right = !side->failed && (!read_in_full || side->sum == sum_of(side->size, total));

    duct_pipe_close(side->pipe);
    duct_listener_close(side->listener);
    if (is_first)
        bench_check(run, right);
    else if (!right)
        _exit(7);
}
