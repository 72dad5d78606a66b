/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a peer can say in a descriptor, over a real pipe, and by every way to receive.
 *
 * H3: one call takes what it was asked for, however fast more comes. H4, H6: sizes and blocks, legal or
 * refused, never in between. H9: a copy is a snapshot. H22: a block that is held does not come twice.
 * H1: every field changes all the time, under the sanitizer's eyes.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "lib/core/context.h"
#include "tests/hostile/beside.h"

/* ---- H4, H6: the table ---- */

#define IMMEDIATE 208u /* docs: 40 bytes in the slot, 56 in each of three more */

static const struct {
    uint64_t head;
    uint64_t ref;
    enum duct_err expected;
} descriptors[] = {
    {0 | 1ull << 48, 0, DUCT_OK},                             /* empty */
    {1 | 1ull << 48, 0, DUCT_OK},                             /* a byte */
    {40 | 1ull << 48, 0, DUCT_OK},                            /* a slot full */
    {41 | 1ull << 48, 0, DUCT_OK},                            /* and one more */
    {IMMEDIATE | 1ull << 48, 0, DUCT_OK},                     /* the longest */
    {(IMMEDIATE + 1) | 1ull << 48, 0, DUCT_ECORRUPT},         /* too long for the ring */
    {(1ull << 31) | 1ull << 48, 0, DUCT_ECORRUPT},            /* 2^31 */
    {UINT32_MAX | 1ull << 48, 0, DUCT_ECORRUPT},              /* 2^32 - 1 */
    {8, 0, DUCT_ECORRUPT},                                    /* kind 0 */
    {8 | 3ull << 48, 0, DUCT_ECORRUPT},                       /* kind 3 */
    {8 | 0xffffull << 48, 0, DUCT_ECORRUPT},                  /* kind 65535 */
    {8 | 1ull << 32 | 1ull << 48, 0, DUCT_ECORRUPT},          /* channel 1, of a slot */
    {8 | 1ull << 32 | 2ull << 48, 1ull << 32, DUCT_ECORRUPT}, /* and of a block */
    {UINT64_MAX, UINT64_MAX, DUCT_ECORRUPT},                  /* everything */
    {0 | 2ull << 48, 1ull << 32, DUCT_OK},                    /* an empty block */
    {1 | 2ull << 48, 1ull << 32, DUCT_OK},                    /* not empty */
    {PEER_BLOCK_BYTES | 2ull << 48, 1ull << 32, DUCT_OK},     /* a full one */
    {PEER_BLOCK_BYTES | 2ull << 48, (PEER_BLOCKS - 1) | 1ull << 32, DUCT_OK}, /* the last one */
    {(PEER_BLOCK_BYTES + 1) | 2ull << 48, 1ull << 32, DUCT_ECORRUPT},
    {(1ull << 31) | 2ull << 48, 1ull << 32, DUCT_ECORRUPT},
    {UINT32_MAX | 2ull << 48, 1ull << 32, DUCT_ECORRUPT},
    {8 | 2ull << 48, PEER_BLOCKS | 1ull << 32, DUCT_ECORRUPT}, /* past the last */
    {8 | 2ull << 48, 1ull << 31 | 1ull << 32, DUCT_ECORRUPT},
    {8 | 2ull << 48, UINT64_MAX, DUCT_ECORRUPT},
    {8 | 2ull << 48, 0, DUCT_OK}, /* generation 0: its own affair, and what it gets back */
};
enum { DESCRIPTORS = sizeof(descriptors) / sizeof(descriptors[0]), WAYS = 4 };

/* One receive, by each way there is. */
static enum duct_err receive(struct duct_pipe *pipe, unsigned way)
{
    static unsigned char bytes[2][2 * PEER_BLOCK_BYTES];
    struct duct_buffer buffers[2] = {{bytes[0], sizeof(bytes[0]), 0, 0},
                                     {bytes[1], sizeof(bytes[1]), 0, 0}};
    struct duct_msg msgs[2];
    size_t size, done = 0;
    enum duct_err err;

    switch (way) {
    case 0:
        if ((err = duct_recv(pipe, &msgs[0], 0)) == DUCT_OK)
            MUST(duct_msg_release(&msgs[0]) == DUCT_OK);
        return err;
    case 1:
        return duct_read(pipe, bytes[0], sizeof(bytes[0]), &size, NULL, 0);
    case 2:
        err = duct_recv_batch(pipe, msgs, 2, &done, 0);
        MUST(duct_msg_release_batch(msgs, done) == DUCT_OK);
        return done > 0 ? DUCT_OK : err;
    default:
        err = duct_read_batch(pipe, buffers, 2, &done, 0);
        return done > 0 ? DUCT_OK : err;
    }
}

