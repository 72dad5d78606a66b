/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, adopting and closing loops; what happens to what is in flight; what is short. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/lib/io/suite.h"

EACH_BACKEND(close_completes_what_is_in_flight)
{
    enum { MANY = 300 };
    static struct probe polls[MANY], timers[MANY];
    int ready = event_fd();
    raise_fd(ready);
    struct probe unseen = poll_probe(ready, POLLIN), bad = poll_probe(-1, POLLIN);
    for (int i = 0; i < MANY; i++) {
        polls[i] = poll_probe(event_fd(), POLLIN);
        timers[i] = timer_probe(INT64_MAX - i);
        di_io_submit(*loop, &polls[i].op);
        di_io_submit(*loop, &timers[i].op);
        if (i == MANY / 2)
            di_io_wait(*loop, 0);
        if (i % 3 == 0)
            di_io_cancel(*loop, &polls[i].op);
    }
    di_io_submit(*loop, &unseen.op);
    di_io_submit(*loop, &bad.op);
    end(loop);
    for (int i = 0; i < MANY; i++) {
        cr_assert(polls[i].count == 1 && polls[i].result == DI_IO_CANCELED);
        cr_assert(timers[i].count == 1 && timers[i].result == DI_IO_CANCELED);
    }
    cr_assert(unseen.count == 1 && unseen.result == DI_IO_CANCELED);
    cr_assert(bad.count == 1 && bad.result == DI_IO_CANCELED);
}

EACH_BACKEND(close_completes_words_in_flight)
{
    if (((*loop)->can & DI_IO_CAN_WORD) == 0)
        cr_skip_test("this backend, or kernel, cannot wait for words");
    _Atomic uint32_t word = 0;
    struct probe p = word_probe(&word, 0);
    di_io_submit(*loop, &p.op);
    di_io_wait(*loop, 0);
    end(loop);
    cr_assert(p.count == 1 && p.result == DI_IO_CANCELED);
}

EACH_BACKEND(close_completes_what_done_submits)
{
    struct probe p = poll_probe(event_fd(), POLLIN), t = timer_probe(INT64_MAX);
    p.again = t.again = *loop;
    p.again_max = t.again_max = 3;
    di_io_submit(*loop, &p.op);
    di_io_submit(*loop, &t.op);
    end(loop);
    cr_assert(p.count == 4 && p.result == DI_IO_CANCELED);
    cr_assert(t.count == 4 && t.result == DI_IO_CANCELED);
}

/* After close the kernel holds nothing of ours: a peer sees the end of a socket at once. */
EACH_BACKEND(close_lets_go_of_descriptors)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    struct probe p = poll_probe(pair[0], POLLIN);
    di_io_submit(*loop, &p.op);
    di_io_wait(*loop, 0);
    end(loop);
    close(pair[0]);
    char c;
    cr_assert_eq(read(pair[1], &c, 1), 0, "errno %d", errno);
}

/* And so does one whose operation completed, or was cancelled, while the loop goes on. */
EACH_BACKEND(a_completed_poll_lets_go_of_its_descriptor)
{
    for (int cancel = 0; cancel < 2; cancel++) {
        int pair[2];
        cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
        struct probe p = poll_probe(pair[0], POLLIN);
        di_io_submit(*loop, &p.op);
        di_io_wait(*loop, 0);
        if (cancel)
            di_io_cancel(*loop, &p.op);
        else
            cr_assert_eq(write(pair[1], "x", 1), 1);
        while (p.count == 0)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        di_io_forget(*loop, &p.op);
        char c;
        while (read(pair[0], &c, 1) == 1)
            continue;
        close(pair[0]);
        cr_assert_eq(read(pair[1], &c, 1), 0, "errno %d", errno);
    }
}

/* --- adopt --- */

struct handover {
    struct di_io *io;
    struct probe poll, canceled, timer, word, answered;
    _Atomic uint32_t *value;
    int bell, answered_bell;
};

/* The first owner: opens, submits, sleeps a little, ends. */
static void *first_owner(void *arg)
{
    struct handover *h = arg;
    di_io_submit(h->io, &h->poll.op);
    di_io_submit(h->io, &h->canceled.op);
    di_io_submit(h->io, &h->timer.op);
    if (h->io->can & DI_IO_CAN_WORD)
        di_io_submit(h->io, &h->word.op);
    di_io_submit(h->io, &h->answered.op);
    if (di_io_wait(h->io, 0) != DUCT_EAGAIN)
        return NULL;
    raise_fd(h->answered_bell); /* the kernel's answer may be on its way when the owner changes */
    di_io_cancel(h->io, &h->canceled.op);
    return h;
}

static void *adopt_then_first(void *arg)
{
    struct handover *h = arg;
    if (di_io_adopt(h->io) != DUCT_OK)
        return NULL;
    return first_owner(arg);
}

