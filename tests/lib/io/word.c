/* SPDX-License-Identifier: Apache-2.0 */
/* WORD operations, where the backend has them, and their refusal, where not. */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/lib/io/suite.h"

static void wake_word(const _Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static bool can_word(struct di_io *io)
{
    if ((io->can & DI_IO_CAN_WORD) == 0)
        cr_skip_test("this backend, or kernel, cannot wait for words");
    return true;
}

EACH_BACKEND(a_word_that_cannot_be_waited_for_fails)
{
    if ((*loop)->can & DI_IO_CAN_WORD)
        cr_skip_test("this one can");
    _Atomic uint32_t word = 0;
    struct probe p = word_probe(&word, 0);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(p.count, 0);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.result, DI_IO_FAILED);
}

EACH_BACKEND(a_word_that_differs_already_completes)
{
    can_word(*loop);
    _Atomic uint32_t word = 5;
    struct probe p = word_probe(&word, 4);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(p.count, 0);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, 0);
}

/* A loop that never waited for a word may have to change its ring for the first: nothing is lost in between. */
EACH_BACKEND(what_waits_goes_on_when_the_first_word_comes)
{
    can_word(*loop);
    int fd = eventfd(0, EFD_NONBLOCK);
    _Atomic uint32_t word = 4;
    struct probe waits = poll_probe(fd, POLLIN), timer = timer_probe(INT64_MAX - 1);
    struct probe p = word_probe(&word, 4);
    di_io_submit(*loop, &waits.op);
    di_io_submit(*loop, &timer.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(waits.count + timer.count + p.count, 0);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_wake(*loop);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(waits.count + timer.count + p.count, 0);
    cr_assert_eq(eventfd_write(fd, 1), 0);
    while (waits.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert(waits.count == 1 && (waits.result & POLLIN) && p.count == 0);
    end(loop);
    cr_assert(timer.count == 1 && p.count == 1 && p.result == DI_IO_CANCELED);
    close(fd);
}

/* The change comes between submission and the kernel's look: the kernel's answer to that is no
 * error. */
EACH_BACKEND(a_word_that_changes_before_the_kernel_looks_completes)
{
    can_word(*loop);
    _Atomic uint32_t word = 4;
    struct probe p = word_probe(&word, 4);
    di_io_submit(*loop, &p.op);
    atomic_store_explicit(&word, 5, memory_order_release);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, 0);
}

EACH_BACKEND(a_word_that_is_equal_waits_until_woken)
{
    can_word(*loop);
    _Atomic uint32_t word = UINT32_MAX; /* the value is not sign-extended on its way */
    struct probe p = word_probe(&word, UINT32_MAX);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + MS), DUCT_EAGAIN);
    atomic_store_explicit(&word, 0, memory_order_release);
    wake_word(&word);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, 0);
}

/* Nobody else can have a private page, nor can it change: the kernel refuses. */
EACH_BACKEND(a_word_that_nobody_can_change_fails)
{
    can_word(*loop);
    _Atomic uint32_t *page =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    atomic_store_explicit(page, 1, memory_order_relaxed);
    cr_assert_eq(mprotect(page, 4096, PROT_READ), 0);
    struct probe p = word_probe(page, 1);
    struct probe q = word_probe(page, 1); /* a loop may wait for its newest word by other means */
    di_io_submit(*loop, &p.op);
    di_io_submit(*loop, &q.op);
    while (p.count == 0 || q.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, DI_IO_FAILED);
    cr_assert_eq(q.result, DI_IO_FAILED);
    munmap(page, 4096);
}

