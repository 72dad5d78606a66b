/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_COPY_H
#define DI_SHM_COPY_H

#include <stddef.h>
#include <string.h>

/*
 * Copies up to 64 bytes without a call: two loads and two stores of a fixed width that overlap in
 * the middle. A memcpy() of variable size costs a call and a jump, which is a third of the price of
 * a small message.
 */
static inline void di_copy_small(void *to, const void *from, size_t size)
{
    unsigned char *out = to;
    const unsigned char *in = from;

#define DI_COPY_OVERLAPPED(width)                \
    do {                                         \
        unsigned char first[width], last[width]; \
        memcpy(first, in, width);                \
        memcpy(last, in + size - width, width);  \
        memcpy(out, first, width);               \
        memcpy(out + size - width, last, width); \
    } while (0)

    if (size >= 32)
        DI_COPY_OVERLAPPED(32);
    else if (size >= 16)
        DI_COPY_OVERLAPPED(16);
    else if (size >= 8)
        DI_COPY_OVERLAPPED(8);
    else if (size >= 4)
        DI_COPY_OVERLAPPED(4);
    else if (size >= 2)
        DI_COPY_OVERLAPPED(2);
    else if (size == 1)
        *out = *in;
#undef DI_COPY_OVERLAPPED
}

#endif
