/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <duct/duct.h>

#include "lib/core/sweep.h"

/* Deadlines behind one timer: each expires once, none before its time, and in their order. */

enum { ENTRIES = 200 };

static struct duct_context *context;
static int64_t last;
static unsigned expired;

struct probe {
    struct di_sweep_entry entry;
    unsigned times;
    unsigned again;
};

static void on_expired(struct di_sweep_entry *entry, int64_t now)
{
    struct probe *probe = di_container(entry, struct probe, entry);

    cr_assert(!di_list_linked(&entry->link));
    cr_assert_leq(entry->deadline, now);
    cr_assert_geq(entry->deadline, last);
    last = entry->deadline;
    expired++;
    probe->times++;
    if (probe->again > 0) {
        probe->again--;
        di_sweep_add(context, entry, now + DUCT_MILLISECOND);
    }
}

static void until_expired(unsigned count)
{
    struct duct_event event;
    size_t events;

    while (expired < count)
        cr_assert_eq(duct_context_wait(context, &event, 1, &events, DUCT_MILLISECOND),
                     DUCT_ETIMEOUT);
    cr_assert_eq(expired, count);
}

Test(sweep, in_the_order_of_time_whatever_the_order_of_adding)
{
    static struct probe probes[ENTRIES];

    cr_assert_eq(duct_context_open(&context, NULL), DUCT_OK);
    int64_t now = di_io_now(context->io);
    for (unsigned i = 0; i < ENTRIES; i++) {
        probes[i].entry.expired = on_expired;
        di_sweep_add(context, &probes[i].entry, now + (int64_t)(i * 73 % ENTRIES) * 100000);
    }
    /* Some are taken back, some put off, and some brought forward. */
    for (unsigned i = 0; i < ENTRIES; i += 10) {
        di_sweep_remove(&probes[i].entry);
        di_sweep_add(context, &probes[i + 1].entry, now + 50 * DUCT_MILLISECOND);
        di_sweep_add(context, &probes[i + 2].entry, now);
    }
    until_expired(ENTRIES - ENTRIES / 10);
    for (unsigned i = 0; i < ENTRIES; i++)
        cr_assert_eq(probes[i].times, i % 10 != 0);
    duct_context_close(context);
}

Test(sweep, one_may_add_itself_again_and_an_earlier_one_comes_first)
{
    static struct probe slow, quick;

    cr_assert_eq(duct_context_open(&context, NULL), DUCT_OK);
    int64_t now = di_io_now(context->io);
    slow.entry.expired = quick.entry.expired = on_expired;
    quick.again = 9;
    di_sweep_add(context, &slow.entry, now + 60 * DUCT_SECOND);
    di_sweep_add(context, &quick.entry, now + DUCT_MILLISECOND);
    until_expired(10);
    cr_assert_eq(quick.times, 10);
    cr_assert_eq(slow.times, 0);
    di_sweep_remove(&slow.entry);
    duct_context_close(context);
}
