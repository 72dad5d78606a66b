/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/talk.h"

#include <string.h>

/*
 * Relaxed everywhere: the score is read after the victim's death, which the kernel orders.
 */

/* In a slot, in two, in four; in a block. */
static const uint32_t sizes[] = {24, 40, 41, 96, 208, 209, 1500, 9000};

size_t talk_size(uint64_t seq)
{
    return sizes[seq % (sizeof(sizes) / sizeof(sizes[0]))];
}

struct head {
    uint64_t salt;
    uint64_t seq;
    uint64_t size;
};

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t seed(uint64_t salt, uint64_t seq)
{
    return (salt + 1) * 0x9e3779b97f4a7c15ull ^ (seq + 1) * 0xbf58476d1ce4e5b9ull ^ 1;
}

void talk_fill(void *data, size_t size, uint64_t salt, uint64_t seq)
{
    struct head head = {salt, seq, size};
    unsigned char *bytes = data;
    uint64_t state = seed(salt, seq);

    memcpy(bytes, &head, sizeof(head));
    for (size_t i = sizeof(head); i < size; i += sizeof(state)) {
        uint64_t word = next(&state);
        memcpy(bytes + i, &word, size - i < sizeof(word) ? size - i : sizeof(word));
    }
}

bool talk_good(const void *data, size_t size, uint64_t salt, uint64_t seq)
{
    const unsigned char *bytes = data;
    struct head head;
    uint64_t state = seed(salt, seq);

    if (size < sizeof(head))
        return false;
    memcpy(&head, bytes, sizeof(head));
    if (head.salt != salt || head.seq != seq || head.size != size)
        return false;
    for (size_t i = sizeof(head); i < size; i += sizeof(state)) {
        uint64_t word = next(&state);
        if (memcmp(bytes + i, &word, size - i < sizeof(word) ? size - i : sizeof(word)) != 0)
            return false;
    }
    return true;
}

/* ---- Every way to send ---- */

static enum duct_err by_write(struct duct_pipe *pipe, const void *data, size_t size)
{
    return duct_write(pipe, data, size, 0, TALK_HUNG);
}

static enum duct_err by_pieces(struct duct_pipe *pipe, const void *data, size_t size)
{
    unsigned char *bytes = (void *)(uintptr_t)data;
    const struct iovec pieces[2] = {{bytes, 10}, {bytes + 10, size - 10}};

    return duct_writev(pipe, pieces, 2, 0, TALK_HUNG);
}

static enum duct_err by_loan(struct duct_pipe *pipe, const void *data, size_t size)
{
    struct duct_msg msg;
    enum duct_err err = duct_msg_loan_aligned(pipe, size, DUCT_ALIGN_LINE, TALK_HUNG, &msg);

    if (err != DUCT_OK)
        return err;
    memcpy(msg.data, data, size);
    return duct_send(pipe, &msg, TALK_HUNG);
}

static enum duct_err by_second_loan(struct duct_pipe *pipe, const void *data, size_t size)
{
    struct duct_msg msg;
    enum duct_err err = duct_msg_loan_aligned(pipe, size, DUCT_ALIGN_LINE, TALK_HUNG, &msg);

    if (err != DUCT_OK || (err = duct_msg_discard(&msg)) != DUCT_OK)
        return err;
    return by_loan(pipe, data, size);
}

static enum duct_err by_write_batch(struct duct_pipe *pipe, const void *data, size_t size)
{
    const struct duct_view view = {.data = data, .size = size};
    size_t done;

    return duct_write_batch(pipe, &view, 1, &done, TALK_HUNG);
}

static enum duct_err by_send_batch(struct duct_pipe *pipe, const void *data, size_t size)
{
    struct duct_msg msg;
    size_t done;
    enum duct_err err = duct_msg_loan_batch(pipe, size, &msg, 1, &done);

    if (err != DUCT_OK)
        return err;
    memcpy(msg.data, data, size);
    return duct_send_batch(pipe, &msg, 1, &done, TALK_HUNG);
}

static enum duct_err (*const ways[])(struct duct_pipe *pipe, const void *data, size_t size) = {
    by_write, by_loan, by_pieces, by_second_loan, by_write_batch, by_send_batch, by_loan};

static enum duct_err say(struct duct_pipe *pipe, struct talk *talk, uint64_t seq)
{
    unsigned char bytes[TALK_MSG_MAX];
    size_t size = talk_size(seq);

    talk_fill(bytes, size, talk->salt, seq);
    atomic_store_explicit(&talk->begun, seq + 1, memory_order_relaxed);
    /* Seven ways and eight sizes have no common factor. */
    enum duct_err err = ways[seq % (sizeof(ways) / sizeof(ways[0]))](pipe, bytes, size);
    if (err == DUCT_OK)
        atomic_store_explicit(&talk->sent, seq + 1, memory_order_relaxed);
    return err;
}

/* ---- Every way to receive ---- */