/* What the library does: the word is the peer's, mapped read-only here, writable there. */
EACH_BACKEND(a_read_only_word_is_woken_by_another_process)
{
    can_word(*loop);
    int fd = memfd_create("word", MFD_CLOEXEC);
    cr_assert_eq(ftruncate(fd, 4096), 0);
    const _Atomic uint32_t *seen = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    cr_assert(seen != MAP_FAILED);
    int go[2];
    cr_assert_eq(pipe(go), 0);
    pid_t child = fork();
    if (child == 0) {
        _Atomic uint32_t *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        char c;
        for (uint32_t i = 1; i <= 100; i++) {
            if (read(go[0], &c, 1) != 1)
                _exit(1);
            atomic_store_explicit(own, i, memory_order_release);
            wake_word(own);
        }
        _exit(0);
    }
    struct probe p = word_probe(seen, 0);
    for (uint32_t i = 0; i < 100; i++) {
        p.op.expected = i;
        di_io_submit(*loop, &p.op);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN); /* it really waits in the kernel */
        cr_assert_eq(write(go[1], "g", 1), 1);
        while (p.count == (int)i)
            cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
        cr_assert_eq(p.result, 0);
        cr_assert_eq(atomic_load_explicit(seen, memory_order_acquire), i + 1);
    }
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
}

EACH_BACKEND(cancel_of_words)
{
    can_word(*loop);
    _Atomic uint32_t word = 0;
    struct probe p = word_probe(&word, 0);
    for (int round = 0; round < 1000; round++) {
        int before = p.count;
        di_io_submit(*loop, &p.op);
        if (round % 3 == 0)
            di_io_wait(*loop, 0);
        if (round % 2 == 0) {
            atomic_fetch_add_explicit(&word, 1, memory_order_acq_rel);
            wake_word(&word);
        }
        di_io_cancel(*loop, &p.op);
        while (p.count == before)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.count, before + 1);
        cr_assert(p.result == 0 || p.result == DI_IO_CANCELED);
        p.op.expected = atomic_load_explicit(&word, memory_order_acquire);
    }
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* Whatever the loop knows at once: a pipe that was closed is let go of in its next round. */
EACH_BACKEND(what_was_canceled_completes_in_one_round)
{
    can_word(*loop);
    _Atomic uint32_t words[2] = {0};
    int fd = event_fd();
    struct probe polls = poll_probe(fd, POLLIN);
    struct probe first = word_probe(&words[0], 0), second = word_probe(&words[1], 0);
    di_io_submit(*loop, &polls.op);
    di_io_submit(*loop, &first.op);
    di_io_submit(*loop, &second.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_cancel(*loop, &polls.op);
    di_io_cancel(*loop, &first.op);
    di_io_cancel(*loop, &second.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert(polls.count == 1 && polls.result == DI_IO_CANCELED);
    cr_assert(first.count == 1 && first.result == DI_IO_CANCELED);
    cr_assert(second.count == 1 && second.result == DI_IO_CANCELED);
    close(fd);
}

EACH_BACKEND(thousands_of_words_and_polls_at_once)
{
    enum { MANY = 3000, FDS = 1000 };
    can_word(*loop);
    static _Atomic uint32_t words[MANY];
    static struct probe on_words[MANY], on_fds[FDS];
    static int fds[FDS];
    for (int i = 0; i < MANY; i++) {
        on_words[i] = word_probe(&words[i], 0);
        di_io_submit(*loop, &on_words[i].op);
    }
    for (int i = 0; i < FDS; i++) {
        fds[i] = event_fd();
        on_fds[i] = poll_probe(fds[i], POLLIN);
        di_io_submit(*loop, &on_fds[i].op);
    }
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    for (int i = 0; i < MANY; i++) {
        atomic_store_explicit(&words[i], 1, memory_order_release);
        wake_word(&words[i]);
        if (i < FDS)
            raise_fd(fds[i]);
    }
    int done = 0;
    while (done < MANY + FDS) {
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += on_words[i].count + (i < FDS ? on_fds[i].count : 0);
    }
    for (int i = 0; i < MANY; i++)
        cr_assert(on_words[i].count == 1 && on_words[i].result == 0);
    for (int i = 0; i < FDS; i++)
        cr_assert(on_fds[i].count == 1 && on_fds[i].result == POLLIN);
}

/* --- whatever the loop has open ends a sleep, also one on the newest word --- */

enum { BY_OLDER_WORD, BY_NEWEST_WORD, BY_FD, BY_WAKE, WAYS };

struct sleep_ender {
    struct di_io *loop;
    pid_t sleeper;
    _Atomic uint32_t words[2];
    int fd;
    _Atomic int round; /* the sleeper's; it is about to sleep */
};

enum { ROUNDS = 200 * WAYS };

static void *end_sleeps(void *arg)
{
    struct sleep_ender *e = arg;
    for (int round = 0; round < ROUNDS; round++) {
        while (atomic_load_explicit(&e->round, memory_order_acquire) <= round)
            continue;
        until_asleep(e->sleeper);
        switch (round % WAYS) {
        case BY_OLDER_WORD:
        case BY_NEWEST_WORD:
            atomic_fetch_add_explicit(&e->words[round % WAYS], 1, memory_order_release);
            wake_word(&e->words[round % WAYS]);
            break;
        case BY_FD:
            raise_fd(e->fd);
            break;
        default:
            di_io_wake(e->loop);
        }
    }
    return NULL;
}

EACH_BACKEND(anything_ends_a_sleep_on_words)
{
    can_word(*loop);
    struct sleep_ender e = {.loop = *loop, .sleeper = gettid(), .fd = event_fd()};
    struct probe words[2] = {word_probe(&e.words[0], 0), word_probe(&e.words[1], 0)};
    struct probe fd = poll_probe(e.fd, POLLIN);
    const struct probe *expected[WAYS] = {&words[0], &words[1], &fd, NULL};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, end_sleeps, &e), 0);
    di_io_submit(*loop, &fd.op);
    for (int round = 0; round < ROUNDS; round++) {
        const struct probe *by = expected[round % WAYS];
        int before = by != NULL ? by->count : 0;
        for (int i = 0; i < 2; i++) {
            words[i].op.expected = atomic_load_explicit(&e.words[i], memory_order_acquire);
            if (!words[i].op.in_flight)
                di_io_submit(*loop, &words[i].op);
        }
        atomic_store_explicit(&e.round, round + 1, memory_order_release);
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
        if (by != NULL)
            cr_assert_eq(by->count, before + 1, "round %d", round);
        if (by == &fd) {
            drain_fd(e.fd);
            di_io_submit(*loop, &fd.op);
        }
    }
    pthread_join(thread, NULL);
    /* And so does the clock. */
    int64_t deadline = di_io_now(*loop) + MS;
    cr_assert_eq(di_io_wait(*loop, deadline), DUCT_EAGAIN);
    cr_assert_geq(di_io_now(*loop), deadline);
    end(loop);
    close(e.fd);
}

