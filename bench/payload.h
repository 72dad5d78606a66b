/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every case does with a payload, baseline and subject alike: each byte is written, each byte
 * is read. Both are done in 64-bit words, so sizes are multiples of eight.
 *
 * The sum is the proof: a case hands the total to bench_check(), so the compiler cannot drop a read
 * and a ring that loses or repeats a message is caught.
 */
#ifndef BENCH_PAYLOAD_H
#define BENCH_PAYLOAD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* From here the widest vectors of the machine at hand are worth a call. */
enum { PAYLOAD_LARGE = 512 };

/* Tells the CPU that this is a wait, not work. */
static inline void payload_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__("" ::: "memory");
#endif
}

/* Writes every word in place: for a sender that builds its message where it will be read. */
static inline void payload_fill(void *to, size_t bytes, uint64_t seed)
{
    unsigned char *at = to;
    for (size_t i = 0; i < bytes / 8; i++) {
        uint64_t word = seed + i;
        memcpy(at + 8 * i, &word, 8);
    }
}

/* The same as payload_fill(), for when a call is small beside the bytes. */
void payload_fill_large(void *to, size_t bytes, uint64_t seed);

static inline void payload_fill_any(void *to, size_t bytes, uint64_t seed)
{
    if (bytes >= PAYLOAD_LARGE)
        payload_fill_large(to, bytes, seed);
    else
        payload_fill(to, bytes, seed);
}

/* The same as payload_consume(), for when a call is small beside the bytes. */
uint64_t payload_consume_large(const void *from, size_t bytes);

/*
 * Reads every word and returns their sum. Eight independent sums per step keep several loads in
 * flight; the compiler turns them into vectors. memcpy of one word is a plain load, and says that
 * alignment and type do not matter.
 */
static inline uint64_t payload_consume(const void *from, size_t bytes)
{
    const unsigned char *at = from;
    uint64_t sum[8] = {0};
    size_t i = 0;

    if (bytes >= PAYLOAD_LARGE)
        return payload_consume_large(from, bytes);
    for (; i + 64 <= bytes; i += 64) {
        uint64_t word[8];
        memcpy(word, at + i, 64);
        for (unsigned k = 0; k < 8; k++)
            sum[k] += word[k];
    }
    for (; i + 8 <= bytes; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        sum[0] += word;
    }
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* What messages 1 .. total sum up to, each filled with its number as seed. */
static inline uint64_t payload_sum(size_t size, uint64_t total)
{
    uint64_t words = size / 8;
    return words * (total * (total + 1) / 2) + total * (words * (words - 1) / 2);
}

/*
 * Makes the compiler believe that all memory is looked at here. No outputs, so it is never removed.
 */
static inline void payload_observe(const void *at)
{
    __asm__("" : : "r"(at) : "memory");
}

#endif
