/* SPDX-License-Identifier: Apache-2.0 */
/* A loop with more completions than a ring's queue holds goes to another thread, and loses nothing. */
#include <pthread.h>

#include "tests/lib/io/take.h"

/* More completions than any ring's queue holds, those of the bytes behind all others. */
enum { CROWD = 700 };

struct crowd {
    struct di_io *io;
    struct probe p;
    int fd; /* of the other end */
    int event;
    int fds[CROWD];
    struct probe polls[CROWD], word;
};

static void submit_crowd(struct crowd *c, int from, int to)
{
    for (int i = from; i < to; i++) {
        c->fds[i] = dup(c->event);
        c->polls[i] = poll_probe(c->fds[i], POLLIN);
        di_io_submit(c->io, &c->polls[i].op);
    }
}

/* They complete as they are submitted, the bytes behind most of them. */
static void *leave_what_was_ready(void *arg)
{
    struct crowd *c = arg;
    cr_assert_eq(di_io_adopt(c->io), DUCT_OK);
    raise_fd(c->event);
    put_bytes(c->fd, "bytes", 5);
    submit_crowd(c, 0, CROWD - 100);
    di_io_submit(c->io, &c->p.op);
    submit_crowd(c, CROWD - 100, CROWD);
    return NULL;
}

/* They complete while the thread does something else, in the ring of a loop that has waited for a word. */
static void *leave_what_came(void *arg)
{
    static _Atomic uint32_t at;
    struct crowd *c = arg;
    struct di_io *io = c->io;
    cr_assert_eq(di_io_adopt(io), DUCT_OK);
    c->word = word_probe(&at, 0);
    if ((io->can & DI_IO_CAN_WORD) != 0)
        di_io_submit(io, &c->word.op);
    submit_crowd(c, 0, CROWD);
    di_io_submit(io, &c->p.op);
    while (di_io_wait(io, 0) == DUCT_OK)
        continue;
    raise_fd(c->event);
    put_bytes(c->fd, "bytes", 5);
    return NULL;
}

static void adopt_a_crowd(struct di_io **loop, void *(*leave)(void *))
{
    int fds[2];
    stream_pair(fds);
    struct crowd *c = calloc(1, sizeof *c);
    *c = (struct crowd){.io = *loop, .p = any_probe(fds[0]), .fd = fds[1], .event = event_fd()};
    pthread_t thread;
    pthread_create(&thread, NULL, leave, c);
    pthread_join(thread, NULL);
    cr_assert_eq(di_io_adopt(*loop), DUCT_OK);
    cr_assert_eq(take_some(*loop, &c->p), 5);
    stop(*loop, &c->p);
    for (int i = 0; i < CROWD; i++) {
        while (c->polls[i].count == 0)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    }
    end(loop);
    for (int i = 0; i < CROWD; i++) {
        cr_assert_eq(c->polls[i].count, 1);
        close(c->fds[i]);
    }
    close(c->event);
    free(c);
}

EACH_BACKEND(bytes_behind_a_crowd_that_was_ready_go_along)
{
    adopt_a_crowd(loop, leave_what_was_ready);
}

EACH_BACKEND(bytes_behind_a_crowd_that_came_go_along)
{
    adopt_a_crowd(loop, leave_what_came);
}
