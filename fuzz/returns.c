/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/plain.h"
#include "fuzz/sides.h"

/*
 * A sender against a receiver that returns anything: indices, park word and return ring are the
 * input's. Whatever it does, no block is lost, none is given out twice, and what is on loan stays as
 * the application wrote it.
 */

#define STEPS_MAX  300u
#define LOANS_MAX  32u
#define RUN_MAX    6u
#define PIECES_MAX 3u
#define CELLS_MAX  32u

struct attack {
    struct input in;
    struct side own, peer;
    struct di_sender sender;
    struct duct_msg loans[LOANS_MAX];
    uint32_t loan_count;
    uint64_t marks; /* a tag and content of its own for each loan */
    bool dead;
};

static struct attack *current; /* for grow() */

static enum duct_err grow(struct di_sender *sender)
{
    if (input_byte(&current->in) & 1)
        return DUCT_ENOSPACE;
    return di_pool_add(&sender->pool, current->own.pools[sender->pool.segment_count]);
}

static struct di_receiver_page *page(struct attack *a)
{
    return (void *)(a->peer.outbox + DI_OUTBOX_RECEIVER_AT);
}

static void judge(struct attack *a, enum duct_err err)
{
    FUZZ_CHECK(err == DUCT_OK || err == DUCT_EAGAIN || err == DUCT_ECORRUPT || err == DUCT_ETOOBIG);
    if (err == DUCT_ECORRUPT) {
        FUZZ_CHECK(plain_text(duct_err_detail(), strlen(duct_err_detail())));
        a->dead = true;
    }
}

/* --- the peer --- */

static void scribble(struct attack *a)
{
    uint64_t size = input_byte(&a->in) % 32;
    uint64_t page_bytes = sizeof(struct di_receiver_page);
    uint64_t entries_bytes = a->peer.geometry.header.returns * sizeof(uint64_t);

    if (input_byte(&a->in) & 1)
        input_bytes(&a->in, (unsigned char *)page(a) + input_u16(&a->in) % (page_bytes - size),
                    size);
    else
        input_bytes(&a->in,
                    a->peer.outbox + a->peer.geometry.returns_at +
                        input_u16(&a->in) % (entries_bytes - size),
                    size);
}

static void consume(struct attack *a)
{
    uint8_t back = input_byte(&a->in);

    /* Relaxed, here and below: there is one thread. */
    atomic_store_explicit(&page(a)->consumed, a->sender.ring.tail - back / 4 + (back & 1),
                          memory_order_relaxed);
}

/* Returns a block: as a rule one that is with the peer, or one in another state, or twice. */
static void give_back(struct attack *a)
{
    uint8_t which = input_byte(&a->in);
    uint8_t how = input_byte(&a->in);
    const struct di_pool *pool = &a->sender.pool;
    uint64_t *entries = (void *)(a->peer.outbox + a->peer.geometry.returns_at);
    uint32_t index = which % pool->block_count;

    for (uint32_t i = 0; how & 7 && i < pool->block_count; i++) {
        if (pool->blocks[index].state == DI_BLOCK_SENT)
            break;
        index = (index + 1) % pool->block_count;
    }
    uint64_t count = a->sender.returns.taken;
    if (how & 8)
        count = atomic_load_explicit(&page(a)->returned, memory_order_relaxed);
    uint32_t generation = pool->blocks[index].generation - (how > 250);
    entries[count & (a->peer.geometry.header.returns - 1)] = di_block_ref(index, generation);
    atomic_store_explicit(&page(a)->returned, count + 1, memory_order_relaxed);
}

static void park(struct attack *a)
{
    uint64_t word = input_u16(&a->in);

    word = (word & 0x7f) | word >> 8 << DI_PARK_EPOCH_SHIFT;
    atomic_store_explicit(&page(a)->park, word, memory_order_relaxed);
}

/* --- the application --- */

static void mark(struct attack *a, struct duct_msg *msg)
{
    msg->tag = ++a->marks;
    memset(msg->data, (int)(msg->tag & 0xff), msg->size);
}

