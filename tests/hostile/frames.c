/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams, once there is a pipe. What breaks the rules ends that pipe, and the peer is told (H2, H4, H18); what is
 * larger than agreed costs the sender an error and the receiver no memory (H4); parts without an end, answers nobody
 * fetches and messages nobody reads cost bounded memory (H3, H11); words of a peer are cleaned (H23); a stream that is cut or reset
 * anywhere is a death (row 23).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/hostile/wire_meet.h"

/* What buffers of a pipe may take: the receiving one, the queue of the sending one, some change. */
enum { PIPE_HEAP_MAX = (256 + 192 + 128) * 1024 };

static void must_not_grow(size_t before, size_t more)
{
    size_t now = beside_heap();

    if (now > before + more)
        fprintf(stderr, "%s: %zu bytes more on the heap, expected %zu at most\n", playing,
                now - before, more);
    MUST(now <= before + more);
}

/* ---- H2, H4, H18: frames that are wrong ---- */

static void session_of_another(struct wire_frame *f)
{
    f->session++;
}
static void out_of_turn(struct wire_frame *f)
{
    f->seq++;
}
static void long_ago(struct wire_frame *f)
{
    f->seq--;
}
static void no_type(struct wire_frame *f)
{
    f->type = 0;
}
static void unknown_type(struct wire_frame *f)
{
    f->type = 99;
}
static void type_of_later(struct wire_frame *f)
{
    f->type = 7, f->size = f->whole = 0;
}
static void flags(struct wire_frame *f)
{
    f->flags = 1;
}
static void channel(struct wire_frame *f)
{
    f->channel = 1;
}
static void reserved(struct wire_frame *f)
{
    f->reserved = 1;
}
static void above_the_limit(struct wire_frame *f)
{
    f->size = f->whole = 65537;
}
static void far_above(struct wire_frame *f)
{
    f->size = f->whole = UINT32_MAX;
}
static void large_whole(struct wire_frame *f)
{
    f->whole = UINT32_MAX;
}
static void small_whole(struct wire_frame *f)
{
    f->whole = 7;
}
static void no_beginning(struct wire_frame *f)
{
    f->offset = 8, f->whole = 16;
}
static void offset_wraps(struct wire_frame *f)
{
    f->offset = UINT32_MAX - 3, f->whole = 65536;
}
static void empty_part(struct wire_frame *f)
{
    f->size = 0, f->whole = 8;
}
static void close_short(struct wire_frame *f)
{
    f->type = WIRE_CLOSE, f->whole = 0, f->size = 4;
}
static void close_long(struct wire_frame *f)
{
    f->type = WIRE_CLOSE, f->whole = 0, f->size = 201;
}
static void drain_with_words(struct wire_frame *f)
{
    f->type = WIRE_DRAIN, f->whole = 0;
}
static void ping_with_words(struct wire_frame *f)
{
    f->type = WIRE_PING, f->whole = 0;
}
static void ack_with_words(struct wire_frame *f)
{
    f->type = WIRE_ACK, f->whole = 0;
}
static void note_with_whole(struct wire_frame *f)
{
    f->type = WIRE_PONG, f->size = 0;
}

/* The peer is told before it is hung up on: the last frame is a CLOSE that says CORRUPT. */
static void hears_why(struct beside *b, struct wire *wire)
{
    unsigned char bytes[WIRE_HEADER_SIZE + 208];

    do {
        wire_hear_all(b, wire, bytes, WIRE_HEADER_SIZE);
        MUST(wire_frame_bytes(bytes) <= sizeof(bytes));
        wire_hear_all(b, wire, bytes + WIRE_HEADER_SIZE,
                      wire_frame_bytes(bytes) - WIRE_HEADER_SIZE);
    } while (wire_frame_type(bytes) != WIRE_CLOSE);
    MUST(wire_close_err(bytes) == DUCT_ECORRUPT);
    wire_ends(b, wire);
}

static void wrong_frames(struct beside *b)
{
    static void (*const wrongs[])(struct wire_frame *) = {
        session_of_another, out_of_turn,    long_ago,    no_type,          unknown_type,
        type_of_later,      flags,          channel,     reserved,         above_the_limit,
        far_above,          large_whole,    small_whole, no_beginning,     offset_wraps,
        empty_part,         close_short,    close_long,  drain_with_words, ping_with_words,
        ack_with_words,     note_with_whole};
    size_t heap = beside_heap();

    for (unsigned i = 0; i < sizeof(wrongs) / sizeof(wrongs[0]); i++) {
        struct wire wire;
        wire_meet(b, &wire, &WIRE_HONEST);
        struct wire_frame frame = wire_data(&wire, 8);
        wrongs[i](&frame);
        MUST(wire_say_frame(&wire, &frame, 8));
        beside_turn(b);
        hears_why(b, &wire);
        beside_ends(b, DUCT_ECORRUPT);
        wire_close(&wire);
        must_not_grow(heap, PIPE_HEAP_MAX);
    }
}

