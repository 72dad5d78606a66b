/* SPDX-License-Identifier: Apache-2.0 */
#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/message.h>
#include <duct/options.h>
#include <duct/pipe.h>

#include "tools/cli.h"
#include "tools/histogram.h"

/*
 * duct ping: messages there and back, one at a time, and how long they took. The other end is
 * `duct listen --echo URL`, for which `duct ping --listen URL` is another name.
 */

#define REPORT_NS     DUCT_SECOND             /* a line each, of what came since the last */
#define EACH_FROM_NS  (20 * DUCT_MILLISECOND) /* with such an interval, a line each time */
#define COUNT_DEFAULT 100000u
#define COUNT_PACED   10u

struct options {
    const char *url;
    uint64_t count, size;
    int64_t interval_ns, timeout_ns;
    bool json, listen, quiet;
};

struct ping {
    const struct options *options;
    struct duct_context *context;
    struct duct_pipe *pipe;
    unsigned char *payload;
    uint64_t sent;
    int64_t started, reported;
    struct histogram all, recent;
};

static const struct argp_option argp_table[] = {
    {"count", 'c', "N", 0, "Round trips; 100,000, or 10 with --interval", 0},
    {"size", 's', "SIZE", 0, "Bytes of each message, from 8 on; 64", 0},
    {"interval", 'i', "DURATION", 0, "Time from one to the next; back to back", 0},
    {"timeout", 't', "DURATION", 0, "Longest wait for a reply, and for the dial; 5s", 0},
    {"json", 'j', NULL, 0, "The summary as JSON, and nothing else", 0},
    {"listen", 'l', NULL, 0, "Be the other end: duct listen --echo URL", 0},
    {"quiet", 'q', NULL, 0, "Only the summary", 0},
    {0},
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
    struct options *options = state->input;

    switch (key) {
    case 'c':
        if (!cli_parse_count(arg, &options->count))
            argp_error(state, "--count=%s: expected a number from 1 on", arg);
        return 0;
    case 's':
        if (!cli_parse_size(arg, &options->size) || options->size < 8 ||
            options->size > UINT64_C(1) << 30)
            argp_error(state, "--size=%s: expected a size from 8 to 1g", arg);
        return 0;
    case 'i':
        if (!cli_parse_duration(arg, &options->interval_ns))
            argp_error(state, "--interval=%s: expected a time such as 100ms", arg);
        return 0;
    case 't':
        if (!cli_parse_duration(arg, &options->timeout_ns) || options->timeout_ns == 0)
            argp_error(state, "--timeout=%s: expected a time such as 500ms", arg);
        return 0;
    case 'j':
        options->json = true;
        return 0;
    case 'l':
        options->listen = true;
        return 0;
    case 'q':
        options->quiet = true;
        return 0;
    default:
        return cli_take_address(key, arg, state, &options->url);
    }
}

static const struct argp argp = {
    argp_table,
    parse,
    "URL",
    "Measures round trips over URL, where duct listen --echo URL answers.\v"
    "Exit status: 0 all right, 1 failed or a wrong reply, 2 usage, 3 not found or refused, 4 "
    "timeout, "
    "5 the other side died, 128 + n signal n.",
    NULL,
    NULL,
    NULL};

/* ---- One round trip ---- */

/* The payload begins with a number, so that a reply to something else is not taken for this one's. */
static enum duct_err send_one(struct ping *ping)
{
    struct duct_msg msg;
    const struct options *options = ping->options;

    enum duct_err err = duct_msg_loan_aligned(ping->pipe, options->size, DUCT_ALIGN_LINE,
                                              options->timeout_ns, &msg);
    if (err != DUCT_OK)
        return err;
    memcpy(msg.data, ping->payload, options->size);
    memcpy(msg.data, &ping->sent, sizeof(ping->sent));
    msg.tag = ping->sent;
    if ((err = duct_send(ping->pipe, &msg, options->timeout_ns)) != DUCT_OK) {
        enum duct_err ignored = duct_msg_discard(&msg);
        (void)ignored;
    }
    return err;
}

static bool is_reply(const struct ping *ping, const struct duct_msg *msg)
{
    uint64_t number;

    if (msg->size != ping->options->size)
        return false;
    memcpy(&number, msg->data, sizeof(number));
    return number == ping->sent && memcmp((const unsigned char *)msg->data + 8, ping->payload + 8,
                                          ping->options->size - 8) == 0;
}

static enum duct_err round_trip(struct ping *ping, bool *right)
{
    struct duct_msg in;
    int64_t start = cli_now();

    enum duct_err err = send_one(ping);
    if (err != DUCT_OK || (err = duct_recv(ping->pipe, &in, ping->options->timeout_ns)) != DUCT_OK)
        return err;
    uint64_t took = (uint64_t)(cli_now() - start);
    *right = is_reply(ping, &in);
    histogram_add(&ping->all, took);
    histogram_add(&ping->recent, took);
    return duct_msg_release(&in);
}

/* ---- What is said ---- */

static void report_recent(struct ping *ping, int64_t now)
{
    const struct histogram *recent = &ping->recent;
    const struct options *options = ping->options;

    if (options->json || options->quiet)
        return;
    if (options->interval_ns >= EACH_FROM_NS) {
        printf("%" PRIu64 " bytes from %s: number %" PRIu64 ", %s\n", options->size, options->url,
               ping->sent, cli_time((double)recent->max).text);
    } else if (now - ping->reported >= REPORT_NS) {
        printf("%3.0f s  %9" PRIu64 " round trips  p50 %s  p99 %s  max %s\n",
               (double)(now - ping->started) / 1e9, recent->count,
               cli_time((double)histogram_at(recent, 0.5)).text,
               cli_time((double)histogram_at(recent, 0.99)).text,
               cli_time((double)recent->max).text);
    } else {
        return;
    }
    fflush(stdout);
    ping->reported = now;
    histogram_clear(&ping->recent);
}

