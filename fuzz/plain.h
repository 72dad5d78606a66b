/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_FUZZ_PLAIN_H
#define DI_FUZZ_PLAIN_H

#include "fuzz/input.h"

/*
 * Whether text is UTF-8 without control characters, by a decoder that shares nothing with the one
 * under test: it computes the code point and asks whether this is its shortest form.
 */
static inline bool plain_text(const char *text, size_t size)
{
    static const uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *p = (const uint8_t *)text;

    for (size_t at = 0; at < size;) {
        size_t length = p[at] < 0x80 ? 1 : p[at] < 0xe0 ? 2 : p[at] < 0xf0 ? 3 : 4;
        uint32_t code = length == 1 ? p[at] : p[at] & (0xffu >> (length + 1));

        if ((p[at] >= 0x80 && p[at] < 0xc0) || p[at] >= 0xf8 || length > size - at)
            return false;
        for (size_t i = 1; i < length; i++) {
            if ((p[at + i] & 0xc0) != 0x80)
                return false;
            code = code << 6 | (p[at + i] & 0x3f);
        }
        if (length > 1 && (code < shortest[length] || code > 0x10ffff))
            return false;
        if ((code >= 0xd800 && code < 0xe000) || code < 0x20 || (code >= 0x7f && code < 0xa0))
            return false;
        at += length;
    }
    return true;
}

#endif
