/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wake() against wait(), for ThreadSanitizer. Each ringer writes plain memory, then wakes; the
 * loop's thread reads it once its wait returned. Only the wake orders the two. With one ringer, the
 * wake falls upon a wait in progress; with three, all ring before the wait begins, so that two of
 * them find the wake up already and skip the system call: what they wrote has to be seen all the
 * same.
 *
 * DUCT_IO=epoll or DUCT_IO=uring chooses one backend.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <duct/options.h>

#include "lib/io/io.h"

enum { RINGERS = 3, ROUNDS = 3000 };

struct game {
    struct di_io *io;
    atomic_int round; /* released by the loop's thread, acquired by the ringers */
    atomic_int rung;  /* relaxed: how many have rung, ordering nothing */
    int ringers;
};

struct ringer {
    pthread_t thread;
    struct game *game;
    int mail; /* plain */
};

static void *ring(void *arg)
{
    struct ringer *r = arg;
    for (int i = 1; i <= ROUNDS; i++) {
        while (atomic_load_explicit(&r->game->round, memory_order_acquire) < i)
            sched_yield();
        r->mail = i;
        di_io_wake(r->game->io);
        atomic_fetch_add_explicit(&r->game->rung, 1, memory_order_relaxed);
    }
    return NULL;
}

/* One ringer: the wait may begin first. More: not before all have rung. */
static int play_round(struct game *game, const struct ringer *ringers, int round)
{
    atomic_store_explicit(&game->round, round, memory_order_release);
    if (game->ringers > 1)
        while (atomic_load_explicit(&game->rung, memory_order_relaxed) < round * game->ringers)
            sched_yield();
    enum duct_err err = di_io_wait(game->io, di_io_now(game->io) + 20 * DUCT_SECOND);
    if (err != DUCT_OK) {
        fprintf(stderr, "round %d: %s: %s\n", round, duct_err_name(err), duct_err_detail());
        return 1;
    }
    for (int i = 0; i < game->ringers; i++) {
        if (ringers[i].mail != round) {
            fprintf(stderr, "round %d: ringer %d left %d\n", round, i, ringers[i].mail);
            return 1;
        }
    }
    return 0;
}

static int play(const struct di_io_backend *backend, int count)
{
    struct game game = {.ringers = count};
    if (di_io_open(&game.io, backend) != DUCT_OK) {
        fprintf(stderr, "%s\n", duct_err_detail());
        return 1;
    }
    struct ringer ringers[RINGERS] = {0};
    for (int i = 0; i < count; i++) {
        ringers[i].game = &game;
        if (pthread_create(&ringers[i].thread, NULL, ring, &ringers[i]) != 0)
            return 1;
    }
    for (int round = 1; round <= ROUNDS; round++)
        if (play_round(&game, ringers, round) != 0)
            return 1;
    for (int i = 0; i < count; i++)
        pthread_join(ringers[i].thread, NULL);
    int extra = di_io_wait(game.io, 0) != DUCT_EAGAIN;
    if (extra)
        fprintf(stderr, "a wake came from nowhere\n");
    di_io_close(game.io);
    return extra;
}

int main(void)
{
    const char *only = getenv("DUCT_IO");
    int failed = 0;
    for (int count = 1; count <= RINGERS; count += RINGERS - 1) {
        if (only == NULL || strcmp(only, "epoll") == 0)
            failed |= play(&di_io_epoll, count);
        if ((only == NULL || strcmp(only, "uring") == 0) && di_io_uring_available())
            failed |= play(&di_io_uring, count);
    }
    return failed;
}