/* Nobody but its borrower wrote into it. */
static void check_mark(const struct duct_msg *msg)
{
    for (size_t i = 0; i < msg->size; i++)
        FUZZ_CHECK(((const unsigned char *)msg->data)[i] == (msg->tag & 0xff));
}

static size_t some_size(struct attack *a)
{
    uint16_t size = input_u16(&a->in);

    return size & 0x8000 ? size & 0xff : size % (a->own.geometry.header.max_msg + 2);
}

static void keep(struct attack *a, struct duct_msg *msg)
{
    if (!(di_ref_index(msg->ref) & DI_REF_CELL))
        FUZZ_CHECK(side_holds(&a->own, msg->data, msg->size));
    mark(a, msg);
    a->loans[a->loan_count++] = *msg;
}

static void loan(struct attack *a)
{
    struct duct_msg msg;
    size_t align = input_byte(&a->in) & 1 ? DUCT_ALIGN_PAGE : DUCT_ALIGN_LINE;
    enum duct_err err = di_sender_loan(&a->sender, some_size(a), align, &msg);

    if (err == DUCT_OK) {
        FUZZ_CHECK((uintptr_t)msg.data % align == 0);
        keep(a, &msg);
    }
    judge(a, err);
}

static void loan_batch(struct attack *a)
{
    struct duct_msg msgs[RUN_MAX];
    size_t room = LOANS_MAX - a->loan_count;
    size_t done = SIZE_MAX;
    enum duct_err err = di_sender_loan_batch(&a->sender, some_size(a), msgs,
                                             room < RUN_MAX ? room : RUN_MAX, &done);

    FUZZ_CHECK(done <= room && done <= RUN_MAX);
    for (size_t i = 0; i < done; i++)
        keep(a, &msgs[i]);
    judge(a, err);
}

static void drop(struct attack *a, uint32_t index)
{
    a->loans[index] = a->loans[--a->loan_count];
}

/* Publishing or discarding, of which a second time is refused. */
static void end_loan(struct attack *a, bool discard)
{
    if (a->loan_count == 0)
        return;
    uint32_t index = input_byte(&a->in) % a->loan_count;
    struct duct_msg *msg = &a->loans[index];
    struct duct_msg again = *msg;
    check_mark(msg);
    enum duct_err err = discard ? a->sender.owner.discard(&a->sender.owner, msg)
                                : di_sender_publish(&a->sender, msg);
    judge(a, err);
    if (err != DUCT_OK)
        return;
    drop(a, index);
    err = input_byte(&a->in) & 1 ? a->sender.owner.discard(&a->sender.owner, &again)
                                 : di_sender_publish(&a->sender, &again);
    FUZZ_CHECK(err == DUCT_EINVAL);
}

static void publish_batch(struct attack *a)
{
    size_t count = a->loan_count < RUN_MAX ? a->loan_count : RUN_MAX;
    size_t done = SIZE_MAX;

    for (size_t i = 0; i < count; i++)
        check_mark(&a->loans[i]);
    enum duct_err err = di_sender_publish_batch(&a->sender, a->loans, count, &done);
    FUZZ_CHECK(done <= count);
    memmove(a->loans, a->loans + done, (a->loan_count - done) * sizeof(a->loans[0]));
    a->loan_count -= (uint32_t)done;
    judge(a, err);
}

static void write_copy(struct attack *a)
{
    size_t size = some_size(a);
    unsigned char *data = malloc(size + 1);
    struct iovec pieces[PIECES_MAX];
    size_t left = size;

    FUZZ_CHECK(data != NULL);
    memset(data, (int)(size & 0xff), size);
    for (size_t i = 0; i < PIECES_MAX; i++) {
        size_t here = i + 1 == PIECES_MAX ? left : input_byte(&a->in) % (left + 1);
        pieces[i] = (struct iovec){.iov_base = data + (size - left), .iov_len = here};
        left -= here;
    }
    if (size & 1)
        judge(a, di_sender_put(&a->sender, data, size, size));
    else
        judge(a, di_sender_put_pieces(&a->sender, pieces, PIECES_MAX, size, size));
    free(data);
}

