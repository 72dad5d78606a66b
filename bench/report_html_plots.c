/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "bench/plot.h"
#include "bench/report_html.h"

/* What a plot shows of one case, if it was measured. */
struct line {
    const char *name;
    const char *style;
    const char *label;
    size_t size; /* where not that of the plot: a baseline without a payload */
    bool sizeless;
};

static const struct line pingpong_lines[] = {
    {"duct.pingpong", "duct", "duct, spinning", 0, false},
    {"duct.park", "duct3", "duct, parked", 0, false},
    {"base.slot", "base", "one slot", 0, false},
    {"base.futex", "base2", "futex", 0, true},
    {"base.unix.pingpong", "base2", "Unix socket", 0, false},
    {"zmq.pingpong", "peer1", "ZeroMQ", 0, false},
    {"nng.pingpong", "peer2", "nng", 0, false},
    {"nanomsg.pingpong", "peer3", "nanomsg", 0, false},
    {"qb.pingpong", "peer4", "libqb", 0, false},
    {"iceoryx.pingpong", "peer5", "iceoryx", 0, false},
};

static const struct line stream_lines[] = {
    {"duct.stream.batch", "duct", "duct, copied, by 32", 0, false},
    {"duct.stream", "duct3", "duct, copied", 0, false},
    {"duct.loaned", "duct2", "duct, loaned", 0, false},
    {"duct.loaned.batch", "duct4", "duct, loaned, by 32", 0, false},
    {"base.ring", "base", "best ring", 0, false},
    {"base.ring.l2", "base2", "ring of 1 MiB", 0, false},
    {"base.unix.stream", "base2", "Unix socket", 0, false},
    {"zmq.stream", "peer1", "ZeroMQ", 0, false},
    {"nng.stream", "peer2", "nng", 0, false},
    {"nanomsg.stream", "peer3", "nanomsg", 0, false},
    {"qb.stream", "peer4", "libqb", 0, false},
    {"iceoryx.stream", "peer5", "iceoryx", 0, false},
};

static const struct line socket_lines[] = {
    {"duct.tcp.loaned", "duct", "duct, tcp, loaned", 0, false},
    {"duct.tcp.more", "duct2", "duct, tcp, loaned with MORE", 0, false},
    {"duct.uds.loaned", "duct3", "duct, uds, loaned", 0, false},
    {"duct.uds.more", "duct4", "duct, uds, loaned with MORE", 0, false},
    {"base.tcp.bulk", "base", "tcp, writes of 64 KiB", 0, false},
    {"base.unix.bulk", "base2", "Unix socket, writes of 64 KiB", 0, false},
    {"zmq.tcp.stream", "peer1", "ZeroMQ, tcp", 0, false},
    {"nng.tcp.stream", "peer2", "nng, tcp", 0, false},
    {"nanomsg.tcp.stream", "peer3", "nanomsg, tcp", 0, false},
};

