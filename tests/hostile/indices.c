/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H2: a position of the peer's that is not plausible ends its pipe; nothing is clamped or believed.
 * H7: a block that comes back must be out, and of the right generation. The pool's books are audited
 * afterwards: no block is lost, and none is there twice.
 */
#include <string.h>

#include "tests/hostile/beside.h"
#include "transports/shm_pipe.h"

/* ---- H2 ---- */

/* The victim's ring; the peer says truly that it took 4 of the first 16, and the victim asks again when it
 * has sent 20. */
enum { SLOTS = 16, TAKEN = 4, SENT = SLOTS + TAKEN };
#define OPTIONS "slots=16&max_msg=4096&pool=64k"

static const struct {
    uint64_t said;
    enum duct_err expected;
} positions[] = {
    {TAKEN, DUCT_EAGAIN},
    {SENT, DUCT_OK},
    {SENT + 1, DUCT_ECORRUPT},
    {SENT + SLOTS, DUCT_ECORRUPT},
    {SENT + SLOTS + 1, DUCT_ECORRUPT},
    {TAKEN - 1, DUCT_ECORRUPT},
    {0, DUCT_ECORRUPT},
    {UINT64_MAX, DUCT_ECORRUPT},
    {0ull - SLOTS, DUCT_ECORRUPT},
    {1ull << 31, DUCT_ECORRUPT},
    {UINT32_MAX, DUCT_ECORRUPT},
    {(1ull << 32) + SENT, DUCT_ECORRUPT},
    {(1ull << 63) + SENT, DUCT_ECORRUPT},
};

static void consumer_index(struct beside *b)
{
    for (unsigned i = 0; i < sizeof(positions) / sizeof(positions[0]); i++) {
        beside_meet(b);
        for (unsigned n = 0; n < SLOTS; n++)
            GIVES(duct_write(b->victim, "x", 1, 0, 0), DUCT_OK);
        GIVES(duct_write(b->victim, "x", 1, 0, 0), DUCT_EAGAIN);
        peer_set_consumed(&b->peer, TAKEN);
        for (unsigned n = 0; n < TAKEN; n++)
            GIVES(duct_write(b->victim, "x", 1, 0, 0), DUCT_OK);
        peer_set_consumed(&b->peer, positions[i].said);
        enum duct_err err = duct_write(b->victim, "x", 1, 0, 0);
        if (err != positions[i].expected)
            fprintf(stderr, "consumed %llu\n", (unsigned long long)positions[i].said);
        GIVES(err, positions[i].expected);
        beside_round(b);
        if (err == DUCT_ECORRUPT)
            beside_ends(b, DUCT_ECORRUPT);
        else
            beside_part(b);
    }
}

/* A stamp is a position too: only that of its turn, or of the lap before, will do. */
static void stamps(struct beside *b)
{
    static const uint64_t off[] = {1,          PEER_SLOTS, 2 * PEER_SLOTS, 0ull - PEER_SLOTS - 1,
                                   1ull << 31, UINT32_MAX, 1ull << 32,     1ull << 63,
                                   UINT64_MAX};
    unsigned char bytes[64];
    size_t size;

    for (unsigned i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        beside_meet(b);
        peer_put(&b->peer, peer_head(8, 0, DI_KIND_IMMEDIATE), 0, off[i]);
        GIVES(duct_read(b->victim, bytes, sizeof(bytes), &size, NULL, 0), DUCT_ECORRUPT);
        beside_round(b);
        beside_ends(b, DUCT_ECORRUPT);
    }
    /* And of the lap before: nothing is there yet. */
    beside_meet(b);
    peer_put(&b->peer, peer_head(8, 0, DI_KIND_IMMEDIATE), 0, 0ull - PEER_SLOTS);
    GIVES(duct_read(b->victim, bytes, sizeof(bytes), &size, NULL, 0), DUCT_EAGAIN);
    beside_part(b);
}

/* ---- H7 ---- */

/* Every block is in exactly one place: free and on one list, or out. */
static void audit(struct duct_pipe *pipe)
{
    const struct di_pool *pool = &((struct shm_pipe *)pipe)->link->sender.pool;
    unsigned char found[1024] = {0};
    uint32_t loaned = 0, sent = 0, free = 0;

    MUST(pool->block_count <= sizeof(found));
    for (uint32_t c = 0; c < pool->geometry->header.class_count; c++) {
        for (uint32_t i = pool->top[c]; i != DI_BLOCK_NONE; i = pool->blocks[i].next) {
            MUST(i < pool->block_count && found[i] == 0);
            MUST(pool->blocks[i].state == DI_BLOCK_FREE && pool->blocks[i].class_index == c);
            found[i] = 1;
            free++;
        }
    }
    for (uint32_t i = 0; i < pool->block_count; i++) {
        MUST((pool->blocks[i].state == DI_BLOCK_FREE) == (found[i] == 1));
        loaned += pool->blocks[i].state == DI_BLOCK_LOANED;
        sent += pool->blocks[i].state == DI_BLOCK_SENT;
    }
    MUST(loaned == pool->loaned && sent == pool->sent);
    MUST(free + loaned + sent == pool->block_count);
}

