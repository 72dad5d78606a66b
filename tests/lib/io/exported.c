/* SPDX-License-Identifier: Apache-2.0 */
/* The exported descriptor: readable exactly while wait(0) would find something. */
#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>

#include "tests/lib/io/suite.h"

static int exported(struct di_io *io)
{
    int fd = di_io_fd(io);
    cr_assert_geq(fd, 0, "%s", duct_err_detail());
    cr_assert_eq(di_io_fd(io), fd);
    return fd;
}

/* Readable, and stays so however often it is asked, until wait; then not. */
static void expect_something(struct di_io *io, int fd)
{
    cr_assert(readable(fd));
    cr_assert(readable(fd));
    cr_assert_eq(di_io_wait(io, 0), DUCT_OK);
}

static void expect_nothing(struct di_io *io, int fd)
{
    cr_assert(!readable(fd));
    cr_assert_eq(di_io_wait(io, 0), DUCT_EAGAIN);
    cr_assert(!readable(fd));
}

EACH_BACKEND(nothing_submitted)
{
    int fd = exported(*loop);
    expect_nothing(*loop, fd);
}

EACH_BACKEND(what_was_submitted_before_is_flushed)
{
    int ready = event_fd();
    raise_fd(ready);
    struct probe p = poll_probe(ready, POLLIN);
    di_io_submit(*loop, &p.op);
    int fd = exported(*loop);
    expect_something(*loop, fd);
    expect_nothing(*loop, fd);
    cr_assert_eq(p.count, 1);
}

EACH_BACKEND(a_poll)
{
    int fd = exported(*loop), bell = event_fd();
    struct probe p = poll_probe(bell, POLLIN);
    for (int i = 1; i <= 3; i++) {
        di_io_submit(*loop, &p.op);
        expect_nothing(*loop, fd);
        raise_fd(bell);
        expect_something(*loop, fd);
        cr_assert_eq(p.count, i);
        drain_fd(bell);
        expect_nothing(*loop, fd);
    }
    raise_fd(bell);
    di_io_wait(*loop, 0); /* an edge nobody waits for */
    expect_nothing(*loop, fd);
    raise_fd(bell); /* and another */
    expect_nothing(*loop, fd);
    di_io_submit(*loop, &p.op);
    expect_something(*loop, fd);
    cr_assert_eq(p.count, 4);
    expect_nothing(*loop, fd);
}

/* A foreign loop cannot sleep on a word, so an exported one does not pretend to. */
EACH_BACKEND(words_end_with_the_export)
{
    _Atomic uint32_t word = 0;
    struct probe p = word_probe(&word, 0), later = p, canceled = p;
    if ((*loop)->can & DI_IO_CAN_WORD) {
        di_io_submit(*loop, &p.op);
        di_io_submit(*loop, &canceled.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        di_io_cancel(*loop, &canceled.op);
        int fd = exported(*loop);
        expect_something(*loop, fd);
        cr_assert(p.count == 1 && p.result == DI_IO_FAILED);
        cr_assert(canceled.count == 1 && canceled.result == DI_IO_CANCELED);
    }
    int fd = exported(*loop);
    cr_assert_eq((*loop)->can & DI_IO_CAN_WORD, 0);
    expect_nothing(*loop, fd);
    di_io_submit(*loop, &later.op);
    expect_something(*loop, fd);
    cr_assert(later.count == 1 && later.result == DI_IO_FAILED);
    expect_nothing(*loop, fd);
}

/* Everything in flight goes on, whatever state the export finds it in. */
EACH_BACKEND(what_is_in_flight_goes_on)
{
    enum { MANY = 200 };
    static struct probe polls[MANY], timers[MANY];
    static int bells[MANY];
    int64_t later = di_io_now(*loop) + 3600 * 1000 * MS;
    for (int i = 0; i < MANY; i++) {
        bells[i] = event_fd();
        polls[i] = poll_probe(bells[i], POLLIN);
        timers[i] = timer_probe(later - i);
        di_io_submit(*loop, &polls[i].op);
        di_io_submit(*loop, &timers[i].op);
        if (i == MANY / 2)
            di_io_wait(*loop, 0);
        if (i % 4 == 0)
            raise_fd(bells[i]);
        if (i % 4 == 1)
            di_io_cancel(*loop, &polls[i].op);
    }
    di_io_wake(*loop);
    int fd = exported(*loop), done = 0;
    while (done < MANY / 2) {
        expect_something(*loop, fd);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += polls[i].count;
    }
    if (readable(fd))
        expect_something(*loop, fd); /* the wake, if it did not fall together with the others */
    expect_nothing(*loop, fd);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(polls[i].count, i % 4 < 2, "%d", i);
        cr_assert_eq(timers[i].count, 0);
        if (i % 4 < 2)
            cr_assert_eq(polls[i].result, i % 4 == 0 ? POLLIN : DI_IO_CANCELED);
        else
            raise_fd(bells[i]);
    }
    while (done < MANY) {
        expect_something(*loop, fd);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += polls[i].count;
    }
    expect_nothing(*loop, fd);
    end(loop);
    for (int i = 0; i < MANY; i++)
        cr_assert(timers[i].count == 1 && timers[i].result == DI_IO_CANCELED);
}