/* ---- H4: too big ---- */

static void too_big(struct beside *b)
{
    static unsigned char bytes[65537];
    unsigned char heard[WIRE_HEADER_SIZE + 8];
    struct wire wire;

    wire_meet(b, &wire, &WIRE_HONEST);
    GIVES(duct_write(b->victim, bytes, sizeof(bytes), 0, SOON), DUCT_ETOOBIG);
    beside_turn(b);
    MUST(wire_hear(&wire, heard, sizeof(heard)) == 0); /* nothing of it left */
    GIVES(duct_write(b->victim, bytes, 8, 0, SOON), DUCT_OK);
    wire_hear_all(b, &wire, heard, sizeof(heard));
    MUST(wire_frame_type(heard) == WIRE_DATA);
    beside_part(b);
    wire_close(&wire);
    /* What the peer takes holds too, where it is less than what we allow. */
    struct wire_hello modest = WIRE_HONEST;
    modest.message_max = 100;
    wire_meet(b, &wire, &modest);
    GIVES(duct_write(b->victim, bytes, 101, 0, SOON), DUCT_ETOOBIG);
    GIVES(duct_write(b->victim, bytes, 100, 0, SOON), DUCT_OK);
    beside_part(b);
    wire_close(&wire);
}

/* ---- H3, H11: memory ---- */

/* A message in parts of a byte, never complete; then one that goes on where it was complete. */
static void parts_without_end(struct beside *b)
{
    struct wire wire;
    size_t heap = beside_heap();

    wire_meet(b, &wire, &WIRE_HONEST);
    struct wire_frame part = wire_data(&wire, 1);
    part.whole = 65536;
    for (part.offset = 0; part.offset < 65535; part.offset++) {
        while (!wire_say_frame(&wire, &part, 1))
            beside_turn(b);
        if (part.offset % 64 == 0)
            beside_turn(b);
        if (part.offset % 8192 == 0)
            beside_round(b);
    }
    beside_turn(b);
    must_not_grow(heap, PIPE_HEAP_MAX + 65536);
    part.offset--; /* one of them again */
    MUST(wire_say_frame(&wire, &part, 1));
    beside_turn(b);
    hears_why(b, &wire);
    beside_ends(b, DUCT_ECORRUPT);
    wire_close(&wire);
}

enum { NOTES = 200000 };

/* Questions without end by somebody who never fetches an answer. */
static void notes_without_end(struct beside *b, uint8_t type)
{
    unsigned char bytes[WIRE_HEADER_SIZE];
    unsigned stuck = 0;
    struct wire wire;
    size_t heap = beside_heap();

    wire_meet(b, &wire, &WIRE_HONEST);
    struct wire_frame note = wire_note(&wire, type);
    for (unsigned said = 0; said < NOTES && stuck < 1000;) {
        note.tag = type == WIRE_PING ? said : 0;
        wire_put_frame(bytes, &note);
        bool went = wire_say(&wire, bytes, sizeof(bytes));
        said += went;
        stuck = went ? 0 : stuck + 1;
        if (!went || said % 512 == 0)
            beside_turn(b);
    }
    must_not_grow(heap, PIPE_HEAP_MAX);
    beside_round(b);
    beside_part(b);
    wire_close(&wire);
}

static void pings(struct beside *b)
{
    notes_without_end(b, WIRE_PING);
}

static void drains(struct beside *b)
{
    notes_without_end(b, WIRE_DRAIN);
}

/* Of questions that could not be answered at once the last is, as soon as somebody reads. */
static void last_ping(struct beside *b)
{
    unsigned char bytes[WIRE_HEADER_SIZE];
    struct wire wire;

    wire_meet(b, &wire, &WIRE_HONEST);
    struct wire_frame note = wire_note(&wire, WIRE_PING);
    for (note.tag = 1; note.tag < 50000; note.tag++) {
        wire_put_frame(bytes, &note);
        while (!wire_say(&wire, bytes, sizeof(bytes)))
            beside_turn(b);
        beside_turn(b);
    }
    for (uint64_t tag = 0; tag != note.tag - 1;) {
        wire_hear_all(b, &wire, bytes, sizeof(bytes));
        MUST(wire_frame_type(bytes) == WIRE_PONG);
        uint64_t next = 0;
        for (unsigned i = 8; i < 16; i++)
            next = next << 8 | bytes[i];
        MUST(next > tag);
        tag = next;
    }
    beside_part(b);
    wire_close(&wire);
}

