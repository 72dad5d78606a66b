/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/plot.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

enum {
    WIDTH = 570,
    WIDTH_WIDE = 1140,
    HEIGHT = 380,
    HEIGHT_WIDE = 470,
    LEFT = 64,
    RIGHT = 134, /* the labels of the lines */
    RIGHT_WIDE = 170,
    TOP = 14,
    BOTTOM = 34,
    LABEL_APART = 14,
};

struct frame {
    int width, height, right;
    double x_low, x_high;
    double y_low, y_high; /* powers of ten */
};

struct plot_series *plot_add(struct plot *plot, const char *style, const char *label)
{
    if (plot->count == PLOT_SERIES_MAX)
        return NULL;
    struct plot_series *series = &plot->series[plot->count++];
    series->count = 0;
    series->style = style;
    snprintf(series->label, sizeof(series->label), "%s", label);
    return series;
}

void plot_point(struct plot_series *series, double x, double y)
{
    if (series == NULL || series->count == PLOT_POINTS_MAX || !(y > 0))
        return;
    series->x[series->count] = x;
    series->y[series->count++] = y;
}

void plot_tick_at(struct plot *plot, double x, const char *text)
{
    if (plot->ticks == PLOT_TICKS_MAX)
        return;
    struct plot_tick *tick = &plot->tick[plot->ticks++];
    tick->x = x;
    snprintf(tick->text, sizeof(tick->text), "%s", text);
}

/* Whole and half decades around all points. False when there are none. */
static bool frame_of(const struct plot *plot, struct frame *frame)
{
    bool any = false;
    for (size_t s = 0; s < plot->count; s++) {
        for (size_t i = 0; i < plot->series[s].count; i++) {
            double x = plot->series[s].x[i];
            double y = log10(plot->series[s].y[i]);
            frame->x_low = any ? fmin(frame->x_low, x) : x;
            frame->x_high = any ? fmax(frame->x_high, x) : x;
            frame->y_low = any ? fmin(frame->y_low, y) : y;
            frame->y_high = any ? fmax(frame->y_high, y) : y;
            any = true;
        }
    }
    frame->y_low = floor(2 * frame->y_low - 0.05) / 2;
    frame->y_high = ceil(2 * frame->y_high + 0.05) / 2;
    if (frame->x_high <= frame->x_low)
        frame->x_high = frame->x_low + 1;
    return any;
}

static double at_x(const struct frame *frame, double x)
{
    return LEFT + (x - frame->x_low) / (frame->x_high - frame->x_low) *
                      (frame->width - LEFT - frame->right);
}

static double at_y(const struct frame *frame, double y)
{
    double share = (log10(y) - frame->y_low) / (frame->y_high - frame->y_low);
    return frame->height - BOTTOM - share * (frame->height - TOP - BOTTOM);
}

static void draw_grid(FILE *out, const struct plot *plot, const struct frame *frame)
{
    char text[PLOT_TEXT];
    for (double decade = ceil(frame->y_low); decade <= frame->y_high; decade++) {
        double y = at_y(frame, pow(10, decade));
        plot->y_text(text, sizeof(text), pow(10, decade));
        fprintf(out, "<path class=\"grid\" d=\"M%d %.1fH%d\"/>", LEFT, y,
                frame->width - frame->right);
        fprintf(out, "<text class=\"tick\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                LEFT - 8, y + 4, text);
    }
    for (size_t i = 0; i < plot->ticks; i++) {
        if (plot->tick[i].x < frame->x_low || plot->tick[i].x > frame->x_high)
            continue;
        double x = at_x(frame, plot->tick[i].x);
        fprintf(out, "<path class=\"grid\" d=\"M%.1f %dV%d\"/>", x, TOP, frame->height - BOTTOM);
        fprintf(out, "<text class=\"tick\" x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>\n",
                x, frame->height - BOTTOM + 20, plot->tick[i].text);
    }
}

static void draw_series(FILE *out, const struct plot *plot, const struct plot_series *series,
                        const struct frame *frame)
{
    char text[PLOT_TEXT];
    fprintf(out, "<g class=\"%s\"><path class=\"line\" d=\"", series->style);
    for (size_t i = 0; i < series->count; i++)
        fprintf(out, "%c%.1f %.1f", i == 0 ? 'M' : 'L', at_x(frame, series->x[i]),
                at_y(frame, series->y[i]));
    fprintf(out, "\"/>");
    for (size_t i = 0; i < series->count; i++) {
        plot->y_text(text, sizeof(text), series->y[i]);
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\"><title>%s: %s</title></circle>",
                at_x(frame, series->x[i]), at_y(frame, series->y[i]),
                series->count <= 10 ? "3.2" : "1.6", series->label, text);
    }
    fprintf(out, "</g>\n");
}