EACH_BACKEND(timers)
{
    int fd = exported(*loop);
    struct probe late = timer_probe(di_io_now(*loop) + 3600 * 1000 * MS);
    struct probe soon = timer_probe(di_io_now(*loop) + 20 * MS), past = timer_probe(1);
    di_io_submit(*loop, &late.op);
    expect_nothing(*loop, fd);
    di_io_submit(*loop, &soon.op);
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    cr_assert_eq(poll(&wait, 1, 10000), 1); /* it becomes readable by itself */
    cr_assert_geq(di_io_now(*loop), soon.op.deadline);
    cr_assert_lt(di_io_now(*loop), soon.op.deadline + 2000 * MS);
    expect_something(*loop, fd);
    cr_assert_eq(soon.count, 1);
    expect_nothing(*loop, fd);
    di_io_submit(*loop, &past.op);
    expect_something(*loop, fd);
    expect_nothing(*loop, fd);
    di_io_cancel(*loop, &late.op);
    expect_something(*loop, fd);
    cr_assert_eq(late.result, DI_IO_CANCELED);
    expect_nothing(*loop, fd);
}

EACH_BACKEND(a_wake)
{
    int fd = exported(*loop);
    for (int i = 0; i < 3; i++) {
        di_io_wake(*loop);
        di_io_wake(*loop);
        expect_something(*loop, fd);
        expect_nothing(*loop, fd);
    }
}

