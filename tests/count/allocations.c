/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap allocations per message: none, once each way has been gone once. The linker hands every call
 * of the allocator in the library to the counters below (--wrap).
 */
#include <stdatomic.h>
#include <string.h>

#include "tests/count/pair.h"

static _Atomic unsigned long calls;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);

void *__wrap_malloc(size_t size)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t align, size_t size)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    return __real_aligned_alloc(align, size);
}

static void exchange(struct pair *pair, unsigned i)
{
    struct duct_pipe *from = pair->pipes[i % 2], *to = pair->pipes[1 - i % 2];
    static unsigned char bytes[2][3000];
    struct duct_view views[2] = {{bytes[0], i % 200, 1}, {bytes[1], i % 3000, 2}};
    struct duct_buffer buffers[2] = {{bytes[0], 3000, 0, 0}, {bytes[1], 3000, 0, 0}};
    struct duct_msg out, in, held[2];
    size_t done, size;

    MUST(duct_msg_loan(from, i % 3000, &out) == DUCT_OK);
    MUST(duct_send(from, &out, SOON) == DUCT_OK);
    MUST(duct_recv(to, &in, SOON) == DUCT_OK);
    MUST(duct_msg_release(&in) == DUCT_OK);
    MUST(duct_write(from, bytes[0], i % 3000, 1, SOON) == DUCT_OK);
    MUST(duct_read(to, bytes[1], 3000, &size, NULL, SOON) == DUCT_OK);
    MUST(duct_write_batch(from, views, 2, &done, SOON) == DUCT_OK && done == 2);
    MUST(duct_read_batch(to, buffers, 2, &done, SOON) == DUCT_OK && done == 2);
    MUST(duct_write_batch(from, views, 2, &done, SOON) == DUCT_OK && done == 2);
    MUST(duct_recv_batch(to, held, 2, &done, SOON) == DUCT_OK && done == 2);
    MUST(duct_msg_release(&held[0]) == DUCT_OK && duct_msg_release(&held[1]) == DUCT_OK);
    /* What fails, or waits, allocates no more than what succeeds. */
    MUST(duct_recv(to, &in, 0) == DUCT_EAGAIN);
    if (i % 16 == 0)
        MUST(duct_recv(to, &in, DUCT_MICROSECOND) == DUCT_ETIMEOUT);
    MUST(duct_msg_loan(from, 1 << 20, &out) == DUCT_ETOOBIG);
}

int main(void)
{
    static const char *ways[] = {"wait=park", "wait=spin", "bell=socket&wait=park"};
    int result = 0;

    for (unsigned w = 0; w < 3; w++) {
        struct pair pair;
        pair_open(&pair, DUCT_IO_AUTO, ways[w]);
        MUST(atomic_load_explicit(&calls, memory_order_relaxed) > 0);
        for (unsigned i = 0; i < 64; i++)
            exchange(&pair, i);
        unsigned long before = atomic_load_explicit(&calls, memory_order_relaxed);
        for (unsigned i = 0; i < 6000; i++)
            exchange(&pair, i);
        unsigned long made = atomic_load_explicit(&calls, memory_order_relaxed) - before;
        printf("%s: %lu allocations in 6000 rounds\n", ways[w], made);
        result |= made != 0;
        pair_close(&pair);
    }
    return result;
}