struct label {
    const struct plot_series *series;
    double end_x, end_y; /* of the line */
    double y;
};

static int by_height(const void *a, const void *b)
{
    const struct label *x = a;
    const struct label *y = b;
    return (x->end_y > y->end_y) - (x->end_y < y->end_y);
}

/* A line that ends in the left half says its name there, above its end: a lead would cross all. */
static bool ends_early(const struct plot_series *series, const struct frame *frame)
{
    return series->x[series->count - 1] < (frame->x_low + frame->x_high) / 2;
}

static void draw_early_labels(FILE *out, const struct plot *plot, const struct frame *frame)
{
    for (size_t s = 0; s < plot->count; s++) {
        const struct plot_series *series = &plot->series[s];
        if (series->count == 0 || !ends_early(series, frame))
            continue;
        fprintf(out, "<g class=\"%s\"><text class=\"name\" x=\"%.1f\" y=\"%.1f\">%s</text></g>\n",
                series->style, at_x(frame, series->x[series->count - 1]) + 8,
                at_y(frame, series->y[series->count - 1]) + 4, series->label);
    }
}

/* Each line's name beside its end, pushed apart where ends lie close. */
static void draw_labels(FILE *out, const struct plot *plot, const struct frame *frame)
{
    struct label labels[PLOT_SERIES_MAX];
    size_t count = 0;

    for (size_t s = 0; s < plot->count; s++) {
        const struct plot_series *series = &plot->series[s];
        if (series->count == 0 || ends_early(series, frame))
            continue;
        double y = at_y(frame, series->y[series->count - 1]);
        labels[count++] = (struct label){series, at_x(frame, series->x[series->count - 1]), y, y};
    }
    qsort(labels, count, sizeof(labels[0]), by_height);
    for (size_t i = 1; i < count; i++)
        labels[i].y = fmax(labels[i].y, labels[i - 1].y + LABEL_APART);
    double lowest = frame->height - BOTTOM;
    for (size_t i = count; i-- > 0; lowest = labels[i].y - LABEL_APART)
        labels[i].y = fmin(labels[i].y, lowest);
    for (size_t i = 0; i < count; i++) {
        int text_x = frame->width - frame->right + 22;
        fprintf(out,
                "<g class=\"%s\"><path class=\"lead\" d=\"M%.1f %.1fL%d %.1f\"/>"
                "<text class=\"name\" x=\"%d\" y=\"%.1f\">%s</text></g>\n",
                labels[i].series->style, labels[i].end_x + 4, labels[i].end_y, text_x - 4,
                labels[i].y, text_x, labels[i].y + 4, labels[i].series->label);
    }
}

void plot_draw(FILE *out, const struct plot *plot)
{
    struct frame frame = {
        .width = plot->wide ? WIDTH_WIDE : WIDTH,
        .height = plot->wide ? HEIGHT_WIDE : HEIGHT,
        .right = plot->wide ? RIGHT_WIDE : RIGHT,
    };
    if (!frame_of(plot, &frame))
        return;
    fprintf(out,
            "<figure%s><figcaption><b>%s</b><span>%s</span></figcaption>\n"
            "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"%s\">\n",
            plot->wide ? " class=\"wide\"" : "", plot->title, plot->note, frame.width, frame.height,
            plot->title);
    draw_grid(out, plot, &frame);
    /* The first added is drawn last: on top. */
    for (size_t s = plot->count; s-- > 0;) {
        if (plot->series[s].count > 0)
            draw_series(out, plot, &plot->series[s], &frame);
    }
    draw_early_labels(out, plot, &frame);
    draw_labels(out, plot, &frame);
    fprintf(out, "</svg></figure>\n");
}
