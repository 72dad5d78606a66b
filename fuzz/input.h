/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_FUZZ_INPUT_H
#define DI_FUZZ_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What the fuzzer gives, taken from the front piece by piece. Past the end everything is 0, so that
 * an input cut short still means something.
 */
struct input {
    const uint8_t *at;
    size_t left;
};

static inline void input_bytes(struct input *in, void *to, size_t size)
{
    size_t here = size < in->left ? size : in->left;

    if (size == 0)
        return;
    memset(to, 0, size);
    if (here > 0)
        memcpy(to, in->at, here);
    in->at += here;
    in->left -= here;
}

static inline uint8_t input_byte(struct input *in)
{
    uint8_t value;

    input_bytes(in, &value, sizeof(value));
    return value;
}

static inline uint16_t input_u16(struct input *in)
{
    uint16_t value;

    input_bytes(in, &value, sizeof(value));
    return value;
}

static inline uint32_t input_u32(struct input *in)
{
    uint32_t value;

    input_bytes(in, &value, sizeof(value));
    return value;
}

static inline uint64_t input_u64(struct input *in)
{
    uint64_t value;

    input_bytes(in, &value, sizeof(value));
    return value;
}

/* A copy of the rest of exactly its size, so that a read past the end is seen. Never NULL; to be
 * freed. */
static inline uint8_t *input_rest(struct input *in, size_t *size)
{
    uint8_t *copy = malloc(in->left > 0 ? in->left : 1);

    if (copy == NULL)
        abort();
    *size = in->left;
    input_bytes(in, copy, in->left);
    return copy;
}

/* A promise that was broken: a finding, whether or not a sanitizer is there. */
#define FUZZ_CHECK(condition)                                                       \
    do {                                                                            \
        if (!(condition)) {                                                         \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                                \
        }                                                                           \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