/* Rung before the export, and come across while the ring is emptied. */
EACH_BACKEND(a_wake_before_the_export)
{
    struct probe p = poll_probe(event_fd(), POLLIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_wake(*loop);
    int fd = exported(*loop);
    expect_something(*loop, fd);
    expect_nothing(*loop, fd);
    cr_assert_eq(p.count, 0);
    end(loop);
}

/* A wake, and a completion, that a submission's flush happens to come across are not hidden by it.
 */
EACH_BACKEND(submitting_does_not_hide_anything)
{
    int fd = exported(*loop), bell = event_fd();
    struct probe p = poll_probe(bell, POLLIN);
    static struct probe others[200];
    di_io_submit(*loop, &p.op);
    di_io_wake(*loop);
    raise_fd(bell);
    for (int i = 0; i < 200; i++) {
        others[i] = poll_probe(event_fd(), POLLIN);
        di_io_submit(*loop, &others[i].op);
        cr_assert(readable(fd));
    }
    expect_something(*loop, fd);
    while (p.count == 0)
        expect_something(*loop, fd);
    if (readable(fd))
        expect_something(*loop, fd); /* the wake, if it came alone */
    expect_nothing(*loop, fd);
}

EACH_BACKEND(cancel_and_failure)
{
    int fd = exported(*loop);
    struct probe p = poll_probe(event_fd(), POLLIN), bad = poll_probe(-1, POLLIN);
    di_io_submit(*loop, &p.op);
    expect_nothing(*loop, fd);
    di_io_cancel(*loop, &p.op);
    expect_something(*loop, fd);
    cr_assert_eq(p.result, DI_IO_CANCELED);
    expect_nothing(*loop, fd);
    di_io_submit(*loop, &bad.op);
    expect_something(*loop, fd);
    cr_assert_eq(bad.result, DI_IO_FAILED);
    expect_nothing(*loop, fd);
}

/* What done() submits is as good as what others submit. */
EACH_BACKEND(submitted_by_done)
{
    int fd = exported(*loop), bell = event_fd();
    struct probe p = poll_probe(bell, POLLIN), t = timer_probe(0);
    p.again = t.again = *loop;
    p.again_max = 1;
    t.again_max = 1;
    di_io_submit(*loop, &t.op);
    expect_something(*loop, fd); /* t again, due at once */
    expect_something(*loop, fd);
    expect_nothing(*loop, fd);
    di_io_submit(*loop, &p.op);
    raise_fd(bell);
    expect_something(*loop, fd);
    if (p.count == 2) /* level-triggered: the eventfd was not drained */
        return;
    raise_fd(bell);
    expect_something(*loop, fd);
    cr_assert_eq(p.count, 2);
    expect_nothing(*loop, fd);
}

struct sleeper {
    int bell;
    pid_t thread;
};

static void *ring_when_asleep(void *arg)
{
    struct sleeper *s = arg;
    until_asleep(s->thread);
    raise_fd(s->bell);
    return NULL;
}

/* Asleep on it, as a foreign loop is, when something happens elsewhere: woken, and not by EINTR. */
EACH_BACKEND(wakes_who_sleeps_on_it)
{
    int fd = exported(*loop), bell = event_fd();
    struct probe p = poll_probe(bell, POLLIN);
    struct sleeper s = {bell, gettid()};
    for (int in_set = 0; in_set < 2; in_set++) {
        int set = epoll_create1(0);
        struct epoll_event event = {.events = EPOLLIN};
        cr_assert_eq(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event), 0);
        di_io_submit(*loop, &p.op);
        expect_nothing(*loop, fd);
        pthread_t thread;
        cr_assert_eq(pthread_create(&thread, NULL, ring_when_asleep, &s), 0);
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        int woken;
        do { /* what is left of the thread's ring may interrupt one sleep more */
            woken = in_set ? epoll_wait(set, &event, 1, 10000) : poll(&wait, 1, 10000);
        } while (woken < 0 && errno == EINTR);
        cr_assert_eq(woken, 1);
        pthread_join(thread, NULL);
        expect_something(*loop, fd);
        drain_fd(bell);
        close(set);
    }
    cr_assert_eq(p.count, 2);
}

/* As a foreign loop would have it: inside its own epoll set, level- and edge-triggered. */
EACH_BACKEND(inside_a_foreign_epoll_set)
{
    for (int edge = 0; edge < 2; edge++) {
        int set = epoll_create1(0), bell = event_fd();
        struct epoll_event event = {.events = EPOLLIN | (edge ? EPOLLET : 0)};
        cr_assert_eq(epoll_ctl(set, EPOLL_CTL_ADD, exported(*loop), &event), 0);
        struct probe p = poll_probe(bell, POLLIN);
        for (int i = 1; i <= 3; i++) {
            di_io_submit(*loop, &p.op);
            while (epoll_wait(set, &event, 1, 0) == 1 && edge)
                continue;
            cr_assert_eq(epoll_wait(set, &event, 1, 0), 0);
            raise_fd(bell);
            cr_assert_eq(epoll_wait(set, &event, 1, 10000), 1);
            while (di_io_wait(*loop, 0) == DUCT_OK)
                continue;
            cr_assert_eq(p.count, i);
            drain_fd(bell);
        }
        close(set);
    }
}