static enum duct_err hear(struct duct_pipe *pipe, struct talk *talk, uint64_t seq,
                          int64_t timeout_ns)
{
    unsigned char bytes[TALK_MSG_MAX];
    struct duct_buffer buffer = {.data = bytes, .capacity = sizeof(bytes)};
    struct duct_msg msg;
    size_t size, done;
    enum duct_err err;

    switch (seq % 3) {
    case 0:
        if ((err = duct_read(pipe, bytes, sizeof(bytes), &size, NULL, timeout_ns)) != DUCT_OK)
            return err;
        break;
    case 1:
        if ((err = duct_read_batch(pipe, &buffer, 1, &done, timeout_ns)) != DUCT_OK)
            return err;
        size = buffer.size;
        break;
    default:
        if ((err = duct_recv(pipe, &msg, timeout_ns)) != DUCT_OK)
            return err;
        size = msg.size;
        memcpy(bytes, msg.data, size);
        if ((err = duct_msg_release(&msg)) != DUCT_OK)
            return err;
    }
    return talk_good(bytes, size, ~talk->salt, seq) ? DUCT_OK : DUCT_ECORRUPT;
}

/* More on loan than the pool holds, so that it grows; then all of it is sent. */
static enum duct_err grow(struct duct_pipe *pipe, struct talk *talk, uint64_t first)
{
    struct duct_msg msgs[TALK_LOANS];
    enum duct_err err;

    for (unsigned i = 0; i < TALK_LOANS; i++) {
        if ((err = duct_msg_loan(pipe, TALK_MSG_MAX, &msgs[i])) != DUCT_OK)
            return err;
    }
    for (unsigned i = 0; i < TALK_LOANS; i++) {
        msgs[i].size = talk_size(first + i);
        talk_fill(msgs[i].data, msgs[i].size, talk->salt, first + i);
        atomic_store_explicit(&talk->begun, first + i + 1, memory_order_relaxed);
        if ((err = duct_send(pipe, &msgs[i], TALK_HUNG)) != DUCT_OK)
            return err;
        atomic_store_explicit(&talk->sent, first + i + 1, memory_order_relaxed);
    }
    for (unsigned i = 0; i < TALK_LOANS; i++) {
        if ((err = hear(pipe, talk, first + i, TALK_HUNG)) != DUCT_OK)
            return err;
    }
    return DUCT_OK;
}

enum duct_err talk_victim(struct duct_pipe *pipe, struct talk *talk)
{
    enum duct_err err;

    for (uint64_t seq = 0; seq < TALK_MSGS; seq++) {
        if ((err = say(pipe, talk, seq)) != DUCT_OK ||
            (err = hear(pipe, talk, seq, TALK_HUNG)) != DUCT_OK)
            return err;
    }
    if ((err = grow(pipe, talk, TALK_MSGS)) != DUCT_OK)
        return err;
    atomic_store_explicit(&talk->closing, 1, memory_order_relaxed);
    duct_pipe_close(pipe);
    return DUCT_OK;
}

enum duct_err talk_fast(struct duct_pipe *pipe, struct talk *talk)
{
    uint64_t said = 0, heard = 0;
    enum duct_err err;

    for (;;) {
        err = say(pipe, talk, said);
        /* The pool is full of what the survivor has not let go of yet, or both rings are. */
        if (err != DUCT_OK && err != DUCT_EAGAIN)
            return err;
        said += err == DUCT_OK;
        while ((err = hear(pipe, talk, heard, 0)) == DUCT_OK)
            heard++;
        if (err != DUCT_EAGAIN)
            return err;
    }
}

enum duct_err talk_short(struct duct_pipe *pipe)
{
    struct talk talk = {.salt = 42};
    enum duct_err err;

    for (uint64_t seq = 0; seq < sizeof(sizes) / sizeof(sizes[0]); seq++) {
        if ((err = say(pipe, &talk, seq)) != DUCT_OK ||
            (err = hear(pipe, &talk, seq, TALK_HUNG)) != DUCT_OK)
            return err;
    }
    return grow(pipe, &talk, sizeof(sizes) / sizeof(sizes[0]));
}

enum duct_err talk_echo(struct duct_pipe *pipe)
{
    unsigned char bytes[TALK_MSG_MAX];
    struct head head;
    size_t size;

    for (uint64_t seq = 0;; seq++) {
        enum duct_err err = duct_read(pipe, bytes, sizeof(bytes), &size, NULL, DUCT_FOREVER);
        if (err != DUCT_OK)
            return err;
        memcpy(&head, bytes, sizeof(head));
        if (!talk_good(bytes, size, head.salt, seq))
            return DUCT_ECORRUPT;
        size = talk_size(seq + 5);
        talk_fill(bytes, size, ~head.salt, seq);
        err = duct_write(pipe, bytes, size, 0, DUCT_FOREVER);
        if (err != DUCT_OK)
            return err;
    }
}
