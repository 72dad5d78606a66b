/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/wire_meet.h"

#include <string.h>

/* A hang, that is. */
enum { TURNS_MAX = 10000000 };

void wire_hear_all(struct beside *b, struct wire *wire, unsigned char *bytes, size_t size)
{
    size_t there = 0;

    for (unsigned i = 0; there < size; i++) {
        long got = wire_hear(wire, bytes + there, size - there);
        MUST(got >= 0 && i < TURNS_MAX);
        there += (size_t)got;
        beside_turn(b);
    }
}

void wire_ends(struct beside *b, struct wire *wire)
{
    unsigned char bytes[4096];

    for (unsigned i = 0; wire_hear(wire, bytes, sizeof(bytes)) >= 0; i++) {
        MUST(i < TURNS_MAX);
        beside_turn(b);
    }
}

void wire_refused(struct beside *b, struct wire *wire, uint32_t code, char *text)
{
    unsigned char bytes[512];

    wire_hear_all(b, wire, bytes, 12);
    MUST(wire_kind(bytes) == WIRE_REFUSE);
    MUST(wire_code(bytes) == code);
    size_t size = ((size_t)bytes[6] << 8 | bytes[7]) - 12;
    MUST(size > 10 && size <= 192);
    wire_hear_all(b, wire, bytes, size);
    if (text != NULL) {
        memcpy(text, bytes, size);
        text[size] = '\0';
    }
    wire_ends(b, wire);
}

void wire_meet(struct beside *b, struct wire *wire, const struct wire_hello *hello)
{
    unsigned char bytes[WIRE_HELLO_SIZE];

    wire_connect(wire, b->path);
    MUST(wire_say(wire, bytes, wire_put_hello(bytes, hello)));
    wire_hear_all(b, wire, bytes, WIRE_HELLO_SIZE);
    MUST(wire_kind(bytes) == WIRE_HELLO);
    MUST(wire_say(wire, bytes, wire_put_ready(bytes, wire->session)));
    GIVES(duct_accept(b->listener, &b->victim, SOON), DUCT_OK);
}
