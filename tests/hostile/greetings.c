/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte streams, before there is a pipe. Strangers that are no duct peers are closed without an answer, counted, and
 * fill no log (H11, H13); versions and capabilities that nobody knows are refused with a reason (H17); dialers that take
 * their time cost bounded memory and keep nobody else out (H13); a listener that is full, and a process without
 * descriptors, say so and go on (H12, H18).
 */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/hostile/wire_meet.h"

static unsigned lines;

static void count_line(void *user, enum duct_log_level level, const char *line)
{
    (void)user;
    (void)level;
    MUST(strstr(line, "127.0.0.1") != NULL || strstr(line, "process ") != NULL);
    lines++;
}

/* ---- Strangers ---- */

static void stranger(struct beside *b, const void *bytes, size_t size)
{
    uint64_t before = duct_listener_refused(b->listener);
    struct wire wire;
    char heard;

    wire_connect(&wire, b->path);
    MUST(wire_say(&wire, bytes, size));
    beside_refused(b, before);
    for (unsigned i = 0; wire_hear(&wire, &heard, 1) >= 0; i++) {
        MUST(i < 100000);
        MUST(wire_hear(&wire, &heard, 1) <= 0); /* nothing is answered */
        beside_turn(b);
    }
    wire_close(&wire);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void strangers(struct beside *b)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: example\r\n\r\n", ssh[] = "SSH-2.0-x\r\n";
    static const unsigned char tls[] = {0x16, 3, 1, 0, 0xc8, 1, 0, 0, 0xc4, 3, 3};
    static const unsigned char zeros[64], almost[] = {'d', 'u', 'c', 'T', 0, 1, 0, 40};
    unsigned char noise[600];
    uint64_t random = 0x9e3779b97f4a7c15;

    lines = 0;
    duct_log_set(count_line, NULL, DUCT_LOG_INFO);
    stranger(b, http, sizeof(http) - 1);
    stranger(b, ssh, sizeof(ssh) - 1);
    stranger(b, tls, sizeof(tls));
    stranger(b, zeros, sizeof(zeros));
    stranger(b, almost, sizeof(almost));
    for (unsigned i = 0; i < 200; i++) {
        for (size_t k = 0; k < sizeof(noise); k++)
            noise[k] = (unsigned char)next_random(&random);
        noise[0] = noise[0] == 'd' ? 'D' : noise[0];
        stranger(b, noise, 1 + i * 3 % sizeof(noise));
    }
    duct_log_set(NULL, NULL, DUCT_LOG_ERROR);
    MUST(lines == 1);
}

/* With the right magic, and wrong from there on: told why. */
static void nonsense(struct beside *b)
{
    static const unsigned char firsts[][16] = {
        {'d', 'u', 'c', 't', 0, 0, 0, 16}, /* no kind */
        {'d', 'u', 'c', 't', 0, 9, 0, 16}, /* an unknown one */
        {'d', 'u', 'c', 't', 0, 2, 0, 16}, /* READY, out of turn */
        {'d', 'u', 'c', 't', 0, 1, 0, 16}, /* HELLO, too short */
        {'d', 'u', 'c', 't', 0, 1, 0, 7},  /* no size */
        {'d', 'u', 'c', 't', 0, 1, 2, 1},  /* above the largest */
        {'d', 'u', 'c', 't', 0, 1, 0xff, 0xff},
    };

    for (unsigned i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
        struct wire wire;
        wire_connect(&wire, b->path);
        MUST(wire_say(&wire, firsts[i], sizeof(firsts[i])));
        wire_refused(b, &wire, DUCT_ECORRUPT, NULL);
        wire_close(&wire);
    }
}

/* ---- H17 ---- */

static void refused_hello(struct beside *b, const struct wire_hello *hello, uint32_t code,
                          char *text)
{
    unsigned char bytes[WIRE_HELLO_SIZE];
    struct wire wire;

    wire_connect(&wire, b->path);
    MUST(wire_say(&wire, bytes, wire_put_hello(bytes, hello)));
    wire_refused(b, &wire, code, text);
    wire_close(&wire);
}

