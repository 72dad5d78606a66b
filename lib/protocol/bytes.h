/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_BYTES_H
#define DI_PROTOCOL_BYTES_H

#include <stdint.h>

/* Numbers in network byte order, at any address. */
static inline void di_put16(unsigned char *at, uint16_t value)
{
    at[0] = (unsigned char)(value >> 8);
    at[1] = (unsigned char)value;
}

static inline void di_put32(unsigned char *at, uint32_t value)
{
    di_put16(at, (uint16_t)(value >> 16));
    di_put16(at + 2, (uint16_t)value);
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
