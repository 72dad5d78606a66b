/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * usage: time_to_peer [KILLS]
 *
 * From SIGKILL to PEER at a survivor that sleeps in a receive without a timeout. A measurement, for a quiet
 * machine, and not a test: it prints microseconds.
 */

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * DUCT_SECOND + ts.tv_nsec;
}

/* Dials, and writes when it is about to kill itself. */
static int dies(void *user)
{
    int64_t *at = user;
    struct duct_pipe *pipe;
    char byte;
    size_t size;

    if (duct_dial(&pipe, "shm://time?timeout=20s", NULL) != DUCT_OK)
        return 1;
    /* A nap by a receive that finds nothing, so that the survivor sleeps. */
    if (duct_read(pipe, &byte, 1, &size, NULL, 2 * DUCT_MILLISECOND) != DUCT_ETIMEOUT)
        return 1;
    *at = now();
    kill(getpid(), SIGKILL);
    return 1;
}

static int compare(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;

    return (*left > *right) - (*left < *right);
}

int main(int argc, char **argv)
{
    size_t kills = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    int64_t *took = calloc(kills, sizeof(*took));
    int64_t *at = (int64_t *)scene_new();
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct duct_msg msg;

    crash_world_open();
    if (took == NULL ||
        duct_listen(&listener, "shm://time?wait=park&handshake=60s", NULL) != DUCT_OK)
        crash_fail("listen: %s", duct_err_detail());
    for (size_t i = 0; i < kills; i++) {
        pid_t child = crash_spawn(dies, at, NULL);
        if (duct_accept(listener, &pipe, TALK_HUNG) != DUCT_OK ||
            duct_recv(pipe, &msg, DUCT_FOREVER) != DUCT_EPEER)
            crash_fail("kill %zu: %s", i, duct_err_detail());
        took[i] = now() - *at;
        duct_pipe_close(pipe);
        if (crash_wait(child) != -1)
            crash_fail("kill %zu: the victim failed", i);
    }
    qsort(took, kills, sizeof(*took), compare);
    printf("%zu kills, microseconds from SIGKILL to PEER: median %lld, p99 %lld, largest %lld\n",
           kills, (long long)took[kills / 2] / 1000, (long long)took[kills * 99 / 100] / 1000,
           (long long)took[kills - 1] / 1000);
    duct_listener_close(listener);
    scene_free((struct scene *)at);
    free(took);
    return 0;
}
