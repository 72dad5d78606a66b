/* SPDX-License-Identifier: Apache-2.0 */
#include <ck_pr.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/list.h"
#include "lib/base/thread.h"
#include "shm/receiver.h"

/*
 * Releases: by the owner's thread, by any other, and after the end.
 *
 * The owner's thread gives a cell or block back directly. Any other pushes the message's own node
 * on a stack (never full, no allocation) that the owner takes in one exchange; the owner is told
 * once per batch. After di_receiver_close() there is no owner: what is still held is counted down,
 * and whoever brings the count to zero frees the receiver.
 *
 * Between "open" and "closed" stands a pair: another thread raises pins, then reads closed; close()
 * stores closed, then waits for pins to fall. One of them sees the other, so that no thread pushes
 * on the stack, or posts to an owner, that is going away.
 *
 * Edges of this file:
 *   [release]  the releaser's reads of the payload, its node pushed | the stack taken by the owner
 *   [orphan]   closed stored, pins read  |  pins raised, closed read
 *   [last]     a release's reads, balance raised  |  balance seen to be zero, receiver freed
 */

static enum duct_err not_held(void)
{
    return di_fail(DUCT_EINVAL,
                   "the message is not held from this pipe: it was released before, or "
                   "belongs to another pipe");
}

static void give_block_back(struct di_receiver *receiver, struct di_arrived *block)
{
    uint32_t index = (uint32_t)(block - receiver->blocks);

    block->held = false;
    di_returns_put(&receiver->returns, di_block_ref(index, block->generation));
    di_receiver_returned(receiver);
}

void di_receiver_collect(struct di_receiver *receiver)
{
    /* Relaxed: only says whether the exchange is worth it; the wake that announces a post comes
     * after. */
    if (!atomic_load_explicit(&receiver->posted_any, memory_order_relaxed))
        return;
    /* [release] observes: what the releasing threads did before they pushed. Cleared before the
     * stack is taken, so that a later push posts again. */
    atomic_exchange_explicit(&receiver->posted_any, 0, memory_order_seq_cst);
    DI_CRASH_POINT("collect.cleared");
    struct di_node *node = di_stack_take(&receiver->posted);
    while (node != NULL) {
        struct di_node *next = node->next;
        char *first = (char *)receiver->blocks;
        char *end = (char *)(receiver->blocks + receiver->peer_geometry->blocks_max);

        /* Which of the two it lies in, its address tells: all blocks are one array. */
        if ((char *)node >= first && (char *)node < end) {
            struct di_arrived *block = di_container(node, struct di_arrived, posted);
            /* Relaxed: nobody holds it until it comes again. */
            atomic_store_explicit(&block->claimed, false, memory_order_relaxed);
            give_block_back(receiver, block);
        } else {
            struct di_cell *cell = di_container(node, struct di_cell, posted);
            /* Relaxed: as above. */
            atomic_store_explicit(&cell->claimed, false, memory_order_relaxed);
            di_cells_give_back(&receiver->cells, cell);
        }
        receiver->given_back++;
        node = next;
    }
    di_receiver_publish_due(receiver);
}

/* One message less is held of a receiver that was closed. */
static void release_orphan(struct di_receiver *receiver)
{
    /* [last] Both ways: whoever brings the balance to zero sees the others' reads. */
    if (atomic_fetch_add_explicit(&receiver->balance, 1, memory_order_acq_rel) == -1)
        receiver->freed(receiver);
}

void di_receiver_release_elsewhere(struct di_receiver *receiver, struct di_cell *cell,
                                   struct di_arrived *block)
{
    /* [orphan] fence: raised before closed is read; sequentially consistent, as in close(). */
    atomic_fetch_add_explicit(&receiver->pins, 1, memory_order_seq_cst);
    bool closed = atomic_load_explicit(&receiver->closed, memory_order_seq_cst);
    if (!closed) {
        di_stack_push(&receiver->posted, cell != NULL ? &cell->posted : &block->posted);
        /* [release] publishes: our reads of the payload, and the node. */
        if (atomic_exchange_explicit(&receiver->posted_any, 1, memory_order_seq_cst) == 0)
            receiver->post(receiver);
    }
    /* [orphan] publishes: we are done with the stack and the owner. */
    atomic_fetch_sub_explicit(&receiver->pins, 1, memory_order_release);
    if (closed)
        release_orphan(receiver);
}

static enum duct_err release(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct di_receiver *receiver = (struct di_receiver *)owner;
    struct di_cell *cell;
    struct di_arrived *block;
    /* Relaxed: it is ours or it is not; only its owner changes it. */
    bool mine = !atomic_load_explicit(&receiver->closed, memory_order_relaxed) &&
                atomic_load_explicit(&receiver->thread, memory_order_relaxed) == di_thread_self();

    di_receiver_find(receiver, msg->ref, &cell, &block);
    if (__builtin_expect(cell == NULL && block == NULL, 0))
        return not_held();
    _Atomic bool *claimed = cell != NULL ? &cell->claimed : &block->claimed;
    if (__builtin_expect(!mine, 0)) {
        /* A node must not be pushed twice. Relaxed: only who was first matters. */
        if (atomic_exchange_explicit(claimed, true, memory_order_relaxed))
            return not_held();
        di_msg_empty(msg);
        di_receiver_release_elsewhere(receiver, cell, block);
        return DUCT_OK;
    }
    /* Relaxed: a release by another thread was before this one, or the caller has them race. */
    if (__builtin_expect(atomic_load_explicit(claimed, memory_order_relaxed), 0))
        return not_held();
    di_msg_empty(msg);
    receiver->given_back++;
    if (cell != NULL)
        di_cells_give_back(&receiver->cells, cell);
    else
        give_block_back(receiver, block);
    return DUCT_OK;
}

static size_t release_run(struct di_msg_owner *owner, struct duct_msg *msgs, size_t count)
{
    return di_receiver_release_run((struct di_receiver *)owner, msgs, count);
}

void di_receiver_release_init(struct di_receiver *receiver)
{
    receiver->owner.release = release;
    receiver->owner.release_run = release_run;
    atomic_init(&receiver->posted_any, 0);
    atomic_init(&receiver->pins, 0);
    atomic_init(&receiver->closed, false);
    atomic_init(&receiver->balance, 0);
}

void di_receiver_close(struct di_receiver *receiver)
{
    /* [orphan] fence: stored before pins are read; sequentially consistent, as in a release. */
    atomic_store_explicit(&receiver->closed, true, memory_order_seq_cst);
    /* [orphan] observes: a few instructions each; a thread that is descheduled inside them delays
     * us by its absence. */
    while (atomic_load_explicit(&receiver->pins, memory_order_seq_cst) != 0)
        ck_pr_stall();
    di_receiver_collect(receiver);

    int64_t held = (int64_t)(receiver->handed_out - receiver->given_back);
    /* [last] See release_orphan(). */
    if (atomic_fetch_sub_explicit(&receiver->balance, held, memory_order_acq_rel) == held)
        receiver->freed(receiver);
}