static void unknown(struct beside *b)
{
    static const uint16_t versions[][2] = {{0, 0}, {2, 2}, {7, 9}, {2, 65535}, {65535, 65535}};
    char text[200], expected[32];

    for (unsigned i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct wire_hello hello = WIRE_HONEST;
        hello.version_min = versions[i][0];
        hello.version_max = versions[i][1];
        refused_hello(b, &hello, DUCT_EVERSION, text);
        snprintf(expected, sizeof(expected), "%u to %u", hello.version_min, hello.version_max);
        MUST(strstr(text, expected) != NULL && strstr(text, "1 to 1") != NULL);
    }
    for (unsigned bit = 8; bit < 32; bit++) {
        struct wire_hello hello = WIRE_HONEST;
        hello.needs = 1u << bit;
        refused_hello(b, &hello, DUCT_ENOTSUP, text);
        snprintf(expected, sizeof(expected), "%#x", hello.needs);
        MUST(strstr(text, expected) != NULL);
    }
    for (unsigned i = 0; i < 4; i++) {
        struct wire_hello hello = WIRE_HONEST;
        hello.frame_max = i == 0 ? 1023 : hello.frame_max;
        hello.message_max = i == 1 ? 0 : hello.message_max;
        hello.session = i == 2 ? 0 : hello.session;
        hello.version_min = i == 3 ? 2 : hello.version_min;
        refused_hello(b, &hello, DUCT_ECORRUPT, NULL);
    }
    /* What somebody has that nobody knows does no harm. */
    struct wire_hello rich = WIRE_HONEST;
    struct wire wire;
    rich.has = 0xffffff00;
    wire_meet(b, &wire, &rich);
    wire_close(&wire);
    beside_part(b);
}

/* ---- H13: slow dialers ---- */

enum { SLOW = 1500, HALF_OPEN = 1024, EACH_MAX = 4096 };

static const unsigned char half_hello[] = {'d', 'u', 'c', 't', 0, 1, 0, 40, 0, 1};

static struct wire *crowd(struct beside *b)
{
    struct wire *all = calloc(SLOW, sizeof(*all));

    MUST(all != NULL);
    beside_raise_limit();
    for (unsigned i = 0; i < SLOW; i++) {
        wire_connect(&all[i], b->path);
        MUST(wire_say(&all[i], half_hello, 1 + i % sizeof(half_hello)));
        if (i % 16 == 0)
            beside_turn(b);
    }
    return all;
}

static void disperse(struct beside *b, struct wire *all)
{
    for (unsigned i = 0; i < SLOW; i++)
        wire_close(&all[i]);
    for (unsigned i = 0; i < 3 * HALF_OPEN; i++)
        beside_turn(b);
    free(all);
}

static void until_away(struct beside *b, uint64_t count)
{
    for (unsigned i = 0; duct_listener_refused(b->listener) < count; i++) {
        MUST(i < 10000000);
        beside_turn(b);
    }
}

static void slow_for_ever(struct beside *b)
{
    uint64_t before = duct_listener_refused(b->listener);
    size_t heap = beside_heap();
    struct wire *all = crowd(b);

    until_away(b, before + SLOW - HALF_OPEN);
    size_t grown = beside_heap() > heap ? beside_heap() - heap : 0;
    MUST(grown < HALF_OPEN * EACH_MAX + SLOW * sizeof(struct wire) + 65536);
    beside_honest_dial(b);
    beside_round(b);
    disperse(b, all);
}

/* Their time is over, one after the other; nothing of them stays. */
static void slow_and_late(struct beside *b)
{
    uint64_t before = duct_listener_refused(b->listener);
    struct wire *all = crowd(b);

    until_away(b, before + SLOW);
    beside_honest_dial(b);
    for (unsigned i = 0; i < SLOW; i++)
        wire_ends(b, &all[i]);
    disperse(b, all);
}

