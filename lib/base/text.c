/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <string.h>

#include "lib/base/error.h"

/*
 * Text of a peer goes to terminals and log files, where a control character is a command. What is
 * not plainly readable is spelt out, byte by byte.
 */

static int is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/*
 * Length of the well-formed UTF-8 character at p, of which left bytes may be looked at, or 0. The
 * second byte's range excludes overlong forms, surrogates and what is above U+10FFFF (Unicode 15,
 * table 3-7).
 */
static size_t utf8_length(const uint8_t *p, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t length;
    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) {
        length = 2;
    } else if (p[0] >= 0xe0 && p[0] <= 0xef) {
        length = 3;
        low = p[0] == 0xe0 ? 0xa0 : low;
        high = p[0] == 0xed ? 0x9f : high;
    } else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
        length = 4;
        low = p[0] == 0xf0 ? 0x90 : low;
        high = p[0] == 0xf4 ? 0x8f : high;
    } else {
        return 0;
    }
    if (left < length || p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (!is_continuation(p[i]))
            return 0;
    return length;
}

static int is_control(const uint8_t *p, size_t length)
{
    if (length == 1)
        return p[0] < 0x20 || p[0] == 0x7f;
    return length == 2 && p[0] == 0xc2 && p[1] < 0xa0; /* C1: U+0080 to U+009F */
}

size_t di_text_clean(char *out, size_t capacity, const void *text, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = text;
    size_t used = 0;
    if (capacity == 0)
        return 0;
    for (size_t at = 0; at < size;) {
        size_t length = utf8_length(in + at, size - at);
        int plain = length != 0 && !is_control(in + at, length);
        size_t taken = length == 0 ? 1 : length;
        size_t needed = plain ? taken : 4 * taken; /* \xNN for each byte */
        if (needed > capacity - 1 - used)
            break;
        if (plain)
            memcpy(out + used, in + at, taken);
        for (size_t i = 0; !plain && i < taken; i++) {
            char *escape = out + used + 4 * i;
            escape[0] = '\\';
            escape[1] = 'x';
            escape[2] = digits[in[at + i] >> 4];
            escape[3] = digits[in[at + i] & 15];
        }
        used += needed;
        at += taken;
    }
    out[used] = '\0';
    return used;
}
