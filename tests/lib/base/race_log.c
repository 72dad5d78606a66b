/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loggers change while other threads log. Each logger's three values belong together: a line that
 * reaches function A with B's user pointer, or a level that logger did not want, is a failure; so
 * is any data race ThreadSanitizer sees.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/log.h"

enum { ROUNDS = 200000, TALKERS = 3 };

struct ear {
    enum duct_log_level most;
    _Atomic long heard;
};

static struct ear ears[2] = {{.most = DUCT_LOG_ERROR}, {.most = DUCT_LOG_DEBUG}};
static _Atomic long wrong;
static _Atomic int stop;

static void listen_as(struct ear *self, void *user, enum duct_log_level level)
{
    if (user != self || level > self->most)
        atomic_fetch_add_explicit(&wrong, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&self->heard, 1, memory_order_relaxed);
}

static void first(void *user, enum duct_log_level level, const char *line)
{
    (void)line;
    listen_as(&ears[0], user, level);
}

static void second(void *user, enum duct_log_level level, const char *line)
{
    (void)line;
    listen_as(&ears[1], user, level);
}

static void *talk(void *arg)
{
    (void)arg;
    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        di_log(DUCT_LOG_ERROR, "an error");
        di_log(DUCT_LOG_DEBUG, "a detail");
    }
    return NULL;
}

static void *change(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        duct_log_set(first, &ears[0], ears[0].most);
        duct_log_set(second, &ears[1], ears[1].most);
        if (i % 16 == 0)
            duct_log_set(NULL, NULL, DUCT_LOG_ERROR);
    }
    return NULL;
}

int main(void)
{
    pthread_t talkers[TALKERS], changers[2];
    for (int i = 0; i < TALKERS; i++)
        if (pthread_create(&talkers[i], NULL, talk, NULL) != 0)
            return 2;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&changers[i], NULL, change, NULL) != 0)
            return 2;
    for (int i = 0; i < 2; i++)
        pthread_join(changers[i], NULL);
    atomic_store_explicit(&stop, 1, memory_order_relaxed);
    for (int i = 0; i < TALKERS; i++)
        pthread_join(talkers[i], NULL);
    long mixed = atomic_load_explicit(&wrong, memory_order_relaxed);
    if (mixed != 0) {
        fprintf(stderr, "%ld lines reached a logger with another one's values\n", mixed);
        return 1;
    }
    return 0;
}