static void write_batch(struct attack *a)
{
    unsigned char data[128] = {0};
    struct duct_view views[RUN_MAX];
    size_t done = SIZE_MAX;

    for (size_t i = 0; i < RUN_MAX; i++)
        views[i] = (struct duct_view){.data = data, .size = input_byte(&a->in) % sizeof(data)};
    judge(a, di_sender_put_batch(&a->sender, views, RUN_MAX, &done));
    FUZZ_CHECK(done <= RUN_MAX);
}

static void look(struct attack *a)
{
    enum duct_err err = DUCT_OK;
    uint8_t how = input_byte(&a->in);

    if (how & 1)
        di_sleeper_arm(&a->sender.sleeper, DI_WANT_SPACE | DI_WANT_BLOCKS, DI_DOORBELL_FUTEX,
                       false);
    if (how & 2)
        di_sender_ready(&a->sender, &err);
    if (err == DUCT_OK && how & 4)
        di_sender_has_need(&a->sender, &err);
    if (err == DUCT_OK && how & 8)
        err = di_sender_collect(&a->sender);
    judge(a, err);
}

static void step(struct attack *a)
{
    uint8_t what = input_byte(&a->in) % 16;

    if (what < 2)
        give_back(a);
    else if (what == 2)
        scribble(a);
    else if (what == 3)
        consume(a);
    else if (what == 4)
        park(a);
    else if (what <= 6 && a->loan_count < LOANS_MAX)
        loan(a);
    else if (what == 7 && a->loan_count < LOANS_MAX)
        loan_batch(a);
    else if (what == 8)
        end_loan(a, true);
    else if (what <= 10)
        end_loan(a, false);
    else if (what == 11)
        publish_batch(a);
    else if (what == 12)
        write_batch(a);
    else if (what == 13)
        di_sender_flush(&a->sender);
    else if (what == 14)
        look(a);
    else
        write_copy(a);
}

/* What was taken back since then named the last loan of its block, which may be out again by now. */
static void check_taken(struct attack *a, uint64_t since)
{
    const uint64_t *entries = (const void *)(a->peer.outbox + a->peer.geometry.returns_at);

    for (; since != a->sender.returns.taken; since++) {
        uint64_t ref = entries[since & (a->peer.geometry.header.returns - 1)];
        const struct di_block *block = &a->sender.pool.blocks[di_ref_index(ref)];
        FUZZ_CHECK(di_ref_index(ref) < a->sender.pool.block_count);
        FUZZ_CHECK(block->generation - di_ref_generation(ref) == (block->state != DI_BLOCK_FREE));
    }
}

/* Blocks on loan are those that the application has, no more and no fewer. */
static void audit(const struct attack *a)
{
    uint32_t blocks = 0;

    for (uint32_t i = 0; i < a->loan_count; i++) {
        check_mark(&a->loans[i]);
        blocks += !(di_ref_index(a->loans[i].ref) & DI_REF_CELL);
    }
    /* No index of the peer makes the ring larger than it is. */
    FUZZ_CHECK(a->sender.ring.limit - a->sender.ring.tail <= a->own.geometry.header.slots);
    FUZZ_CHECK(blocks == a->sender.pool.loaned);
    FUZZ_CHECK(a->loan_count - blocks == a->sender.cells.taken);
    side_audit(&a->sender.pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct attack *a = current = calloc(1, sizeof(*a));

    FUZZ_CHECK(a != NULL);
    a->in = (struct input){.at = data, .left = size};
    sides_open(&a->own, &a->peer, &a->in);
    side_sender(&a->sender, &a->own, &a->peer, 1 + input_byte(&a->in) % CELLS_MAX);
    a->sender.grow = grow;
    for (unsigned i = 0; i < STEPS_MAX && a->in.left > 0 && !a->dead; i++) {
        uint64_t taken = a->sender.returns.taken;
        step(a);
        audit(a);
        if (!a->dead)
            check_taken(a, taken);
    }
    di_sender_fini(&a->sender);
    sides_close(&a->own, &a->peer);
    free(a);
    return 0;
}
