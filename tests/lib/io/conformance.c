/* SPDX-License-Identifier: Apache-2.0 */
/* The numbered rules of lib/io/io.h, on every backend. */
#include <fcntl.h>
#include <sys/socket.h>

#include "tests/lib/io/suite.h"

/* --- what completes --- */

EVERY_BACKEND(a_poll_that_is_ready_completes)
{
    int fd = event_fd();
    raise_fd(fd);
    struct probe p = poll_probe(fd, POLLIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, POLLIN);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN); /* 1: exactly once */
    cr_assert_eq(p.count, 1);
}

EVERY_BACKEND(a_poll_that_becomes_ready_completes)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(p.count, 0);
    raise_fd(fd);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count, 1);
}

EACH_BACKEND(a_poll_names_the_events_that_are_ready)
{
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0);
    struct probe p = poll_probe(pair[0], POLLIN | POLLOUT);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, POLLOUT);
    di_io_forget(*loop, &p.op);
    struct probe q = poll_probe(pair[0], POLLIN);
    di_io_submit(*loop, &q.op);
    close(pair[1]);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert(q.result > 0 && (q.result & POLLIN) && (q.result & POLLHUP));
}

EVERY_BACKEND(a_descriptor_that_cannot_be_waited_for_fails)
{
    struct probe p = poll_probe(9999, POLLIN);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(p.count, 0);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_eq(p.result, DI_IO_FAILED);
}

EVERY_BACKEND(timers_complete_in_order_and_not_early)
{
    int64_t now = di_io_now(*loop);
    struct probe late = timer_probe(now + 20 * MS), early = timer_probe(now + 5 * MS);
    di_io_submit(*loop, &late.op);
    di_io_submit(*loop, &early.op);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_geq(di_io_now(*loop), now + 5 * MS);
    cr_assert_eq(early.count, 1);
    cr_assert_eq(early.result, 0);
    while (late.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_geq(di_io_now(*loop), now + 20 * MS);
}

EVERY_BACKEND(a_timer_whose_time_has_passed_completes_without_sleep)
{
    struct probe p = timer_probe(di_io_now(*loop) - 1), q = timer_probe(0);
    di_io_submit(*loop, &p.op);
    di_io_submit(*loop, &q.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count + q.count, 2);
}

/* --- 2: completions run only inside wait --- */

EVERY_BACKEND(neither_submit_nor_cancel_calls_back)
{
    int fd = event_fd();
    raise_fd(fd);
    struct probe ready = poll_probe(fd, POLLIN), failing = poll_probe(-1, POLLIN);
    struct probe timer = timer_probe(0);
    struct probe *all[] = {&ready, &failing, &timer};
    for (int i = 0; i < 3; i++)
        di_io_submit(*loop, &all[i]->op);
    for (int i = 0; i < 3; i++)
        di_io_cancel(*loop, &all[i]->op);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(all[i]->count, 0);
    while (ready.count + failing.count + timer.count < 3)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* --- 3: cancel --- */

EVERY_BACKEND(cancel_completes_once_with_canceled)
{
    struct probe p = poll_probe(event_fd(), POLLIN), t = timer_probe(INT64_MAX);
    di_io_submit(*loop, &p.op);
    di_io_submit(*loop, &t.op);
    di_io_wait(*loop, 0);
    for (int i = 0; i < 3; i++) { /* asking again changes nothing */
        di_io_cancel(*loop, &p.op);
        di_io_cancel(*loop, &t.op);
    }
    while (p.count + t.count < 2)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, DI_IO_CANCELED);
    cr_assert_eq(t.result, DI_IO_CANCELED);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(p.count + t.count, 2);
}

EVERY_BACKEND(cancel_of_what_is_not_in_flight_does_nothing)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN), t = timer_probe(0);
    di_io_cancel(*loop, &p.op);
    di_io_cancel(*loop, &t.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    raise_fd(fd);
    di_io_submit(*loop, &p.op);
    while (p.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, POLLIN);
    di_io_cancel(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(p.count, 1);
}

/* Ready and cancelled in the same breath, then submitted again at once: each life has one end, and
 * a late cancellation of the first does not end the second. */
EVERY_BACKEND(a_cancelled_operation_may_be_submitted_again_at_once)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN);
    for (int round = 0; round < 1000; round++) {
        int before = p.count;
        di_io_submit(*loop, &p.op);
        if (round % 3 == 0)
            di_io_wait(*loop, 0);
        if (round % 2 == 0)
            raise_fd(fd);
        di_io_cancel(*loop, &p.op);
        while (p.count == before)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        cr_assert_eq(p.count, before + 1);
        cr_assert(p.result == POLLIN || p.result == DI_IO_CANCELED);
        if (round % 2 == 0)
            drain_fd(fd);
    }
    di_io_submit(*loop, &p.op);
    for (int i = 0; i < 10; i++)
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    cr_assert_eq(p.count, 1000);
    end(loop);
}