static void table(struct beside *b)
{
    for (unsigned i = 0; i < DESCRIPTORS; i++) {
        for (unsigned way = 0; way < WAYS; way++) {
            beside_meet(b);
            peer_put(&b->peer, descriptors[i].head, descriptors[i].ref, 0);
            enum duct_err err = receive(b->victim, way);
            if (err != descriptors[i].expected)
                fprintf(stderr, "descriptor %u by way %u\n", i, way);
            GIVES(err, descriptors[i].expected);
            beside_round(b);
            if (err == DUCT_ECORRUPT)
                beside_ends(b, DUCT_ECORRUPT);
            else
                beside_part(b);
        }
    }
}

/* ---- H22 ---- */

static void block_again(struct beside *b)
{
    struct duct_msg msgs[10];

    for (unsigned way = 0; way < WAYS; way++) {
        beside_meet(b);
        for (unsigned i = 0; i < 10; i++)
            peer_put_block(&b->peer, 3, 300);
        GIVES(duct_recv(b->victim, &msgs[0], 0), DUCT_OK);
        GIVES(receive(b->victim, way), DUCT_ECORRUPT);
        beside_round(b);
        /* What is held stays held, and goes home to a pipe that is gone. */
        MUST(msgs[0].size == 300);
        beside_ends(b, DUCT_ECORRUPT);
        MUST(duct_msg_release(&msgs[0]) == DUCT_OK);
    }
    /* In one batch. */
    size_t done = 0;
    beside_meet(b);
    for (unsigned i = 0; i < 10; i++)
        peer_put_block(&b->peer, 3, 300);
    enum duct_err err = duct_recv_batch(b->victim, msgs, 10, &done, 0);
    MUST(done == 1 && (err == DUCT_OK || err == DUCT_ECORRUPT));
    MUST(duct_msg_release(&msgs[0]) == DUCT_OK);
    beside_ends(b, DUCT_ECORRUPT);
}

/* Named again after each release: legal for all that can be known, and the return ring holds. */
static void block_repeated(struct beside *b)
{
    beside_meet(b);
    for (unsigned i = 0; i < 1000; i++) {
        peer_put_block(&b->peer, 3, 300);
        GIVES(receive(b->victim, i % WAYS), DUCT_OK);
    }
    beside_round(b);
    beside_part(b);
}

/* ---- H3 ---- */

/* Keeps the ring full, from a thread of its own, as fast as it can. */
struct producer {
    struct peer *peer;
    _Atomic uint64_t put;
    _Atomic int stop;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    const struct di_receiver_page *page =
        (const struct di_receiver_page *)(const void *)(p->peer->their_outbox +
                                                        DI_OUTBOX_RECEIVER_AT);

    while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
        uint64_t consumed = atomic_load_explicit(&page->consumed, memory_order_acquire);
        if (p->peer->tail - consumed < PEER_SLOTS) {
            peer_put(p->peer, peer_head(8, 0, DI_KIND_IMMEDIATE), 0, 0);
            atomic_fetch_add_explicit(&p->put, 1, memory_order_relaxed);
        }
    }
    return NULL;
}

/* The honest exchange while every turn finds the producer's messages: they are there before it begins, and nobody
 * takes them. The clock stands still, so that it is not by its ticks alone that others' news are asked for. */
static void round_beside(struct beside *b, struct producer *producer, uint64_t taken)
{
    while (atomic_load_explicit(&producer->put, memory_order_relaxed) <= taken)
        sched_yield();
    GIVES(duct_pipe_watch(b->victim, DUCT_WATCH_READABLE | DUCT_WATCH_STATE | DUCT_WATCH_END),
          DUCT_OK);
    b->server->looked_at = INT64_MAX / 2;
    beside_round(b);
    b->server->looked_at = 0;
}

static void endless(struct beside *b)
{
    static unsigned char bytes[100][8];
    struct duct_buffer buffers[100];
    struct producer producer = {.peer = &b->peer};
    uint64_t taken = 0, round_at = 0;
    pthread_t thread;

    beside_meet(b);
    MUST(pthread_create(&thread, NULL, produce, &producer) == 0);
    while (taken < 20000) {
        size_t done = 0;
        for (unsigned i = 0; i < 100; i++)
            buffers[i] = (struct duct_buffer){bytes[i], sizeof(bytes[i]), 0, 0};
        /* It returns, with no more than was asked for, whatever is still coming. */
        enum duct_err err = duct_read_batch(b->victim, buffers, 100, &done, 0);
        MUST((err == DUCT_OK || err == DUCT_EAGAIN) && done <= 100);
        taken += done;
        if (taken >= round_at) {
            round_beside(b, &producer, taken);
            round_at += 5000;
        }
    }
    atomic_store_explicit(&producer.stop, 1, memory_order_relaxed);
    MUST(pthread_join(thread, NULL) == 0);
    beside_round(b);
    beside_part(b);
}

