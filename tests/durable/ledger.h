/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_DURABLE_LEDGER_H
#define TEST_DURABLE_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What was done with each message of one direction, in memory that outlives the processes that did it: the
 * witness against which a durable pipe is judged. Messages are numbered from 0, each number used once.
 */
#define LEDGER_MAX (1u << 20)

struct ledger {
    _Atomic uint64_t next;                /* numbers drawn, each before its send */
    _Atomic uint64_t redelivered;         /* messages that came with the mark */
    _Atomic uint8_t sent[LEDGER_MAX];     /* its send returned OK */
    _Atomic uint8_t seen[LEDGER_MAX];     /* its receive returned */
    _Atomic uint8_t released[LEDGER_MAX]; /* 1: its release was called; 2: and returned */
};

/* A message of that number: its size, and its content, which says which it is. */
#define MESSAGE_MAX 4000u
uint32_t message_size(uint64_t number);
void message_fill(void *data, uint64_t number);
/* The number of a message, or UINT64_MAX if it is torn. */
uint64_t message_check(const void *data, size_t size);

/*
 * A receiver of one life got number; the one before it was *last (UINT64_MAX: none). NULL, or what is
 * wrong.
 */
const char *ledger_received(struct ledger *ledger, uint64_t *last, uint64_t number, bool again);
void ledger_releasing(struct ledger *ledger, uint64_t number); /* before the call */
void ledger_released(struct ledger *ledger, uint64_t number);  /* and after it */

/* Messages that were sent and not released: where the call was begun it may have been done. */
uint64_t ledger_open(struct ledger *ledger);

#endif