static void check_handover(struct di_io **loop, bool exported)
{
    static _Atomic uint32_t value;
    struct handover h = {.io = *loop, .bell = event_fd(), .answered_bell = event_fd()};
    int fd = exported ? di_io_fd(*loop) : -1;
    h.value = &value;
    h.poll = poll_probe(h.bell, POLLIN);
    h.canceled = poll_probe(event_fd(), POLLIN);
    h.answered = poll_probe(h.answered_bell, POLLIN);
    h.timer = timer_probe(di_io_now(*loop) + 3600 * 1000 * MS);
    h.word = word_probe(&value, 0);
    pthread_t thread;
    void *done = NULL;
    cr_assert_eq(pthread_create(&thread, NULL, adopt_then_first, &h), 0);
    pthread_join(thread, &done);
    cr_assert_eq(done, &h);

    cr_assert_eq(di_io_adopt(*loop), DUCT_OK, "%s", duct_err_detail());
    while (h.canceled.count == 0 || h.answered.count == 0) {
        cr_assert(!exported || readable(fd));
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
    }
    cr_assert_eq(h.canceled.result, DI_IO_CANCELED);
    cr_assert_eq(h.answered.result, POLLIN);
    cr_assert(!exported || !readable(fd));
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(h.poll.count + h.timer.count + h.word.count, 0);

    raise_fd(h.bell);
    atomic_store_explicit(&value, 1, memory_order_release);
    syscall(SYS_futex, &value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    di_io_cancel(*loop, &h.timer.op);
    int expected = (*loop)->can & DI_IO_CAN_WORD ? 3 : 2;
    while (h.poll.count + h.timer.count + h.word.count < expected) {
        cr_assert(!exported || readable(fd));
        cr_assert_eq(di_io_wait(*loop, di_io_now(*loop) + 10000 * MS), DUCT_OK);
    }
    cr_assert_eq(h.poll.result, POLLIN);
    cr_assert_eq(h.timer.result, DI_IO_CANCELED);
    cr_assert_eq(h.word.result, 0);
    di_io_wake(*loop);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(h.poll.count + h.timer.count + h.word.count, expected);
    cr_assert_eq(h.canceled.count + h.answered.count, 2);
}

EACH_BACKEND(adopt_takes_over_what_is_in_flight)
{
    check_handover(loop, false);
}

EACH_BACKEND(adopt_keeps_the_exported_descriptor)
{
    check_handover(loop, true);
}

EACH_BACKEND(a_wake_survives_adopt)
{
    di_io_wake(*loop);
    cr_assert_eq(di_io_adopt(*loop), DUCT_OK);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* --- what is short --- */

/* The soft limit alone, so that it can be raised again. */
static void limit_descriptors(int most)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = (rlim_t)most;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* With none, then one, then two descriptors left …, until it works: each failure is LIMIT, and
 * leaves nothing open. */
static void open_without_descriptors(const struct di_io_backend *backend)
{
    if (backend == &di_io_uring && !di_io_uring_available())
        cr_skip_test("io_uring is not available");
    int first = event_fd(); /* the lowest number that is free */
    close(first);
    for (int spare = 0; spare < 10; spare++) {
        limit_descriptors(first + spare);
        struct di_io *io = NULL;
        enum duct_err err = di_io_open(&io, backend);
        limit_descriptors(first + 10);
        if (err == DUCT_OK) {
            cr_assert_eq(spare, 2);
            di_io_close(io);
        } else {
            cr_assert_eq(err, DUCT_ELIMIT, "%s", duct_err_detail());
            cr_assert_not_null(strstr(duct_err_detail(), "ulimit"), "%s", duct_err_detail());
            cr_assert_null(io);
        }
        int next = event_fd();
        cr_assert_eq(next, first);
        close(next);
        if (err == DUCT_OK)
            return;
    }
    cr_assert_fail("it never opened");
}

Test(uring, no_descriptor_left)
{
    open_without_descriptors(&di_io_uring);
}

Test(epoll, no_descriptor_left)
{
    open_without_descriptors(&di_io_epoll);
}

/* --- where io_uring is forbidden --- */

/* Makes io_uring_setup fail with the given errno, as a container's profile does. */
static void forbid_io_uring(int with)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)with),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof rules[0], rules};
    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void forbidden(int with)
{
    forbid_io_uring(with);
    cr_assert(!di_io_uring_available());
    cr_assert(!di_io_uring_available());
    struct di_io *io = NULL;
    cr_assert_eq(di_io_open(&io, &di_io_uring), DUCT_ENOTSUP);
    cr_assert_null(io);
    cr_assert_not_null(strstr(duct_err_detail(), "DUCT_IO=epoll"));
}

Test(available, not_where_it_is_denied)
{
    forbidden(EPERM);
}

Test(available, not_where_it_is_unknown)
{
    forbidden(ENOSYS);
}

/* A shortage is no answer, and must not be remembered as one. */
Test(available, a_shortage_is_not_remembered)
{
    struct rlimit before;
    getrlimit(RLIMIT_NOFILE, &before);
    int first = event_fd();
    close(first);
    struct rlimit none = {(rlim_t)first, before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_assert(!di_io_uring_available());
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    struct di_io *io = NULL;
    bool works = di_io_open(&io, &di_io_uring) == DUCT_OK;
    if (works)
        di_io_close(io);
    cr_assert_eq(di_io_uring_available(), works);
}
