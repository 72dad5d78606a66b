/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/due.h"

#include <errno.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/error.h"

int64_t di_clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void di_due_init(struct di_due *due)
{
    *due = (struct di_due){.fd = -1, .armed = INT64_MAX};
    di_list_init(&due->ready);
}

void di_due_fini(struct di_due *due)
{
    di_timers_fini(&due->timers);
    if (due->fd >= 0)
        close(due->fd);
}

void di_due_move(struct di_due *to, struct di_due *from)
{
    di_list_splice(&to->ready, &from->ready);
    while (di_timers_first(&from->timers) != NULL) {
        struct di_io_op *op = di_timers_first(&from->timers);
        di_timers_remove(&from->timers, op);
        di_due_add_timer(to, op);
    }
}

void di_due_put(struct di_due *due, struct di_io_op *op, int result)
{
    op->result = result;
    op->ready = true;
    di_list_append(&due->ready, &op->node);
}

bool di_due_run(struct di_due *due)
{
    if (!di_due_any(due))
        return false;
    struct di_list round;
    di_list_init(&round);
    di_list_splice(&round, &due->ready);
    while (!di_list_empty(&round)) {
        struct di_io_op *op = di_container(round.next, struct di_io_op, node);
        di_list_remove(&op->node);
        op->ready = false;
        op->canceling = false;
        op->in_flight = false;
        op->done(op, due->closing ? DI_IO_CANCELED : op->result);
        /* op may be free or in flight again: not ours any more */
    }
    return true;
}

void di_due_add_timer(struct di_due *due, struct di_io_op *op)
{
    if (!di_timers_add(&due->timers, op))
        di_due_put(due, op, DI_IO_FAILED);
}

void di_due_cancel_timer(struct di_due *due, struct di_io_op *op)
{
    di_timers_remove(&due->timers, op);
    di_due_put(due, op, DI_IO_CANCELED);
}

void di_due_cancel_timers(struct di_due *due)
{
    while (di_timers_first(&due->timers) != NULL)
        di_due_cancel_timer(due, di_timers_first(&due->timers));
}

void di_due_expire(struct di_due *due)
{
    if (di_timers_first(&due->timers) != NULL)
        di_due_expire_at(due, di_clock_now());
}

void di_due_expire_at(struct di_due *due, int64_t now)
{
    struct di_io_op *op = di_timers_first(&due->timers);
    for (; op != NULL && op->deadline <= now; op = di_timers_first(&due->timers)) {
        di_timers_remove(&due->timers, op);
        di_due_put(due, op, 0);
    }
}

int64_t di_due_until_spun(const struct di_due *due, int64_t deadline, int64_t spin_ns)
{
    int64_t enough = di_clock_now() + spin_ns;

    deadline = di_due_until(due, deadline);
    return deadline < enough ? deadline : enough;
}

enum duct_err di_due_export(struct di_due *due)
{
    if (due->fd >= 0)
        return DUCT_OK;
    due->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (due->fd < 0)
        return di_fail_os(errno, "no timerfd for a loop's descriptor");
    due->armed = INT64_MAX;
    return DUCT_OK;
}

/*
 * Setting a timerfd also makes it unreadable, until it expires anew: it is never read. A deadline
 * that has passed makes it readable at once; 0 would switch it off, so "now" is the first
 * nanosecond.
 */
void di_due_arm(struct di_due *due)
{
    int64_t next = di_due_any(due) ? 1 : di_due_until(due, INT64_MAX);
    if (due->fd < 0 || next == due->armed)
        return;
    struct itimerspec at = {0};
    if (next != INT64_MAX) {
        int64_t when = next < 1 ? 1 : next;
        at.it_value.tv_sec = when / 1000000000;
        at.it_value.tv_nsec = when % 1000000000;
    }
    timerfd_settime(due->fd, TFD_TIMER_ABSTIME, &at, NULL);
    due->armed = next;
}