/* --- no wake is lost: a thread changes the word as fast as it can, in step with the waiter --- */

struct duel {
    _Atomic uint32_t turn; /* the ringer's */
    _Atomic uint32_t seen; /* the waiter's */
    uint32_t rounds;
};

static void *ringer(void *arg)
{
    struct duel *d = arg;
    for (uint32_t i = 1; i <= d->rounds; i++) {
        while (atomic_load_explicit(&d->seen, memory_order_acquire) != i - 1)
            continue;
        atomic_store_explicit(&d->turn, i, memory_order_release);
        wake_word(&d->turn);
    }
    return NULL;
}

EACH_BACKEND(no_wake_of_a_word_is_lost)
{
    can_word(*loop);
    struct duel d = {.rounds = 20000};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, ringer, &d), 0);
    struct probe p = word_probe(&d.turn, 0);
    for (uint32_t i = 0; i < d.rounds; i++) {
        while (atomic_load_explicit(&d.turn, memory_order_acquire) == i) {
            int before = p.count;
            p.op.expected = i;
            di_io_submit(*loop, &p.op);
            while (p.count == before)
                cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK,
                             "round %u: nothing for ten seconds", i);
        }
        atomic_store_explicit(&d.seen, i + 1, memory_order_release);
    }
    pthread_join(thread, NULL);
}