static const struct line socket_call_lines[] = {
    {"duct.tcp.call", "duct", "duct, tcp, asleep", 0, false},
    {"duct.tcp.spin", "duct2", "duct, tcp, spinning", 0, false},
    {"duct.uds.call", "duct3", "duct, uds, asleep", 0, false},
    {"duct.uds.spin", "duct4", "duct, uds, spinning", 0, false},
    {"base.tcp.pingpong", "base", "tcp, blocking", 0, false},
    {"base.unix.pingpong", "base2", "Unix socket, blocking", 0, false},
    {"zmq.tcp.pingpong", "peer1", "ZeroMQ, tcp", 0, false},
    {"nng.tcp.pingpong", "peer2", "nng, tcp", 0, false},
    {"nanomsg.tcp.pingpong", "peer3", "nanomsg, tcp", 0, false},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void time_text(char *to, size_t bytes, double ns)
{
    static const char *const units[] = {"ns", "µs", "ms", "s"};
    unsigned unit = 0;
    for (; ns >= 999.5 && unit < 3; unit++)
        ns /= 1000;
    snprintf(to, bytes, ns < 9.95 && ns != floor(ns) ? "%.1f %s" : "%.0f %s", ns, units[unit]);
}

static void byte_rate_text(char *to, size_t bytes, double per_s)
{
    static const char *const units[] = {"B/s", "kB/s", "MB/s", "GB/s", "TB/s"};
    unsigned unit = 0;
    for (; per_s >= 999.5 && unit < 4; unit++)
        per_s /= 1000;
    snprintf(to, bytes, per_s < 99.5 && per_s != floor(per_s) ? "%.1f %s" : "%.0f %s", per_s,
             units[unit]);
}

/* Percentiles at even steps of "nines": each unit of x is a tenth of the samples left. */
static void add_percentiles(struct plot *plot, const struct results *results,
                            const struct line *line, size_t size)
{
    const struct runner_result *result =
        results_find(results, line->name, line->sizeless ? 0 : size, BENCH_PAIR);
    if (result == NULL)
        return;
    const struct stats_hist *tail = &results_main(result)->tail;
    struct plot_series *series = plot_add(plot, line->style, line->label);
    for (int i = 0; i <= 40 && series != NULL; i++) {
        double nines = i / 10.0;
        double left = pow(10, -nines);
        /* A percentile of fewer than ten samples is luck. */
        if (i > 0 && (double)tail->count * left < 10)
            break;
        plot_point(series, nines, stats_hist_percentile(tail, i == 0 ? 1 : 100 * (1 - left)));
    }
}

static void latency_plot(FILE *out, const struct results *results, size_t size)
{
    static struct plot plot;
    char title[PLOT_TEXT];
    char cell[REPORT_CELL];

    memset(&plot, 0, sizeof(plot));
    snprintf(title, sizeof(title), "Round trip of %s", report_size(cell, size));
    plot.title = title;
    plot.note = "each round trip timed alone; percentile to the right, time up, logarithmic";
    plot.y_text = time_text;
    plot_tick_at(&plot, 0, "best");
    plot_tick_at(&plot, 0.3010, "50 %");
    plot_tick_at(&plot, 1, "90 %");
    plot_tick_at(&plot, 2, "99 %");
    plot_tick_at(&plot, 3, "99.9 %");
    plot_tick_at(&plot, 4, "99.99 %");
    for (size_t i = 0; i < COUNT(pingpong_lines); i++)
        add_percentiles(&plot, results, &pingpong_lines[i], size);
    plot_draw(out, &plot);
}

enum measure { TIME, BYTES };

static void size_plot(FILE *out, const struct results *results, const struct line *lines,
                      size_t count, enum measure measure, const char *title, const char *note)
{
    static struct plot plot;
    char cell[REPORT_CELL];

    memset(&plot, 0, sizeof(plot));
    plot.title = title;
    plot.note = note;
    plot.wide = measure == BYTES;
    plot.y_text = measure == TIME ? time_text : byte_rate_text;
    for (size_t i = 0; i < CASES_SIZES; i++) {
        if (cases_sizes[i] != 40)
            plot_tick_at(&plot, log2((double)cases_sizes[i]), report_size(cell, cases_sizes[i]));
    }
    for (size_t l = 0; l < count; l++) {
        struct plot_series *series = plot_add(&plot, lines[l].style, lines[l].label);
        for (size_t i = 0; i < CASES_SIZES; i++) {
            double ns = results_median_ns(results, lines[l].name, cases_sizes[i], BENCH_PAIR);
            double value = measure == TIME || ns <= 0 ? ns : (double)cases_sizes[i] / ns * 1e9;
            plot_point(series, log2((double)cases_sizes[i]), value);
        }
    }
    plot_draw(out, &plot);
}

/* Opens a part of the page, if there is anything to show in it. */
static bool begin_part(FILE *out, const struct results *results, const struct line *lines,
                       size_t count, const char *title, const char *text)
{
    bool any = false;

    for (size_t l = 0; l < count; l++) {
        for (size_t i = 0; i < CASES_SIZES; i++)
            any |= results_median_ns(results, lines[l].name, cases_sizes[i], BENCH_PAIR) > 0;
    }
    if (any)
        fprintf(out, "<h2>%s</h2><p>%s</p><div class=\"plots\">\n", title, text);
    return any;
}

static void stream_plots(FILE *out, const struct results *results)
{
    if (!begin_part(out, results, stream_lines, COUNT(stream_lines), "Streams",
                    "One way, every byte written and read, median of the runs. "
                    "Dashed: the fastest we could make without a library, and the kernel."))
        return;
    size_plot(out, results, stream_lines, COUNT(stream_lines), BYTES, "Throughput over size",
              "bytes a second, logarithmic both ways");
    fprintf(out, "</div>\n");
}

static void pingpong_plots(FILE *out, const struct results *results)
{
    static const size_t latency_sizes[] = {8, 1024, 65536};

    if (!begin_part(out, results, pingpong_lines, COUNT(pingpong_lines), "Round trips",
                    "There and back between two CPUs. Those that spin cost a core each while they "
                    "wait; those that sleep pay for the wake-up."))
        return;
    size_plot(out, results, pingpong_lines, COUNT(pingpong_lines), TIME, "Round trip over size",
              "median, logarithmic both ways");
    for (size_t i = 0; i < COUNT(latency_sizes); i++)
        latency_plot(out, results, latency_sizes[i]);
    fprintf(out, "</div>\n");
}

static void socket_plots(FILE *out, const struct results *results)
{
    static const char title[] = "Sockets";
    static const char text[] = "The same calls over tcp and Unix sockets on this machine. "
                               "Dashed: the sockets without duct.";

    if (!begin_part(out, results, socket_lines, COUNT(socket_lines), title, text) &&
        !begin_part(out, results, socket_call_lines, COUNT(socket_call_lines), title, text))
        return;
    size_plot(out, results, socket_lines, COUNT(socket_lines), BYTES, "Throughput over size",
              "bytes a second, logarithmic both ways");
    size_plot(out, results, socket_call_lines, COUNT(socket_call_lines), TIME,
              "Round trip over size", "median, logarithmic both ways");
    fprintf(out, "</div>\n");
}

void report_html_plots(FILE *out, const struct results *results)
{
    stream_plots(out, results);
    pingpong_plots(out, results);
    socket_plots(out, results);
}