/* Slow, but honest: a byte at a time. */
static void byte_by_byte(struct beside *b)
{
    unsigned char bytes[WIRE_HELLO_SIZE];
    struct wire wire;

    wire_connect(&wire, b->path);
    size_t size = wire_put_hello(bytes, &WIRE_HONEST);
    for (size_t i = 0; i < size; i++) {
        MUST(wire_say(&wire, bytes + i, 1));
        beside_turn(b);
    }
    wire_hear_all(b, &wire, bytes, WIRE_HELLO_SIZE);
    size = wire_put_ready(bytes, wire.session);
    for (size_t i = 0; i < size; i++) {
        MUST(wire_say(&wire, bytes + i, 1));
        beside_turn(b);
    }
    GIVES(duct_accept(b->listener, &b->victim, SOON), DUCT_OK);
    wire_close(&wire);
    beside_part(b);
}

/* ---- Limits ---- */

/* The eight honest pipes, and one. */
static void full(struct beside *b)
{
    unsigned char bytes[WIRE_HELLO_SIZE];
    struct wire last, half;
    char text[200];

    for (unsigned round = 0; round < 3; round++) {
        wire_meet(b, &last, &WIRE_HONEST);
        uint64_t before = duct_listener_refused(b->listener);
        refused_hello(b, &WIRE_HONEST, DUCT_ELIMIT, text);
        MUST(strstr(text, "option pipes") != NULL && strstr(text, "9") != NULL);
        MUST(duct_listener_refused(b->listener) == before + 1);
        beside_round(b);
        wire_close(&last);
        beside_part(b);
        /* The place is taken by a handshake as soon as it was answered, and free again when that comes to nothing. */
        wire_connect(&half, b->path);
        MUST(wire_say(&half, bytes, wire_put_hello(bytes, &WIRE_HONEST)));
        wire_hear_all(b, &half, bytes, WIRE_HELLO_SIZE);
        refused_hello(b, &WIRE_HONEST, DUCT_ELIMIT, NULL);
        before = duct_listener_refused(b->listener);
        wire_close(&half);
        beside_refused(b, before);
    }
}

/* The limit holds from the start: a kernel that accepts by itself goes by the one of the time when it was asked to. */
enum { SHORT = 20, FILLERS = 8192 };

/* No descriptor is left: who dials is hung up on, and everybody else goes on. */
static void no_descriptors(struct beside *b)
{
    uint64_t before = duct_listener_refused(b->listener);
    struct wire wires[SHORT];
    int fillers[FILLERS];
    unsigned filled = 0;

    for (unsigned i = 0; i < SHORT; i++)
        wire_connect(&wires[i], b->path);
    while (filled < FILLERS && (fillers[filled] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        filled++;
    MUST(filled < FILLERS);
    until_away(b, before + SHORT);
    for (unsigned i = 0; i < SHORT; i++)
        wire_ends(b, &wires[i]);
    beside_round(b);
    for (unsigned i = 0; i < filled; i++)
        close(fillers[i]);
    for (unsigned i = 0; i < SHORT; i++)
        wire_close(&wires[i]);
    beside_honest_dial(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"strangers", PLAY_STREAMS, strangers, NULL},
        {"nonsense", PLAY_STREAMS, nonsense, NULL},
        {"H17 what nobody knows", PLAY_STREAMS, unknown, NULL},
        {"H13 slow dialers", PLAY_STREAMS, slow_for_ever, "handshake=3600s&backlog=4096"},
        {"H13 slow dialers, in time", PLAY_STREAMS, slow_and_late, "handshake=50ms&backlog=4096"},
        {"byte by byte", PLAY_STREAMS, byte_by_byte, NULL},
        {"a full listener", PLAY_STREAMS, full, "pipes=9"},
        {"H12 no descriptor left", PLAY_STREAMS, no_descriptors, NULL},
    };

    beside_raise_limit();
    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