/* 64 MiB: more than any two sockets and a queue hold. */
enum { REFUSALS = 100000, TAKEN_MAX = 16384 };

/* Nobody reads what we send: AGAIN, for ever, at no cost; and all that was taken arrives once somebody does. */
static void slow_reader(struct beside *b)
{
    static unsigned char bytes[4096];
    unsigned char heard[WIRE_HEADER_SIZE + sizeof(bytes)];
    unsigned taken = 0;
    struct wire wire;
    size_t heap = beside_heap();
    enum duct_err err;

    wire_meet(b, &wire, &WIRE_HONEST);
    for (unsigned refused = 0; refused < REFUSALS;) {
        err = duct_write(b->victim, bytes, sizeof(bytes), taken, 0);
        MUST(err == DUCT_OK || err == DUCT_EAGAIN);
        taken += err == DUCT_OK; /* the kernel may find room that it had not at first */
        MUST(taken < TAKEN_MAX);
        refused += err == DUCT_EAGAIN;
    }
    must_not_grow(heap, PIPE_HEAP_MAX);
    beside_round(b);
    for (unsigned i = 0; i < taken; i++) {
        wire_hear_all(b, &wire, heard, sizeof(heard));
        MUST(wire_frame_type(heard) == WIRE_DATA);
        MUST((heard[14] << 8 | heard[15]) == (int)(i & 0xffff));
    }
    GIVES(duct_write(b->victim, bytes, 8, 0, SOON), DUCT_OK);
    beside_part(b);
    wire_close(&wire);
}

/* Messages without end that our program does not take: the socket fills, and stays full, beside the honest. */
static void nobody_takes(struct beside *b)
{
    struct wire wire;
    size_t heap = beside_heap();

    wire_meet(b, &wire, &WIRE_HONEST);
    struct wire_frame frame = wire_data(&wire, 1000);
    for (unsigned stuck = 0; stuck < 100;) {
        bool went = wire_say_frame(&wire, &frame, 1000);
        frame.seq += went;
        stuck = went ? 0 : stuck + 1;
        if (!went)
            beside_turn(b);
    }
    must_not_grow(heap, PIPE_HEAP_MAX);
    for (unsigned i = 0; i < 20; i++)
        beside_round(b);
    beside_part(b);
    wire_close(&wire);
}

/* ---- H12: no descriptor left ---- */

enum { FILLERS = 512 };

