/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TEST_SHM_DURABLE_BOOK_H
#define TEST_SHM_DURABLE_BOOK_H

#include <stdint.h>

#include "shm/durable_scan.h"

/* Outboxes of durable pipes in memory, made by hand, to be looked through. */
struct book {
    _Alignas(DI_PAGE) unsigned char bytes[16 * DI_PAGE];
    struct di_geometry geometry;
};

#define BOOK_SLOTS 8u
#define BOOK_MARKS 16u

/* An outbox of BOOK_SLOTS slots with nothing in it, whose positions begin at start. */
void book_make(struct book *book, enum di_end end, uint64_t id, uint64_t start);
/* Binds it, as a receiver, to another. */
void book_bind(struct book *book, uint64_t id, uint64_t start);

struct di_slot *book_slot(struct book *book, uint64_t position);
/* Puts a message as a sender would; returns the position after it. */
uint64_t book_put(struct book *book, uint64_t position, uint32_t size, uint32_t block);
void book_release(struct book *book, uint64_t low, uint64_t received);
_Atomic uint64_t *book_mark(struct book *book, uint64_t position);

/* A checked copy. */
enum duct_err book_copy(struct di_durable_copy *copy, const struct book *book);

#endif
