/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"

/*
 * The logger is three values that belong together, read by any thread while another sets them. They
 * stand in a record that is never changed once published, so that a reader needs one load and no
 * lock (a lock would be held by nobody in the child of a fork). Records are never freed, since a
 * reader may still hold one; they are found again when the same logger is set again, so a program
 * that switches between a few loggers has a few records.
 *
 * | edge   | orders                                                    |
 * | [log]  | the record's fields, before the pointer that leads to it  |
 */
struct logger {
    duct_log_fn *fn;
    void *user;
    enum duct_log_level most;
    struct logger *next; /* in known */
};

static _Atomic(struct logger *) current; /* NULL: silent */
static _Atomic(struct logger *) known;

static struct logger *find(struct logger *from, duct_log_fn *fn, void *user,
                           enum duct_log_level most)
{
    for (struct logger *l = from; l != NULL; l = l->next)
        if (l->fn == fn && l->user == user && l->most == most)
            return l;
    return NULL;
}

void duct_log_set(duct_log_fn *fn, void *user, enum duct_log_level most)
{
    if (fn == NULL) {
        /* relaxed: NULL leads to no fields */
        atomic_store_explicit(&current, NULL, memory_order_relaxed);
        return;
    }
    struct logger *first = atomic_load_explicit(&known, memory_order_acquire); /* [log] */
    struct logger *logger = find(first, fn, user, most);
    if (logger == NULL) {
        logger = malloc(sizeof *logger);
        if (logger == NULL)
            return; /* the former logger goes on: better than silence, and there is no way to say so
                     */
        *logger = (struct logger){fn, user, most, first};
        /* Two threads that set the same logger at once make two records: harmless. */
        while (!atomic_compare_exchange_weak_explicit(&known, &logger->next, logger,
                                                      memory_order_release, /* [log] */
                                                      memory_order_relaxed))
            continue;
    }
    atomic_store_explicit(&current, logger, memory_order_release); /* [log] */
}

void di_log(enum duct_log_level level, const char *format, ...)
{
    struct logger *logger = atomic_load_explicit(&current, memory_order_acquire); /* [log] */
    if (logger == NULL || level > logger->most)
        return;
    char raw[2 * DI_DETAIL_MAX]; /* a detail and what surrounds it */
    va_list args;
    va_start(args, format);
    int length = vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    if (length < 0)
        return;
    /* Four times: a line of nothing but control characters, each written as \xNN. */
    char line[4 * sizeof raw];
    di_text_clean(line, sizeof line, raw, strlen(raw));
    logger->fn(logger->user, level, line);
}