/* A pipe that must wait for room would have a second descriptor for that. Without one it looks again later. */
static void waits_without_descriptor(struct beside *b)
{
    static unsigned char bytes[4096];
    unsigned char heard[65536];
    struct rlimit limit, low;
    int fillers[FILLERS];
    unsigned filled = 0;
    struct wire wire;

    wire_meet(b, &wire, &WIRE_HONEST);
    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    low = limit;
    low.rlim_cur = (rlim_t)wire.fd + 8;
    MUST(setrlimit(RLIMIT_NOFILE, &low) == 0);
    while (filled < FILLERS && (fillers[filled] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        filled++;
    MUST(filled < FILLERS);
    size_t sent = 0, got = 0;
    while (duct_write(b->victim, bytes, sizeof(bytes), 0, 0) == DUCT_OK)
        sent += WIRE_HEADER_SIZE + sizeof(bytes);
    for (unsigned i = 0; got < sent; i++) {
        MUST(i < 10000000);
        long part = wire_hear(&wire, heard, sizeof(heard));
        MUST(part >= 0);
        got += (size_t)part;
        beside_turn(b);
    }
    MUST(got == sent);
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (unsigned i = 0; i < filled; i++)
        close(fillers[i]);
    GIVES(duct_write(b->victim, bytes, 8, 0, SOON), DUCT_OK);
    beside_part(b);
    wire_close(&wire);
}

/* ---- H23 ---- */

static void close_words(struct beside *b)
{
    static const char words[] = "\x1b[31mred\a\r\n\x7f\xff\xc0\x80 end";
    unsigned char bytes[WIRE_HEADER_SIZE + 64] = {0};
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct wire wire;

    wire_meet(b, &wire, &WIRE_HONEST);
    struct wire_frame frame = wire_note(&wire, WIRE_CLOSE);
    frame.size = 8 + sizeof(words) - 1;
    wire_put_frame(bytes, &frame);
    bytes[WIRE_HEADER_SIZE + 7] = DUCT_ECLOSED;
    memcpy(bytes + WIRE_HEADER_SIZE + 8, words, sizeof(words) - 1);
    MUST(wire_say(&wire, bytes, wire_frame_bytes(bytes)));
    for (unsigned i = 0; info.end == DUCT_OK; i++) {
        MUST(i < 1000000);
        beside_turn(b);
        GIVES(duct_pipe_info(b->victim, &info), DUCT_OK);
    }
    MUST(info.end == DUCT_ECLOSED);
    MUST(strstr(info.close_text, "red") != NULL && strstr(info.close_text, "end") != NULL);
    for (const char *at = info.close_text; *at != '\0'; at++)
        MUST((unsigned char)*at >= 0x20 && (unsigned char)*at < 0x7f);
    beside_part(b);
    wire_close(&wire);
}

/* ---- Row 23: cut and reset ---- */

/* Whatever is asked of such a pipe, and in its info, are the words for what it died of. */
static void says_why(struct beside *b, bool reset)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_msg msg;

    for (unsigned i = 0; i < 2; i++) {
        GIVES(duct_recv(b->victim, &msg, SOON), DUCT_EPEER);
        GIVES(duct_pipe_info(b->victim, &info), DUCT_OK);
        /* A Unix socket knows no reset but by what was not read. */
        bool told = reset && strcmp(info.scheme, "tcp") == 0;
        MUST(strstr(duct_err_detail(), told ? "was reset" : "without a good-bye") != NULL);
        MUST(strcmp(info.close_text, duct_err_detail()) == 0);
        GIVES(duct_write(b->victim, "late", 4, 0, 0), DUCT_EPEER);
        MUST(strcmp(info.close_text, duct_err_detail()) == 0);
        (void)!duct_recv(b->victim, NULL, 0); /* other words, for now */
    }
}

static void cut_anywhere(struct beside *b)
{
    unsigned char bytes[WIRE_HEADER_SIZE + 16] = {0};

    for (size_t at = 0; at <= sizeof(bytes); at++) {
        for (unsigned reset = 0; reset < 2; reset++) {
            const struct linger hard = {.l_onoff = 1, .l_linger = 0};
            struct duct_msg msg;
            struct wire wire;
            wire_meet(b, &wire, &WIRE_HONEST);
            struct wire_frame frame = wire_data(&wire, 16);
            wire_put_frame(bytes, &frame);
            MUST(at == 0 || wire_say(&wire, bytes, at));
            if (reset)
                MUST(setsockopt(wire.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)) == 0);
            wire_close(&wire);
            enum duct_err err = duct_recv(b->victim, &msg, SOON);
            if (err == DUCT_OK) {
                /* Only what had arrived whole; a reset may have swept that away. */
                MUST(at == sizeof(bytes) && msg.size == 16);
                GIVES(duct_msg_release(&msg), DUCT_OK);
                err = duct_recv(b->victim, &msg, SOON);
            } else {
                MUST(at < sizeof(bytes) || reset);
            }
            MUST(err == DUCT_EPEER);
            says_why(b, reset);
            beside_ends(b, DUCT_EPEER);
        }
    }
}

int main(void)
{
    static const struct play plays[] = {
        {"H2 H4 frames that are wrong", PLAY_STREAMS, wrong_frames, NULL},
        {"H4 too big", PLAY_STREAMS, too_big, NULL},
        {"H11 parts without end", PLAY_STREAMS, parts_without_end, NULL},
        {"H11 pings without end", PLAY_STREAMS, pings, NULL},
        {"H11 drains without end", PLAY_STREAMS, drains, NULL},
        {"the last ping", PLAY_STREAMS, last_ping, NULL},
        {"H11 a slow reader", PLAY_STREAMS, slow_reader, NULL},
        {"H3 H11 messages nobody takes", PLAY_STREAMS, nobody_takes, NULL},
        {"H12 no descriptor to wait with", PLAY_STREAMS, waits_without_descriptor, NULL},
        {"H23 reasons to close", PLAY_STREAMS, close_words, NULL},
        {"cut and reset", PLAY_STREAMS, cut_anywhere, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