/* --- 4: time --- */

EVERY_BACKEND(now_does_not_go_back)
{
    int64_t last = di_io_now(*loop);
    cr_assert_gt(last, 0);
    for (int i = 0; i < 1000; i++) {
        int64_t now = di_io_now(*loop);
        cr_assert_geq(now, last);
        last = now;
    }
}

EVERY_BACKEND(wait_ends_at_its_deadline)
{
    int64_t deadline = di_io_now(*loop) + 10 * MS;
    cr_assert_eq(di_io_wait(*loop, deadline), DUCT_EAGAIN);
    cr_assert_geq(di_io_now(*loop), deadline);
    cr_assert_lt(di_io_now(*loop), deadline + 2000 * MS);
    cr_assert_eq(di_io_wait(*loop, deadline), DUCT_EAGAIN); /* in the past */
    cr_assert_eq(di_io_wait(*loop, -1), DUCT_EAGAIN);
}

EVERY_BACKEND(a_timer_beyond_the_deadline_does_not_end_the_wait)
{
    int64_t deadline = di_io_now(*loop) + 5 * MS;
    struct probe t = timer_probe(deadline + 3600 * 1000 * MS);
    di_io_submit(*loop, &t.op);
    cr_assert_eq(di_io_wait(*loop, deadline), DUCT_EAGAIN);
    cr_assert_eq(t.count, 0);
    end(loop);
}

/* --- 5: wake (threads and signals: wake.c) --- */

EVERY_BACKEND(wake_ends_the_next_wait_once)
{
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_wake(*loop);
    di_io_wake(*loop);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    di_io_wake(*loop);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
}

/* --- 6: whose memory it is --- */

EVERY_BACKEND(memory_may_be_reused_right_after_completion_and_forget)
{
    for (int round = 0; round < 200; round++) {
        int fd = event_fd();
        struct probe *p = malloc(sizeof *p);
        *p = poll_probe(fd, POLLIN);
        di_io_submit(*loop, &p->op);
        raise_fd(fd);
        while (p->count == 0)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        raise_fd(fd); /* an edge for a loop that has forgotten */
        di_io_forget(*loop, &p->op);
        memset(p, 0xee, sizeof *p);
        free(p);
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
        close_fd(fd);
    }
}

EVERY_BACKEND(a_new_descriptor_of_the_same_number_works_after_forget)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN);
    di_io_submit(*loop, &p.op);
    di_io_cancel(*loop, &p.op);
    while (p.count == 0)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    di_io_forget(*loop, &p.op);
    close_fd(fd);
    cr_assert_eq(event_fd(), fd);
    di_io_submit(*loop, &p.op);
    raise_fd(fd);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.result, POLLIN);
}

/* --- 7: what done() may do --- */

EVERY_BACKEND(done_may_submit_its_own_operation)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN), t = timer_probe(0);
    p.again = t.again = *loop;
    p.again_max = t.again_max = 9;
    di_io_submit(*loop, &p.op);
    di_io_submit(*loop, &t.op);
    for (int i = 0; i < 10; i++) {
        raise_fd(fd); /* never read: each write counts */
        while (p.count <= i)
            cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    }
    while (t.count < 10)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(p.count, 10);
    cr_assert_eq(t.count, 10);
}

struct chain {
    struct probe self;
    struct di_io *io;
    struct probe *cancel, *forget;
};

static void chain_done(struct di_io_op *op, int result)
{
    struct chain *c = di_container(op, struct chain, self.op);
    c->self.count++;
    c->self.result = result;
    di_io_cancel(c->io, &c->cancel->op);
    if (c->forget->op.in_flight == false)
        di_io_forget(c->io, &c->forget->op);
}

