/* SPDX-License-Identifier: Apache-2.0 */
/* The bars of pipes over sockets: held against the same bytes through the same sockets without duct. */
#include <string.h>

#include "bench/bars.h"
#include "bench/report.h"

/* The cases of one scheme. */
struct scheme {
    const char *name, *raw;
    const char *call, *spin, *busy;
    const char *large[2]; /* whichever is fastest */
    const char *small[3];
};

static const struct scheme schemes[] = {
    {"uds",
     "base.unix",
     "duct.uds.call",
     "duct.uds.spin",
     "duct.uds.busy",
     {"duct.uds.carried", "duct.uds.loaned"},
     {"duct.uds.stream", "duct.uds.batch", "duct.uds.more"}},
    {"tcp",
     "base.tcp",
     "duct.tcp.call",
     "duct.tcp.spin",
     "duct.tcp.busy",
     {"duct.tcp.carried", "duct.tcp.loaned"},
     {"duct.tcp.stream", "duct.tcp.batch", "duct.tcp.more"}},
};

static void pingpong_bars(struct bars *bars, const struct results *results,
                          const struct scheme *scheme)
{
    const struct {
        enum bench_place place;
        const char *subject;
        double limit;
        const char *text, *baseline;
    } rows[] = {{BENCH_PAIR, scheme->call, 1.1, "asleep, two CPUs", "pingpong"},
                {BENCH_SAME, scheme->call, 1.1, "asleep, one CPU", "pingpong"},
                {BENCH_PAIR, scheme->spin, 1.2, "spinning", "spin"},
                {BENCH_PAIR, scheme->busy, 1.2, "the loop busy", "spin"}};
    static const size_t sizes[] = {64, 1024};
    char cell[REPORT_CELL];

    for (size_t r = 0; r < sizeof(rows) / sizeof(rows[0]); r++) {
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            double ratio = results_ratio(results, rows[r].subject, sizes[i], rows[r].place);
            struct bar *bar = bars_add(bars, ratio, false, rows[r].limit, "x");
            bar_text(bar->what, "%s ping-pong, %s, %s", scheme->name, rows[r].text,
                     report_size(cell, sizes[i]));
            bar_text(bar->note, "of %s.%s", scheme->raw, rows[r].baseline);
        }
    }
}

/* The fastest of the names, as a share of its baseline's rate. */
static void rate_bar(struct bars *bars, const struct results *results, const struct scheme *scheme,
                     const char *const *names, size_t count, size_t size, double limit)
{
    const char *fastest = names[0];
    double most = 0;
    char cell[REPORT_CELL];

    for (size_t i = 0; i < count; i++) {
        double share = bar_rate_ratio(results_ratio(results, names[i], size, BENCH_PAIR));
        if (share > most) {
            most = share;
            fastest = names[i];
        }
    }
    struct bar *bar = bars_add(bars, most, true, limit, "x");
    bar_text(bar->what, "%s stream, %s", scheme->name, report_size(cell, size));
    bar_text(bar->note, "of %s.bulk's rate, %s", scheme->raw, fastest);
}

/* Each case on epoll is measured in turn with the same on the backend chosen: the worst of them. */
static void epoll_bar(struct bars *bars, const struct results *results, const struct scheme *scheme)
{
    const struct bench_case *worst = NULL;
    double most = 0;
    char cell[REPORT_CELL];

    for (size_t i = 0; i < results->count; i++) {
        const struct bench_case *what = results->list[i]->subject.what;
        if (what->backend == NULL || strcmp(what->scheme, scheme->name) != 0)
            continue;
        double ratio = results_ratio(results, what->name, what->size, what->place);
        if (ratio > most) {
            most = ratio;
            worst = what;
        }
    }
    struct bar *bar = bars_add(bars, most, false, 1.5, "x");
    bar_text(bar->what, "%s on epoll, the worst row", scheme->name);
    if (worst != NULL)
        bar_text(bar->note, "of the same on io_uring; %s, %s, %s", worst->name,
                 report_size(cell, worst->size), cases_place_name(worst->place));
}

static void peer_bars(struct bars *bars, const struct results *results, const struct scheme *scheme)
{
    const struct peer_row call = {.text = scheme->call,
                                  .scheme = scheme->name,
                                  .kind = ".pingpong",
                                  .ours = {scheme->call},
                                  .asleep = true};
    const struct peer_row large = {.text = scheme->large[1],
                                   .scheme = scheme->name,
                                   .kind = ".stream",
                                   .ours = {scheme->large[1]}};
    const struct peer_row small = {.text = scheme->small[1],
                                   .scheme = scheme->name,
                                   .kind = ".stream",
                                   .only = "zmq",
                                   .ours = {scheme->small[1], scheme->small[2]}};

    bars_add_peer(bars, results, &call, 64, 1);
    bars_add_peer(bars, results, &call, 1024, 1);
    bars_add_peer(bars, results, &large, 65536, 1);
    bars_add_peer(bars, results, &large, 1048576, 1);
    bars_add_peer(bars, results, &small, 64, 2);
}

void bars_add_sockets(struct bars *bars, const struct results *results)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        const struct scheme *scheme = &schemes[i];
        pingpong_bars(bars, results, scheme);
        rate_bar(bars, results, scheme, scheme->large, 2, 65536, 0.9);
        rate_bar(bars, results, scheme, scheme->large, 2, 1048576, 0.9);
        rate_bar(bars, results, scheme, scheme->small, 3, 64, 0.2);
        epoll_bar(bars, results, scheme);
        if (results->peers)
            peer_bars(bars, results, scheme);
    }
}