/* A pipe that is always readable, and is never read, does not push out the events of others, even where
 * there is room for one at a time. */
static void fairness(struct beside *b)
{
    struct duct_event event;
    size_t count;
    unsigned seen = 0;

    beside_meet(b);
    for (unsigned i = 0; i < PEER_SLOTS; i++)
        peer_put(&b->peer, peer_head(8, 0, DI_KIND_IMMEDIATE), 0, 0);
    peer_ring(&b->peer);
    for (unsigned i = 0; i < HONEST; i++)
        GIVES(duct_write(b->there[i], "honest", 6, 0, SOON), DUCT_OK);
    /* Each honest pipe within two turns of everybody: half the events may be the peer's. */
    for (unsigned i = 0; seen != (1u << HONEST) - 1; i++) {
        MUST(i < 4 * (HONEST + 2));
        GIVES(duct_context_wait(b->server, &event, 1, &count, SOON), DUCT_OK);
        for (unsigned k = 0; k < HONEST; k++) {
            if (event.pipe == b->here[k] && event.type == DUCT_EVENT_READABLE) {
                unsigned char bytes[8];
                size_t size;
                GIVES(duct_read(b->here[k], bytes, 8, &size, NULL, 0), DUCT_OK);
                seen |= 1u << k;
            }
        }
    }
    beside_part(b);
}

/* ---- H1, H9: fields and payload that never stand still ---- */

struct flipper {
    struct peer *peer;
    bool payload; /* only the payload, or also the descriptor */
    _Atomic int stop;
};

/* The stamps stay right, so that every descriptor is looked at; all else is one of many values. */
static void *flip(void *arg)
{
    static const uint64_t heads[] = {8 | 1ull << 48,          208 | 1ull << 48,  209 | 1ull << 48,
                                     300 | 2ull << 48,        4096 | 2ull << 48, 4097 | 2ull << 48,
                                     UINT32_MAX | 2ull << 48, 8 | 7ull << 48};
    static const uint64_t refs[] = {0 | 1ull << 32, 7 | 1ull << 32, 8 | 1ull << 32, UINT64_MAX};
    struct flipper *f = arg;

    for (uint64_t n = 0; !atomic_load_explicit(&f->stop, memory_order_relaxed); n++) {
        struct di_slot *slot = peer_slot(f->peer, n);
        if (f->payload) {
            /* A length and a length again: equal in none of the snapshots, for all it knows. */
            _Atomic uint32_t *words = (_Atomic uint32_t *)(void *)f->peer->pool;
            atomic_store_explicit(&words[0], (uint32_t)n * 2654435761u, memory_order_relaxed);
            atomic_store_explicit(&words[1], (uint32_t)n * 40503u, memory_order_relaxed);
            continue;
        }
        atomic_store_explicit(&slot->head, heads[n / 3 % 8], memory_order_relaxed);
        atomic_store_explicit(&slot->block, refs[n / 5 % 4], memory_order_relaxed);
        atomic_store_explicit(&slot->tag, n, memory_order_relaxed);
    }
    return NULL;
}

static void flipping(struct beside *b)
{
    struct flipper flipper = {.peer = &b->peer};
    unsigned corrupt = 0, fine = 0;
    pthread_t thread;

    /* Until both were met often enough. */
    for (unsigned round = 0; corrupt < 20 || fine < 200; round++) {
        MUST(round < 100000);
        beside_meet(b);
        for (unsigned i = 0; i < PEER_SLOTS; i++)
            peer_put(&b->peer, peer_head(8, 0, DI_KIND_IMMEDIATE), 0, 0);
        atomic_store_explicit(&flipper.stop, 0, memory_order_relaxed);
        MUST(pthread_create(&thread, NULL, flip, &flipper) == 0);
        enum duct_err err = DUCT_OK;
        for (unsigned i = 0; i < PEER_SLOTS && err == DUCT_OK; i++) {
            err = receive(b->victim, i % WAYS);
            fine += err == DUCT_OK;
        }
        corrupt += err == DUCT_ECORRUPT;
        MUST(err == DUCT_OK || err == DUCT_ECORRUPT || err == DUCT_EAGAIN);
        atomic_store_explicit(&flipper.stop, 1, memory_order_relaxed);
        MUST(pthread_join(thread, NULL) == 0);
        beside_part(b);
    }
    beside_round(b);
}

/* A parser that reads its length twice, as parsers do: safe on what duct_read() gave it. */
static uint32_t parse(const unsigned char *bytes, size_t size)
{
    uint32_t first, second;

    memcpy(&first, bytes, sizeof(first));
    MUST(size == 300);
    memcpy(&second, bytes, sizeof(second));
    MUST(first == second);
    return first;
}

