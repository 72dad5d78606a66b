/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/bars.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "bench/report.h"

#define KIB 1024.0
#define MIB 1048576.0

struct bar *bars_add(struct bars *bars, double value, bool at_least, double limit, const char *unit)
{
    struct bar *bar = &bars->list[bars->count < BARS_MAX ? bars->count++ : BARS_MAX - 1];
    bool met = at_least ? value >= limit : value <= limit;
    *bar = (struct bar){
        .unit = unit,
        .value = value,
        .limit = limit,
        .at_least = at_least,
        .verdict = value <= 0 ? BAR_UNKNOWN
                   : met      ? BAR_MET
                              : BAR_MISSED,
    };
    return bar;
}

void bar_text(char to[BAR_TEXT], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(to, BAR_TEXT, format, args);
    va_end(args);
}

static void pingpong_bars(struct bars *bars, const struct results *results)
{
    static const struct {
        size_t size;
        double limit;
    } spinning[] = {{8, 1.15}, {40, 1.15}, {64, 1.25}, {1024, 1.25}, {65536, 1.1}, {1048576, 1.1}};
    char cell[REPORT_CELL];

    for (size_t i = 0; i < sizeof(spinning) / sizeof(spinning[0]); i++) {
        double ratio = results_ratio(results, "duct.pingpong", spinning[i].size, BENCH_PAIR);
        struct bar *bar = bars_add(bars, ratio, false, spinning[i].limit, "x");
        bar_text(bar->what, "ping-pong, spinning, %s", report_size(cell, spinning[i].size));
        bar_text(bar->note, "of base.slot");
    }
    struct bar *pair =
        bars_add(bars, results_ratio(results, "duct.park", 8, BENCH_PAIR), false, 1.1, "x");
    bar_text(pair->what, "ping-pong, parked, 8 B, two CPUs");
    bar_text(pair->note, "of base.futex");
    struct bar *same =
        bars_add(bars, results_ratio(results, "duct.park", 8, BENCH_SAME), false, 1.25, "x");
    bar_text(same->what, "ping-pong, parked, 8 B, one CPU");
    bar_text(same->note, "of base.futex");
    struct bar *bare =
        bars_add(bars, results_ratio(results, "duct.loan", 1048576, BENCH_PAIR), false, 1.3, "x");
    bar_text(bare->what, "ping-pong, 1 MiB untouched");
    bar_text(bare->note, "of the same with 64 B");
}

double bar_rate_ratio(double time_ratio)
{
    return time_ratio > 0 ? 1 / time_ratio : 0;
}

static void loaned_bar(struct bars *bars, const struct results *results, size_t size, double limit)
{
    double single = bar_rate_ratio(results_ratio(results, "duct.loaned", size, BENCH_PAIR));
    double batch = bar_rate_ratio(results_ratio(results, "duct.loaned.batch", size, BENCH_PAIR));
    bool batched = batch > single;
    double loan_ns = results_median_ns(results, "base.ring.loan", size, BENCH_PAIR);
    double own_ns =
        results_median_ns(results, batched ? "duct.loaned.batch" : "duct.loaned", size, BENCH_PAIR);
    struct bar *bar = bars_add(bars, batched ? batch : single, true, limit, "x");
    char cell[REPORT_CELL];

    bar_text(bar->what, "stream, loaned, %s", report_size(cell, size));
    if (loan_ns > 0 && own_ns > 0)
        bar_text(bar->note, "of base.ring's rate, %s; %.2f of base.ring.loan's",
                 batched ? "32 a call" : "singly", loan_ns / own_ns);
    else
        bar_text(bar->note, "of base.ring's rate, %s", batched ? "32 a call" : "singly");
}

static void stream_bars(struct bars *bars, const struct results *results)
{
    struct bar *batch =
        bars_add(bars, bar_rate_ratio(results_ratio(results, "duct.stream.batch", 8, BENCH_PAIR)),
                 true, 0.4, "x");
    bar_text(batch->what, "stream, 8 B, 32 a call");
    bar_text(batch->note, "of base.stamp's rate");
    struct bar *single = bars_add(
        bars, bar_rate_ratio(results_ratio(results, "duct.stream", 8, BENCH_PAIR)), true, 0.2, "x");
    bar_text(single->what, "stream, 8 B, singly");
    bar_text(single->note, "of base.stamp's rate");
    loaned_bar(bars, results, 64, 1.0);
    loaned_bar(bars, results, 1024, 1.0);
    loaned_bar(bars, results, 65536, 0.9);
    loaned_bar(bars, results, 1048576, 0.9);
}

static double most(double a, double b)
{
    return a > b ? a : b;
}