static const struct percentile {
    const char *name, *key;
    double share;
} percentiles[] = {{"p50", "p50_ns", 0.5},
                   {"p90", "p90_ns", 0.9},
                   {"p99", "p99_ns", 0.99},
                   {"p99.9", "p999_ns", 0.999}};

static void summary_text(const struct ping *ping)
{
    const struct histogram *all = &ping->all;

    if (all->count == 0)
        return;
    printf("%" PRIu64 " round trips of %" PRIu64 " bytes over %s:\n  min %s", all->count,
           ping->options->size, ping->options->url, cli_time((double)all->min).text);
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
        printf("  %s %s", percentiles[i].name,
               cli_time((double)histogram_at(all, percentiles[i].share)).text);
    printf("  max %s\n", cli_time((double)all->max).text);
}

static void set_integer(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void summary_json(const struct ping *ping)
{
    const struct histogram *all = &ping->all;
    json_t *object = json_object();

    json_object_set_new(object, "url", json_string(ping->options->url));
    json_object_set_new(object, "io", json_string(duct_context_io(ping->context)));
    set_integer(object, "size", ping->options->size);
    set_integer(object, "sent", ping->sent);
    set_integer(object, "received", all->count);
    set_integer(object, "min_ns", all->count > 0 ? all->min : 0);
    set_integer(object, "mean_ns", all->count > 0 ? all->sum / all->count : 0);
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++)
        set_integer(object, percentiles[i].key, histogram_at(all, percentiles[i].share));
    set_integer(object, "max_ns", all->max);
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

/* ---- The run ---- */

/* Until the next is due; what happens to the pipe meanwhile ends the wait, and shows in the next. */
static enum duct_err pace(struct ping *ping, int64_t due)
{
    struct duct_event event;
    size_t count;

    for (int64_t now = cli_now(); now < due; now = cli_now()) {
        enum duct_err err = duct_context_wait(ping->context, &event, 1, &count, due - now);
        if (err == DUCT_ETIMEOUT)
            return DUCT_OK;
        if (err != DUCT_OK)
            return err;
        if (count > 0 && (event.type == DUCT_EVENT_ERROR || event.type == DUCT_EVENT_CLOSED))
            return event.err;
    }
    return DUCT_OK;
}

/* The other side did not want to go on, and may have said why. */
static int closed(struct ping *ping)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    enum duct_err err = duct_pipe_info(ping->pipe, &info);

    cli_say("the other side closed %s: %s", ping->options->url,
            err == DUCT_OK && info.close_text[0] != '\0' ? info.close_text : "it gave no reason");
    return CLI_CLOSED;
}

static int run(struct ping *ping)
{
    const struct options *options = ping->options;
    enum duct_err err = DUCT_OK;
    bool right = true;

    ping->started = ping->reported = cli_now();
    while (err == DUCT_OK && right && ping->sent < options->count && cli_signal() == 0) {
        int64_t start = cli_now();
        ping->sent++;
        if ((err = round_trip(ping, &right)) != DUCT_OK)
            break;
        report_recent(ping, cli_now());
        if (options->interval_ns > 0 && ping->sent < options->count)
            err = pace(ping, start + options->interval_ns);
    }
    if (options->json)
        summary_json(ping);
    else
        summary_text(ping);
    if (err == DUCT_ECLOSED)
        return closed(ping);
    if (err == DUCT_ETIMEOUT) {
        cli_say("no reply from %s within the time given by --timeout", options->url);
        return CLI_TIMEOUT;
    }
    if (err != DUCT_OK)
        return cli_fail(err, "no reply from", options->url);
    if (!right) {
        cli_say("the reply from %s is not what was sent: is it duct listen --echo?", options->url);
        return CLI_FAILED;
    }
    return cli_signal() != 0 ? CLI_SIGNAL + cli_signal() : CLI_OK;
}

static int dial_and_run(const struct options *options)
{
    static struct ping only;
    struct ping *ping = &only;
    struct duct_options pipe_options = DUCT_OPTIONS_INIT;

    if ((ping->payload = malloc(options->size)) == NULL)
        return cli_fail(DUCT_ENOMEMORY, "prepare for", options->url);
    ping->options = options;
    for (uint64_t i = 0; i < options->size; i++)
        ping->payload[i] = (unsigned char)(i * 37);
    histogram_clear(&ping->all);
    histogram_clear(&ping->recent);
    enum duct_err err = duct_context_default(&ping->context);
    if (err != DUCT_OK)
        return cli_fail(err, "open a context for", options->url);
    cli_catch_signals(ping->context);
    pipe_options.dial_ns = options->timeout_ns;
    if (options->size > UINT64_C(64) << 10)
        pipe_options.max_msg = (uint32_t)options->size;
    if ((err = duct_dial(&ping->pipe, options->url, &pipe_options)) != DUCT_OK)
        return cli_fail(err, "cannot dial", options->url);
    int code = run(ping);
    duct_pipe_close(ping->pipe);
    free(ping->payload);
    return code;
}

int ping_main(int argc, char **argv)
{
    struct options options = {.size = 64, .timeout_ns = 5 * DUCT_SECOND};

    if (argp_parse(&argp, argc, argv, 0, NULL, &options) != 0)
        return CLI_FAILED;
    if (options.count == 0)
        options.count = options.interval_ns > 0 ? COUNT_PACED : COUNT_DEFAULT;
    if (!options.listen)
        return dial_and_run(&options);
    char name[] = "duct listen", echo[] = "--echo";
    char *listen_argv[] = {name, echo, (char *)(uintptr_t)options.url, NULL};
    return cat_main(3, listen_argv);
}
