/* SPDX-License-Identifier: Apache-2.0 */
/* Rule 5: wake, from threads and from signal handlers. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "tests/lib/io/suite.h"

struct sleeper {
    struct di_io *io;
    pid_t thread;
};

static void *wake_when_asleep(void *arg)
{
    struct sleeper *s = arg;
    until_asleep(s->thread);
    di_io_wake(s->io);
    return NULL;
}

EACH_BACKEND(wake_from_another_thread_ends_a_sleep)
{
    struct sleeper s = {*loop, gettid()};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, wake_when_asleep, &s), 0);
    cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
    pthread_join(thread, NULL);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* Each wake is answered by a wait, in step, however the two fall upon each other. */
struct duel {
    struct di_io *io;
    atomic_uint rung, answered;
    unsigned rounds;
};

static void *ringer(void *arg)
{
    struct duel *d = arg;
    for (unsigned i = 1; i <= d->rounds; i++) {
        while (atomic_load_explicit(&d->answered, memory_order_acquire) != i - 1)
            continue;
        atomic_store_explicit(&d->rung, i, memory_order_relaxed); /* seen by grace of the wake */
        di_io_wake(d->io);
    }
    return NULL;
}

EACH_BACKEND(no_wake_is_lost_and_each_publishes)
{
    struct duel d = {.io = *loop, .rounds = 20000};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, ringer, &d), 0);
    for (unsigned i = 1; i <= d.rounds; i++) {
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK,
                     "round %u: nothing for ten seconds", i);
        cr_assert_eq(atomic_load_explicit(&d.rung, memory_order_relaxed), i);
        atomic_store_explicit(&d.answered, i, memory_order_release);
    }
    pthread_join(thread, NULL);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* Wakes that are not in step may be answered together, but the last one is answered. */
static void *hammer(void *arg)
{
    struct duel *d = arg;
    for (unsigned i = 0; i < d->rounds; i++) {
        atomic_fetch_add_explicit(&d->rung, 1, memory_order_relaxed);
        di_io_wake(d->io);
    }
    return NULL;
}

EACH_BACKEND(the_last_of_many_wakes_is_answered)
{
    enum { THREADS = 3 };
    struct duel d = {.io = *loop, .rounds = 20000};
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        cr_assert_eq(pthread_create(&threads[i], NULL, hammer, &d), 0);
    while (atomic_load_explicit(&d.rung, memory_order_relaxed) < THREADS * d.rounds)
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    di_io_wait(*loop, 0);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_wake(*loop); /* the flag is not stuck */
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
}

static struct di_io *woken_by_signal;
static atomic_int signals;

static void on_signal(int number)
{
    (void)number;
    errno = 12345;
    atomic_fetch_add_explicit(&signals, 1, memory_order_acq_rel);
    di_io_wake(woken_by_signal);
    if (errno != 12345)
        _exit(99); /* wake keeps errno */
}

static void every(long us)
{
    struct itimerval timer = {.it_interval.tv_usec = us, .it_value.tv_usec = us};
    cr_assert_eq(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

EACH_BACKEND(wake_from_a_signal_handler_ends_a_sleep)
{
    woken_by_signal = *loop;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    every(500);
    for (int i = 0; i < 200; i++)
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
    every(0);
    cr_assert_gt(atomic_load_explicit(&signals, memory_order_acquire), 0);
}

static void only_count(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals, 1, memory_order_acq_rel);
}

/* A signal that has nothing to do with the loop neither ends the wait nor prolongs it. */
EACH_BACKEND(other_signals_do_not_end_a_sleep)
{
    struct sigaction action = {.sa_handler = only_count};
    sigaction(SIGALRM, &action, NULL);
    every(1000);
    int64_t deadline = di_io_now(*loop) + 30 * MS;
    cr_assert_eq(di_io_wait(*loop, deadline), DUCT_EAGAIN);
    cr_assert_geq(di_io_now(*loop), deadline);
    every(0);
    cr_assert_gt(atomic_load_explicit(&signals, memory_order_acquire), 3);
}