static void footprint_bars(struct bars *bars, const struct results *results)
{
    const struct footprint *one = NULL;
    const struct footprint *many = NULL;

    for (size_t i = 0; i < results->footprints; i++) {
        const struct footprint *footprint = &results->footprint[i];
        if (footprint->pipes == footprint_pipes[0])
            one = footprint;
        if (footprint->pipes == footprint_pipes[FOOTPRINT_SIZES - 1])
            many = footprint;
    }
    double resident = 0;
    double fds = 0;
    if (many != NULL) {
        const struct footprint_side *a = &many->listener;
        const struct footprint_side *b = &many->dialler;
        resident = most((double)(a->private_bytes + a->shared_bytes),
                        (double)(b->private_bytes + b->shared_bytes)) /
                   many->pipes / KIB;
        fds = most((double)a->fds, (double)b->fds) / many->pipes;
    }
    struct bar *bar = bars_add(bars, resident, false, 256, "KiB");
    bar_text(bar->what, "a default pipe, resident, a side");
    bar_text(bar->note, "private and own shared memory, mean of 1000");
    bar_text(bars_add(bars, fds, false, 3, "fds")->what, "a default pipe, descriptors, a side");
    bar = bars_add(bars, many != NULL ? (double)footprint_total_bytes(many) / MIB : 0, false, 512,
                   "MiB");
    bar_text(bar->what, "1000 default pipes");
    bar_text(bar->note, "both processes");
    bar = bars_add(bars, one != NULL && many != NULL ? many->wake_p50_ns / one->wake_p50_ns : 0,
                   false, 1.25, "x");
    bar_text(bar->what, "wake-up among 1000 pipes");
    bar_text(bar->note, "of the same with 1 pipe, p50");
}

static const struct peer_row peer_rows[] = {
    {.text = "ping-pong", .kind = ".pingpong", .ours = {"duct.pingpong"}},
    {.text = "ping-pong asleep", .kind = ".pingpong", .ours = {"duct.park"}, .asleep = true},
    {.text = "stream",
     .kind = ".stream",
     .ours = {"duct.stream", "duct.stream.batch", "duct.loaned", "duct.loaned.batch"}},
};

static bool in_row(const struct peer_row *row, const struct bench_case *what)
{
    const char *end = strrchr(what->name, '.');
    if (what->peer == BENCH_PEER_NONE || (row->asleep && what->peer == BENCH_PEER_SPINS) ||
        strcmp(end, row->kind) != 0)
        return false;
    if (row->only != NULL && strncmp(what->name, row->only, strlen(row->only)) != 0)
        return false;
    bool local = what->scheme == NULL || strcmp(what->scheme, "uds") == 0;
    return row->scheme == NULL ? local
                               : what->scheme != NULL && strcmp(what->scheme, row->scheme) == 0;
}

static double fastest_peer_ns(const struct results *results, const struct peer_row *row,
                              size_t size, char name[BAR_TEXT / 2])
{
    double fastest_ns = 0;
    for (size_t i = 0; i < results->count; i++) {
        const struct runner_result *result = &results->list[i]->subject;
        const struct bench_case *what = result->what;
        if (what->size != size || !in_row(row, what) || results_main(result) == NULL)
            continue;
        double ns = results_summary(results_main(result)).value_ns.median;
        if (fastest_ns == 0 || ns < fastest_ns) {
            fastest_ns = ns;
            snprintf(name, BAR_TEXT / 2, "%.*s", (int)strcspn(what->name, "."), what->name);
        }
    }
    return fastest_ns;
}

void bars_add_peer(struct bars *bars, const struct results *results, const struct peer_row *row,
                   size_t size, double limit)
{
    char peer[BAR_TEXT / 2] = "none";
    char cell[REPORT_CELL];
    double peer_ns = fastest_peer_ns(results, row, size, peer);
    double own_ns = 0;

    for (size_t i = 0; i < sizeof(row->ours) / sizeof(row->ours[0]) && row->ours[i] != NULL; i++) {
        double ns = results_median_ns(results, row->ours[i], size, BENCH_PAIR);
        if (ns > 0 && (own_ns == 0 || ns < own_ns))
            own_ns = ns;
    }
    struct bar *bar = bars_add(bars, own_ns > 0 ? peer_ns / own_ns : 0, true, limit, "x");
    bar_text(bar->what, "%s, %s, before every peer", row->text, report_size(cell, size));
    bar_text(bar->note, "as fast as %s, the next", peer);
}

void bars_fill(struct bars *bars, const struct results *results)
{
    bars->count = 0;
    pingpong_bars(bars, results);
    stream_bars(bars, results);
    double dial_ns = results_median_ns(results, "duct.dial", 8, BENCH_PAIR);
    struct bar *dial = bars_add(bars, dial_ns / 1000, false, 500, "us");
    bar_text(dial->what, "dial to first message");
    bar_text(dial->note, "median");
    footprint_bars(bars, results);
    for (size_t r = 0; results->peers && r < sizeof(peer_rows) / sizeof(peer_rows[0]); r++) {
        for (size_t i = 0; i < CASES_SIZES; i++) {
            bool small_stream = peer_rows[r].ours[1] != NULL && cases_sizes[i] <= 1024;
            bars_add_peer(bars, results, &peer_rows[r], cases_sizes[i], small_stream ? 2 : 1);
        }
    }
    bars_add_sockets(bars, results);
}

const char *bars_verdict_name(enum bar_verdict verdict)
{
    static const char *const names[] = {"unknown", "MISSED", "met"};
    return names[verdict];
}
