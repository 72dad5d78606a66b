/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H14: nothing leaves the process but what it means to say. Its heap and stack are full of a pattern before the
 * peer comes; whatever the victim then sends, in whatever way, the pattern is nowhere in what it shares, nor in
 * what it says on the control socket.
 */
#include <string.h>

#include "tests/hostile/beside.h"

enum { CANARY = 0xc5, RUN = 4 };

/* Memory that will be handed out again, and the stack that will be used next. */
static void soil(void)
{
    static void *blocks[256];
    unsigned char stack[65536];

    for (unsigned i = 0; i < 256; i++) {
        size_t size = 16ull << i % 11;
        blocks[i] = malloc(size);
        MUST(blocks[i] != NULL);
        memset(blocks[i], CANARY, size);
    }
    for (unsigned i = 0; i < 256; i++)
        free(blocks[i]);
    memset(stack, CANARY, sizeof(stack));
    __asm__("" : : "r"(stack) : "memory");
}

static void must_be_clean(const char *what, const unsigned char *bytes, size_t size)
{
    unsigned run = 0;

    for (size_t i = 0; i < size; i++) {
        run = bytes[i] == CANARY ? run + 1 : 0;
        if (run == RUN) {
            fprintf(stderr, "%s shows what lay in memory, at %zu of %zu\n", what, i, size);
            MUST(run < RUN);
        }
    }
}

/* Bytes of the messages are all below the pattern's. */
static void fill(void *bytes, size_t size, unsigned seed)
{
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)bytes)[i] = (unsigned char)((seed + i) % 128);
}

static void send_one(struct duct_pipe *pipe, unsigned way, size_t size)
{
    unsigned char bytes[4096];
    struct iovec pieces[2] = {{bytes, size / 2}, {bytes + size / 2, size - size / 2}};
    struct duct_view view = {bytes, size, 1};
    struct duct_msg msg;
    size_t done;

    fill(bytes, size, way);
    switch (way) {
    case 0:
        GIVES(duct_write(pipe, bytes, size, 1, 0), DUCT_OK);
        return;
    case 1:
        GIVES(duct_writev(pipe, pieces, 2, 1, 0), DUCT_OK);
        return;
    case 2:
        GIVES(duct_write_batch(pipe, &view, 1, &done, 0), DUCT_OK);
        return;
    case 3:
        GIVES(duct_msg_loan(pipe, size, &msg), DUCT_OK);
        fill(msg.data, size, way);
        GIVES(duct_send(pipe, &msg, 0), DUCT_OK);
        return;
    default:
        GIVES(duct_msg_loan_batch(pipe, size, &msg, 1, &done), DUCT_OK);
        fill(msg.data, size, way);
        GIVES(duct_send_batch(pipe, &msg, 1, &done, 0), DUCT_OK);
    }
}

static void shared(struct beside *b)
{
    static const size_t sizes[] = {0,  1,  7,   8,   39,  40,  41,   95,
                                   96, 97, 152, 207, 208, 209, 1000, 4096};

    soil();
    beside_meet(b);
    must_be_clean("a new outbox", b->peer.their_outbox, b->peer.their_outbox_bytes);
    must_be_clean("a new pool", b->peer.their_pool, b->peer.their_pool_bytes);
    beside_part(b);
    for (unsigned way = 0; way < 5; way++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            soil();
            beside_meet(b);
            soil();
            send_one(b->victim, way, sizes[i]);
            peer_put_block(&b->peer, 0, 300);
            struct duct_msg msg;
            GIVES(duct_recv(b->victim, &msg, 0), DUCT_OK);
            MUST(duct_msg_release(&msg) == DUCT_OK);
            beside_turn(b);
            must_be_clean("the outbox", b->peer.their_outbox, b->peer.their_outbox_bytes);
            must_be_clean("the pool", b->peer.their_pool, b->peer.their_pool_bytes);
            beside_part(b);
        }
    }
    beside_round(b);
}

/* HELLO and READY, REFUSE, CLOSE with and without a text, and whatever else comes. */
static void said(struct beside *b)
{
    struct peer_message message;

    for (unsigned i = 0; i < 4; i++) {
        soil();
        if (i < 2) {
            beside_meet_able(b, PEER_CAN_RING);
            GIVES(duct_recv(b->victim, &(struct duct_msg){0}, DUCT_MILLISECOND), DUCT_ETIMEOUT);
            soil();
            duct_pipe_close_with(b->victim, 7, i == 0 ? NULL : "a reason", 0);
            b->victim = NULL;
        } else {
            peer_connect(&b->peer, b->path);
            b->peer.said.magic ^= i == 3;
            b->peer.said.layout ^= i == 2;
            uint64_t before = duct_listener_refused(b->listener);
            MUST(peer_send(&b->peer, &b->peer.said, sizeof(b->peer.said), NULL, 0));
            beside_refused(b, before);
        }
        beside_turn(b);
        unsigned taken = 0;
        while (peer_take(&b->peer, &message) && message.size > 0) {
            must_be_clean("a message", message.bytes, message.size);
            peer_drop(&message);
            taken++;
        }
        MUST(taken > 0);
        beside_part(b);
    }
    beside_round(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"H14 what is shared", PLAY_DEFAULT, shared, "max_msg=4096&pool=64k"},
        {"H14 what is said", PLAY_DEFAULT | PLAY_UNTRUSTED, said, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
