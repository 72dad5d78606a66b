/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/core/sweep.h"

static struct di_sweep_entry *first_of(struct di_sweep *sweep)
{
    return di_list_empty(&sweep->entries)
               ? NULL
               : di_container(sweep->entries.next, struct di_sweep_entry, link);
}

/* The timer may be early for what is first now, never late. */
static void set_timer(struct duct_context *context)
{
    struct di_sweep *sweep = &context->sweep;
    struct di_sweep_entry *first = first_of(sweep);

    if (first == NULL)
        return;
    if (!sweep->timer.in_flight) {
        sweep->timer.deadline = first->deadline;
        di_io_submit(context->io, &sweep->timer);
    } else if (first->deadline < sweep->timer.deadline) {
        di_io_cancel(context->io, &sweep->timer); /* and set anew when that is over */
    }
}

static void on_timer(struct di_io_op *op, int result)
{
    struct duct_context *context = di_container(op, struct duct_context, sweep.timer);
    struct di_sweep_entry *first;
    int64_t now = di_io_now(context->io);

    (void)result;
    while ((first = first_of(&context->sweep)) != NULL && first->deadline <= now) {
        di_list_remove(&first->link);
        first->expired(first, now);
    }
    set_timer(context);
}

void di_sweep_init(struct duct_context *context)
{
    di_list_init(&context->sweep.entries);
    context->sweep.timer = (struct di_io_op){.done = on_timer, .kind = DI_IO_TIMER};
}

void di_sweep_add(struct duct_context *context, struct di_sweep_entry *entry, int64_t deadline)
{
    struct di_list *entries = &context->sweep.entries;
    struct di_list *after;

    di_list_remove(&entry->link);
    entry->deadline = deadline;
    after = entries->prev;
    while (after != entries &&
           di_container(after, struct di_sweep_entry, link)->deadline > deadline)
        after = after->prev;
    /* Behind `after` is before the one that follows it. */
    di_list_append(after->next, &entry->link);
    set_timer(context);
}
