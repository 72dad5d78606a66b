/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/payload.h"

/* What chooses among clones runs before ThreadSanitizer is ready for anything. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__SANITIZE_THREAD__)
#define PAYLOAD_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PAYLOAD_CLONES
#endif

/*
 * Static, because clang wants the attribute on the first declaration. memcpy takes the widest
 * registers there are at run time; the reader is given the same, or it would be the slower.
 */
static PAYLOAD_CLONES uint64_t consume(const void *from, size_t bytes)
{
    const unsigned char *at = from;
    uint64_t sum[32] = {0};
    size_t i = 0;

    for (; i + 256 <= bytes; i += 256) {
        uint64_t word[32];
        memcpy(word, at + i, 256);
        for (unsigned k = 0; k < 32; k++)
            sum[k] += word[k];
    }
    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        sum[0] += word;
    }
    for (unsigned k = 1; k < 32; k++)
        sum[0] += sum[k];
    return sum[0];
}

uint64_t payload_consume_large(const void *from, size_t bytes)
{
    return consume(from, bytes);
}

static PAYLOAD_CLONES void fill(void *to, size_t bytes, uint64_t seed)
{
    unsigned char *at = to;
    for (size_t i = 0; i < bytes / 8; i++) {
        uint64_t word = seed + i;
        memcpy(at + 8 * i, &word, 8);
    }
}

void payload_fill_large(void *to, size_t bytes, uint64_t seed)
{
    fill(to, bytes, seed);
}