/* Two are ready in the same round; each cancels the other. */
EVERY_BACKEND(done_may_cancel_others)
{
    int fds[2] = {event_fd(), event_fd()};
    struct chain a = {.io = *loop}, b = {.io = *loop};
    a.self = poll_probe(fds[0], POLLIN);
    b.self = poll_probe(fds[1], POLLIN);
    a.self.op.done = b.self.op.done = chain_done;
    a.cancel = a.forget = &b.self;
    b.cancel = b.forget = &a.self;
    di_io_submit(*loop, &a.self.op);
    di_io_submit(*loop, &b.self.op);
    raise_fd(fds[0]);
    raise_fd(fds[1]);
    while (a.self.count + b.self.count < 2)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(a.self.count, 1);
    cr_assert_eq(b.self.count, 1);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* An operation that is always ready does not keep the others from their turn. */
EVERY_BACKEND(nobody_starves)
{
    int fd = event_fd();
    struct probe busy = timer_probe(0), p = poll_probe(fd, POLLIN);
    busy.again = *loop;
    busy.again_max = INT_MAX - 1;
    di_io_submit(*loop, &busy.op);
    di_io_submit(*loop, &p.op);
    raise_fd(fd);
    bool other_thread = (*loop)->backend == &di_io_sqpoll; /* brings it, in its own time */
    for (int i = 0; (i < 20 || other_thread) && p.count == 0; i++)
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count, 1);
    cr_assert_gt(busy.count, 0);
    busy.again = NULL;
    end(loop);
}

/* What done() submits waits for the next round, even if its result is known at once. */
EVERY_BACKEND(a_round_ends)
{
    struct probe bad = poll_probe(-1, POLLIN);
    bad.again = *loop;
    bad.again_max = 5;
    di_io_submit(*loop, &bad.op);
    for (int i = 1; i <= 6; i++) {
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
        cr_assert_eq(bad.count, i);
    }
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}

/* --- POLL: edge or level --- */

EVERY_BACKEND(an_edge_between_completion_and_submission_counts)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN);
    di_io_submit(*loop, &p.op);
    raise_fd(fd);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    raise_fd(fd);
    di_io_wait(*loop, 0); /* the backend sees it while nobody waits */
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count, 2);
}

EVERY_BACKEND(what_was_used_up_before_submission_does_not_count)
{
    int fd = event_fd();
    struct probe p = poll_probe(fd, POLLIN);
    di_io_submit(*loop, &p.op);
    raise_fd(fd);
    cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    raise_fd(fd);
    di_io_wait(*loop, 0);
    drain_fd(fd);
    di_io_submit(*loop, &p.op);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    raise_fd(fd);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
    cr_assert_eq(p.count, 2);
}

EVERY_BACKEND(two_operations_on_dups_of_one_descriptor)
{
    int fd = event_fd();
    struct probe a = poll_probe(fd, POLLIN), b = poll_probe(dup_fd(fd), POLLIN);
    di_io_submit(*loop, &a.op);
    di_io_submit(*loop, &b.op);
    raise_fd(fd);
    while (a.count + b.count < 2)
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
    cr_assert_eq(a.result, POLLIN);
    cr_assert_eq(b.result, POLLIN);
}

/* --- many --- */

EVERY_BACKEND(a_thousand_polls_at_once)
{
    enum { MANY = 1500 };
    static struct probe probes[MANY];
    static int fds[MANY];
    for (int i = 0; i < MANY; i++) {
        fds[i] = event_fd();
        probes[i] = poll_probe(fds[i], POLLIN);
        di_io_submit(*loop, &probes[i].op);
    }
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    for (int i = 0; i < MANY; i += 2)
        raise_fd(fds[i]);
    int done = 0;
    while (done < MANY / 2) { /* without sleep: all are there, if not in one piece */
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += probes[i].count;
    }
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(probes[i].count, i % 2 == 0);
        di_io_cancel(*loop, &probes[i].op);
    }
    while (done < MANY) {
        cr_assert_eq(di_io_wait(*loop, INT64_MAX), DUCT_OK);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += probes[i].count;
    }
    for (int i = 1; i < MANY; i += 2)
        cr_assert_eq(probes[i].result, DI_IO_CANCELED);
}

/* More results at once than any queue of completions holds. */
EVERY_BACKEND(thousands_that_are_ready_at_submission)
{
    enum { MANY = 3000 };
    static struct probe probes[MANY];
    for (int i = 0; i < MANY; i++) {
        int fd = event_fd();
        raise_fd(fd);
        probes[i] = poll_probe(fd, POLLIN);
        di_io_submit(*loop, &probes[i].op);
    }
    for (int done = 0; done < MANY;) {
        cr_assert_eq(di_io_wait(*loop, 0), DUCT_OK, "after %d", done);
        done = 0;
        for (int i = 0; i < MANY; i++)
            done += probes[i].count;
    }
    for (int i = 0; i < MANY; i++)
        cr_assert(probes[i].count == 1 && probes[i].result == POLLIN);
    cr_assert_eq(di_io_wait(*loop, 0), DUCT_EAGAIN);
}
