/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_DUE_H
#define DI_IO_DUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/io/io.h"
#include "lib/io/timer.h"

/*
 * The half of a backend that lives in user space: operations whose result is known and whose done()
 * is due, and timers. A backend puts results in whenever it learns them; done() is called from one
 * place, di_due_run(), which only wait and close call. So nothing that submits, cancels or makes
 * room can call back, and an operation that completed while it was being cancelled is one case, not
 * one per backend.
 */
struct di_due {
    struct di_list ready;
    struct di_timers timers;
    int fd;        /* a timerfd, readable while something is due; -1 until exported */
    int64_t armed; /* what it is set to; INT64_MAX: not */
    bool closing;  /* every result is CANCELED */
};

void di_due_init(struct di_due *due);
void di_due_fini(struct di_due *due);

/* Takes over what another one has, leaving it empty. */
void di_due_move(struct di_due *to, struct di_due *from);

/* Makes it the operation's result; done() follows in the next round. */
void di_due_put(struct di_due *due, struct di_io_op *op, int result);

/* Runs one round: what is due now, but not what done() adds. True if anything ran. */
bool di_due_run(struct di_due *due);

static inline bool di_due_any(const struct di_due *due)
{
    return !di_list_empty(&due->ready);
}

/* Operations of kind TIMER. */
void di_due_add_timer(struct di_due *due, struct di_io_op *op);
void di_due_cancel_timer(struct di_due *due, struct di_io_op *op);
void di_due_cancel_timers(struct di_due *due);

/* Makes the timers that are due ready; asks for the time only if there is a timer. */
void di_due_expire(struct di_due *due);
void di_due_expire_at(struct di_due *due, int64_t now);

/* The earlier of deadline and the next timer. */
static inline int64_t di_due_until(const struct di_due *due, int64_t deadline)
{
    const struct di_io_op *first = di_timers_first(&due->timers);
    return first != NULL && first->deadline < deadline ? first->deadline : deadline;
}

/* When a wait until deadline that looks for spin_ns before it sleeps has looked enough. */
int64_t di_due_until_spun(const struct di_due *due, int64_t deadline, int64_t spin_ns);

/* Makes the timerfd; DUCT_OK if it is there already. */
enum duct_err di_due_export(struct di_due *due) DUCT_NODISCARD;

/* Sets the timerfd, if there is one, to what is due next. */
void di_due_arm(struct di_due *due);

/* Nanoseconds, CLOCK_MONOTONIC. */
int64_t di_clock_now(void);

#endif
