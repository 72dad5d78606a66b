/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/subject.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/channel.h"

#define URL_BYTES 192

/* Longer than an answer takes: neither side sleeps. */
#define BUSY_NS (200 * DUCT_MICROSECOND)

struct url {
    char text[URL_BYTES];
    size_t length;
};

static void add(struct url *url, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct url *url, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(url->text + url->length, sizeof(url->text) - url->length, format, args);
    va_end(args);
    url->length += length > 0 ? (size_t)length : 0;
    if (url->length >= sizeof(url->text))
        url->length = sizeof(url->text) - 1;
}

static void add_address(struct url *url, const char *scheme)
{
    static unsigned runs;

    if (scheme == NULL)
        add(url, "shm://duct-bench-%d-%u", (int)getpid(), runs++);
    else if (strcmp(scheme, "uds") == 0)
        add(url, "uds://@duct-bench-%d-%u", (int)getpid(), runs++);
    else
        add(url, "tcp://127.0.0.1:%u", channel_free_port());
}

/* The context looks before it sleeps, and not the pipe. */
static bool is_busy(const struct bench_geometry *geometry)
{
    return geometry->wait != NULL && strcmp(geometry->wait, "busy") == 0;
}

bool subject_setup(struct bench_run *run)
{
    static struct url url; /* one run at a time */
    const struct bench_geometry *geometry = &run->what->geometry;

    url.length = 0;
    add_address(&url, run->what->scheme);
    add(&url, "?wait_listener=1");
    if (geometry->slots != 0)
        add(&url, "&slots=%u", geometry->slots);
    if (geometry->max_msg != 0)
        add(&url, "&max_msg=%zu", geometry->max_msg);
    if (geometry->pool != 0)
        add(&url, "&pool=%zu", geometry->pool);
    if (geometry->wait != NULL)
        add(&url, "&wait=%s", is_busy(geometry) ? "park" : geometry->wait);
    /* What a socket did not take at once leaves before its pipe is closed. */
    if (run->what->scheme != NULL)
        add(&url, "&linger=5s");
    run->own = url.text;
    return url.length < sizeof(url.text) - 1;
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
    struct duct_context_options busy = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    bool well = true;

    if (run->what->backend != NULL && setenv("DUCT_IO", run->what->backend, 1) != 0)
        _exit(6);
    busy.spin_ns = BUSY_NS;
    if (is_busy(&run->what->geometry))
        well = subject_ok(&side, "context", duct_context_open(&side.context, &busy));
    options.context = side.context;
    if (well && is_first)
        well = subject_ok(&side, "listen", duct_listen(&side.listener, run->own, &options)) &&
               subject_ok(&side, "accept", duct_accept(side.listener, &side.pipe, SUBJECT_WAIT_NS));
    else if (well)
        well = subject_ok(&side, "dial", duct_dial(&side.pipe, run->own, &options));
    if (!well)
        _exit(6);
    return side;
}

void subject_close(struct subject *side, struct bench_run *run, bool is_first, bool read_in_full)
{
    uint64_t total = subject_touch(run) + bench_total(&run->plan);
    bool right = !side->failed && (!read_in_full || side->sum == payload_sum(side->size, total));

    duct_pipe_close(side->pipe);
    duct_listener_close(side->listener);
    duct_context_close(side->context);
    if (is_first)
        bench_check(run, right);
    else if (!right)
        _exit(7);
}
