/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_BYTES_H
#define DI_PROTOCOL_BYTES_H

#include <stdint.h>
#include <string.h>

/* Numbers in network byte order, at any address. Each is put as a whole: byte by byte a compiler must assume that what is
 * put changes what is put next, and makes 40 stores of a frame's header. */
static inline void di_put16(unsigned char *at, uint16_t value)
{
    const unsigned char bytes[] = {(unsigned char)(value >> 8), (unsigned char)value};

    memcpy(at, bytes, sizeof(bytes));
}

static inline void di_put32(unsigned char *at, uint32_t value)
{
    const unsigned char bytes[] = {(unsigned char)(value >> 24), (unsigned char)(value >> 16),
                                   (unsigned char)(value >> 8), (unsigned char)value};

    memcpy(at, bytes, sizeof(bytes));
}

static inline void di_put64(unsigned char *at, uint64_t value)
{
    di_put32(at, (uint32_t)(value >> 32));
    di_put32(at + 4, (uint32_t)value);
}

static inline uint16_t di_get16(const unsigned char *at)
{
    return (uint16_t)((unsigned)at[0] << 8 | at[1]);
}

static inline uint32_t di_get32(const unsigned char *at)
{
    return (uint32_t)di_get16(at) << 16 | di_get16(at + 2);
}

static inline uint64_t di_get64(const unsigned char *at)
{
    return (uint64_t)di_get32(at) << 32 | di_get32(at + 4);
}

#endif