static void snapshot(struct beside *b)
{
    struct flipper flipper = {.peer = &b->peer, .payload = true};
    static unsigned char bytes[4096], again[4096];
    unsigned changed = 0;
    uint32_t last = 0;
    pthread_t thread;
    size_t size;

    beside_meet(b);
    MUST(pthread_create(&thread, NULL, flip, &flipper) == 0);
    /* Until it was seen to change often enough; a thread that never runs is none of the rule's. */
    for (unsigned i = 0; i < 1000 || changed < 20; i++) {
        MUST(i < 100000000);
        peer_put_block(&b->peer, 0, 300);
        GIVES(duct_read(b->victim, bytes, sizeof(bytes), &size, NULL, 0), DUCT_OK);
        memcpy(again, bytes, size);
        uint32_t length = parse(bytes, size);
        MUST(memcmp(again, bytes, size) == 0);
        changed += length != last;
        last = length;
    }
    atomic_store_explicit(&flipper.stop, 1, memory_order_relaxed);
    MUST(pthread_join(thread, NULL) == 0);
    beside_round(b);
    beside_part(b);
}

/* A small message lies in the ring only until it was received: a view of it is this side's own, by every way. */
static void standing_still(struct beside *b)
{
    struct duct_msg msgs[2];
    size_t done;

    beside_meet(b);
    for (unsigned i = 0; i < 2; i++)
        peer_put_bytes(&b->peer, "as it was sent", 15, 0);
    GIVES(duct_recv(b->victim, &msgs[0], 0), DUCT_OK);
    GIVES(duct_recv_batch(b->victim, &msgs[1], 1, &done, 0), DUCT_OK);
    for (unsigned i = 0; i < 2; i++)
        memset(peer_slot(&b->peer, i)->bytes, '!', sizeof(peer_slot(&b->peer, i)->bytes));
    for (unsigned i = 0; i < 2; i++) {
        MUST(msgs[i].size == 15 && memcmp(msgs[i].data, "as it was sent", 15) == 0);
        MUST(duct_msg_release(&msgs[i]) == DUCT_OK);
    }
    beside_round(b);
    beside_part(b);
}

/* The linker puts this in the place of the library's send(), which rings the peer. One that waits for its block fills
 * it anew the moment it has it back. */
static struct peer *waits_for_block;
static unsigned refilled;

ssize_t __real_send(int socket, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int socket, const void *bytes, size_t size, int flags);
ssize_t __wrap_send(int socket, const void *bytes, size_t size, int flags)
{
    struct peer *peer = waits_for_block;

    if (peer != NULL) {
        const struct di_receiver_page *page =
            (const struct di_receiver_page *)(const void *)(peer->their_outbox +
                                                            DI_OUTBOX_RECEIVER_AT);
        if (atomic_load_explicit(&page->returned, memory_order_acquire) > refilled) {
            memset(peer->pool, '!', PEER_BLOCK_BYTES);
            refilled++;
        }
    }
    return __real_send(socket, bytes, size, flags);
}

/* What duct_read() copies from a block, it has copied before the peer hears that the block is its own again. */
static void copied_first(struct beside *b)
{
    struct duct_buffer buffer;
    unsigned char bytes[300], sent[300];
    size_t size = 0;

    beside_meet(b);
    memset(sent, 's', sizeof(sent));
    refilled = 0;
    for (unsigned way = 0; way < 2; way++) {
        memcpy(b->peer.pool, sent, sizeof(sent));
        peer_put_block(&b->peer, 0, sizeof(sent));
        /* By its socket. */
        peer_park(&b->peer, 3);
        waits_for_block = &b->peer;
        buffer = (struct duct_buffer){bytes, sizeof(bytes), 0, 0};
        GIVES(way == 0 ? duct_read(b->victim, bytes, sizeof(bytes), &size, NULL, 0)
                       : duct_read_batch(b->victim, &buffer, 1, &size, 0),
              DUCT_OK);
        waits_for_block = NULL;
        MUST(refilled == way + 1);
        MUST(memcmp(bytes, sent, sizeof(sent)) == 0);
    }
    beside_round(b);
    beside_part(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"H4 H6 descriptors", PLAY_DEFAULT, table, NULL},
        {"H22 a block that is held", PLAY_DEFAULT, block_again, NULL},
        {"H6 a block again and again", PLAY_DEFAULT, block_repeated, NULL},
        {"H3 an endless producer", PLAY_DEFAULT, endless, NULL},
        {"H3 H18 a pipe nobody reads", PLAY_DEFAULT, fairness, NULL},
        {"H1 fields that flip", PLAY_DEFAULT, flipping, NULL},
        {"H9 a payload that flips", PLAY_DEFAULT, snapshot, NULL},
        {"H9 a view that stands still", PLAY_DEFAULT, standing_still, NULL},
        {"H9 a copy made first", PLAY_DEFAULT, copied_first, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
