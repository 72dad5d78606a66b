/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line plot as SVG, for the page: y is logarithmic, x is whatever the caller made of it. Colours
 * and weights come from the page's style, by the class of a series, so that light and dark differ
 * there only. Every point says its value when it is pointed at.
 */
#ifndef BENCH_PLOT_H
#define BENCH_PLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { PLOT_POINTS_MAX = 64, PLOT_SERIES_MAX = 16, PLOT_TICKS_MAX = 12, PLOT_TEXT = 48 };

struct plot_series {
    char label[PLOT_TEXT];
    const char *style; /* class of the line: "duct", "base", "peer1", .. */
    size_t count;
    double x[PLOT_POINTS_MAX];
    double y[PLOT_POINTS_MAX];
};

struct plot_tick {
    double x;
    char text[PLOT_TEXT];
};

struct plot {
    const char *title;
    const char *note; /* one line below the title */
    bool wide;        /* as wide as the page, not half of it */
    void (*y_text)(char *to, size_t bytes, double y);
    size_t ticks;
    struct plot_tick tick[PLOT_TICKS_MAX];
    size_t count;
    struct plot_series series[PLOT_SERIES_MAX];
};

/* The next series, empty; NULL when there is no room. */
struct plot_series *plot_add(struct plot *plot, const char *style, const char *label);
void plot_point(struct plot_series *series, double x, double y);
void plot_tick_at(struct plot *plot, double x, const char *text);

/* Draws those series that have points; nothing when none has. */
void plot_draw(FILE *out, const struct plot *plot);

#endif
