/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/durable/below.h"

/*
 * [mark]: another thread releases in two steps, the mark and its node on the stack of those released, and the owner may
 * look between them. The releasing thread's steps are done by hand here.
 */
TestSuite(between, .init = in_directory, .fini = clean_up);

static struct di_durable *ends[2]; /* dials, listens */

static uint64_t low_water(void)
{
    return atomic_load_explicit(ends[1]->in.low_shown, memory_order_relaxed);
}

/* One message in a block, received. */
static void receive_block(struct duct_msg *msg)
{
    const char bytes[600] = {1};

    cr_assert_eq(di_sender_put(&ends[0]->out.sender, bytes, sizeof(bytes), 0), DUCT_OK);
    cr_assert_eq(di_durable_recv(ends[1], msg), DUCT_OK, "%s", duct_err_detail());
}

Test(between, a_block_is_the_sender_s_when_its_owner_has_it_back)
{
    struct di_receiver *receiver;
    struct di_arrived *block;
    struct di_cell *cell;
    struct duct_msg msg;

    for (int i = 0; i < 2; i++)
        ends[i] = open_below(i == 0 ? DI_END_DIAL : DI_END_LISTEN);
    cr_assert_eq(di_durable_meet(ends[0]), DUCT_OK);
    receiver = &ends[1]->in.receiver;
    uint64_t position = receiver->ring.head;
    uint64_t before = low_water();
    receive_block(&msg);
    di_receiver_find(receiver, msg.ref, &cell, &block);
    cr_assert_not_null(block);
    /* The first step. The owner looks, as it does before it waits. */
    atomic_store_explicit(&block->claimed, true, memory_order_relaxed);
    atomic_store_explicit(&ends[1]->in.marks[position & ends[1]->in.mask], position + 1,
                          memory_order_release);
    di_durable_collect(ends[1]);
    cr_assert_eq(low_water(), before, "the sender may use a block again that is held");
    /* The second. */
    atomic_store_explicit(&receiver->posted_any, 1, memory_order_relaxed);
    di_receiver_release_elsewhere(receiver, cell, block);
    di_durable_collect(ends[1]);
    cr_assert_eq(low_water(), position + 1);
    for (int i = 0; i < 2; i++)
        di_durable_close(ends[i]);
}