/* Takes every block there is, which asks for what came back. */
static enum duct_err loan_until_empty(struct duct_pipe *pipe, struct duct_msg *msgs,
                                      unsigned *count)
{
    enum duct_err err = DUCT_OK;

    while (*count < 64 && (err = duct_msg_loan(pipe, 4096, &msgs[*count])) == DUCT_OK)
        ++*count;
    return err;
}

/* Two blocks sent, and seen by the peer; all others on loan. */
static void two_out(struct beside *b, struct duct_msg *msgs, unsigned *count, uint64_t refs[2])
{
    uint64_t head;

    *count = 0;
    beside_meet(b);
    GIVES(loan_until_empty(b->victim, msgs, count), DUCT_EAGAIN);
    MUST(*count >= 4);
    for (unsigned i = 0; i < 2; i++) {
        GIVES(duct_send(b->victim, &msgs[--*count], 0), DUCT_OK);
        MUST(peer_sees(&b->peer, &head, &refs[i]));
        b->peer.head++;
    }
    audit(b->victim);
}

enum forgery {
    AN_HONEST_ONE,
    TWICE,
    NEXT_GENERATION,
    FORMER_GENERATION,
    NO_GENERATION,
    ON_LOAN,
    PAST_ALL,
    AT_2_31,
    AT_2_32,
    A_CELL,
    NOTHING,
    FORGERIES
};

static uint64_t forge(enum forgery which, const uint64_t refs[2], uint64_t loaned)
{
    switch (which) {
    case NEXT_GENERATION:
        return refs[0] + (1ull << 32);
    case FORMER_GENERATION:
        return refs[0] - (1ull << 32);
    case NO_GENERATION:
        return refs[0] & UINT32_MAX;
    case ON_LOAN:
        return loaned;
    case PAST_ALL:
        return peer_ref(PEER_BLOCKS * 1000, 1);
    case AT_2_31:
        return peer_ref(1u << 31, 1);
    case AT_2_32:
        return peer_ref(UINT32_MAX, 1);
    case A_CELL:
        return refs[0] | 0x80000000u;
    case NOTHING:
        return 0;
    default:
        return refs[0];
    }
}

static void returns(struct beside *b)
{
    struct duct_msg msgs[64];
    uint64_t refs[2];
    unsigned count;

    for (unsigned f = AN_HONEST_ONE; f < FORGERIES; f++) {
        two_out(b, msgs, &count, refs);
        peer_return(&b->peer, forge((enum forgery)f, refs, msgs[0].ref));
        if (f == TWICE)
            peer_return(&b->peer, refs[0]);
        enum duct_err err = loan_until_empty(b->victim, msgs, &count);
        if (err != (f == AN_HONEST_ONE ? DUCT_EAGAIN : DUCT_ECORRUPT))
            fprintf(stderr, "forgery %u\n", f);
        GIVES(err, f == AN_HONEST_ONE ? DUCT_EAGAIN : DUCT_ECORRUPT);
        audit(b->victim);
        while (count > 0)
            MUST(duct_msg_discard(&msgs[--count]) == DUCT_OK);
        audit(b->victim);
        beside_round(b);
        if (f == AN_HONEST_ONE)
            beside_part(b);
        else
            beside_ends(b, DUCT_ECORRUPT);
    }
}

/* More returned than was ever out, whatever the ring holds. */
static void counts(struct beside *b)
{
    static const uint64_t said[] = {3, 1u << 20, UINT32_MAX, 1ull << 32, 1ull << 63, UINT64_MAX};
    struct duct_msg msgs[64];
    uint64_t refs[2];
    unsigned count;

    for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        two_out(b, msgs, &count, refs);
        peer_set_returned(&b->peer, said[i]);
        GIVES(loan_until_empty(b->victim, msgs, &count), DUCT_ECORRUPT);
        audit(b->victim);
        while (count > 0)
            MUST(duct_msg_discard(&msgs[--count]) == DUCT_OK);
        beside_round(b);
        beside_ends(b, DUCT_ECORRUPT);
    }
}

/* Anything at all in the return ring: whatever is believed, the books stay right. */
static void random_returns(struct beside *b)
{
    struct duct_msg msgs[64];
    uint64_t refs[2], seed = 17;
    unsigned count;

    for (unsigned round = 0; round < 300; round++) {
        two_out(b, msgs, &count, refs);
        for (unsigned i = 0; i < 2; i++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            uint64_t ref = refs[seed >> 40 & 1];
            if (seed >> 50 & 1)
                ref ^= 1ull << (seed >> 58);
            peer_return(&b->peer, ref);
        }
        enum duct_err err = loan_until_empty(b->victim, msgs, &count);
        MUST(err == DUCT_EAGAIN || err == DUCT_ECORRUPT);
        audit(b->victim);
        while (count > 0)
            MUST(duct_msg_discard(&msgs[--count]) == DUCT_OK);
        audit(b->victim);
        beside_part(b);
    }
}

int main(void)
{
    static const struct play plays[] = {
        {"H2 consumer index", PLAY_DEFAULT, consumer_index, OPTIONS},
        {"H2 stamps", PLAY_DEFAULT, stamps, NULL},
        {"H7 returns", PLAY_DEFAULT, returns, OPTIONS},
        {"H7 counts of returns", PLAY_DEFAULT, counts, OPTIONS},
        {"H7 random returns", PLAY_DEFAULT, random_returns, OPTIONS},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
