/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/durable/ledger.h"

#include <string.h>

/* Relaxed, throughout: one process writes each array, and the next one begins after it was reaped. */
#define get(from)     atomic_load_explicit((from), memory_order_relaxed)
#define set(to, what) atomic_store_explicit((to), (what), memory_order_relaxed)

static uint64_t scramble(uint64_t x)
{
    x ^= x >> 30;
    x *= 0xbf58476d1ce4e5b9u;
    x ^= x >> 27;
    x *= 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint32_t message_size(uint64_t number)
{
    uint32_t kind = (uint32_t)(scramble(number + 1) % 8);

    /* Most travel in the ring, in one slot or in several; some in a block. */
    return kind < 4   ? 8
           : kind < 7 ? 8 * (uint32_t)(1 + scramble(number) % 26)
                      : 8 * (uint32_t)(30 + scramble(number) % 470);
}

void message_fill(void *data, uint64_t number)
{
    uint32_t words = message_size(number) / 8;

    for (uint32_t i = 0; i < words; i++) {
        uint64_t word = i == 0 ? number : scramble(number * 1000003 + i);
        memcpy((char *)data + 8 * (size_t)i, &word, 8);
    }
}

uint64_t message_check(const void *data, size_t size)
{
    unsigned char expected[MESSAGE_MAX];
    uint64_t number;

    if (size < 8 || size > sizeof(expected))
        return UINT64_MAX;
    memcpy(&number, data, 8);
    if (number >= LEDGER_MAX || message_size(number) != size)
        return UINT64_MAX;
    message_fill(expected, number);
    return memcmp(expected, data, size) == 0 ? number : UINT64_MAX;
}

const char *ledger_received(struct ledger *ledger, uint64_t *last, uint64_t number, bool again)
{
    uint64_t first = *last + 1;

    if (number == UINT64_MAX)
        return "torn";
    if (number >= get(&ledger->next))
        return "never sent";
    if (*last != UINT64_MAX && number <= *last)
        return "out of order";
    if (get(&ledger->released[number]) == 2)
        return "delivered again after its release had returned";
    if (get(&ledger->seen[number]) && !again)
        return "delivered again without the mark";
    for (uint64_t n = first; n < number; n++) {
        if (get(&ledger->sent[n]) && !get(&ledger->released[n]))
            return "delivered before an earlier one";
    }
    *last = number;
    set(&ledger->seen[number], 1);
    if (again)
        set(&ledger->redelivered, get(&ledger->redelivered) + 1);
    return NULL;
}

void ledger_releasing(struct ledger *ledger, uint64_t number)
{
    set(&ledger->released[number], 1);
}

void ledger_released(struct ledger *ledger, uint64_t number)
{
    set(&ledger->released[number], 2);
}

uint64_t ledger_open(struct ledger *ledger)
{
    uint64_t open = 0;

    for (uint64_t n = 0; n < get(&ledger->next); n++)
        open += get(&ledger->sent[n]) && !get(&ledger->released[n]);
    return open;
}
