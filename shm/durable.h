/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DURABLE_H
#define DI_SHM_DURABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <duct/message.h>

#include "shm/durable_end.h"
#include "shm/receiver.h"
#include "shm/sender.h"

/*
 * The lanes of a durable pipe: a sender and a receiver over files, that go on where a dead process stopped.
 *
 * What makes it work at any instruction of death:
 *
 *   One writer per byte stays. What is undelivered stands in the sender's ring; what has come, and what
 *   was released, in the receiver's outbox. Nothing else is kept: all books are made anew from these.
 *
 *   A slot, and the block that it names, is used again only when the low-water mark has passed it: all
 *   messages below were released. So between that mark and the first slot without its stamp lies, whole,
 *   whatever was not released; the blocks named there are with the peer, all others are free. The return
 *   ring is not needed.
 *
 *   A message is published by its stamp, stored last. It is received when `received` has passed it,
 *   which is stored before the application gets it: what is found below `received` after a death is
 *   marked REDELIVERED. It is released when its mark is stored, which is before the release returns, or
 *   when the low-water mark has passed it: then it never comes again. Marks allow any order of release;
 *   low-water follows them, not past a block that its owner has yet to be given back by another thread, and a
 *   mark's place is used again only when it has passed it.
 *
 *   A death is a point between two stores of its process, as the compiler put them, and stores that were
 *   done stay: hence release stores, where the order matters, and no flushing. That is also why the
 *   pipe survives its processes, and not a crash of the machine.
 *
 * Edges of this file, with those of ring.h and durable_end.h:
 *   [mark]   a releaser's reads, mark stored with release | mark loaded with acquire by the receiver's
 *            thread, which then moves low-water
 *   [space]  consumed (low-water) stored with release     | loaded with acquire by the sender
 *   [slot]   stamp, as in ring.h
 *   [bind]   as in durable_end.h
 *   [refs]   a user's last touch, count lowered           | count seen to be zero, files let go
 *   [death]  a store that must be done before those after it | the next owner, by way of the kernel
 */
struct di_durable_out {
    struct di_sender sender; /* first */
    _Alignas(8) uint64_t
        limit_from;            /* the ring's `consumed`: what has been taken back into the books */
    uint64_t nothing_returned; /* the return ring's count: always 0 */
    bool bound;                /* the other end has bound itself to this one */
};

struct di_durable_in {
    struct di_receiver receiver; /* first */
    _Atomic uint64_t *marks;
    uint64_t mask;
    _Atomic uint64_t *low_shown; /* in the outbox */
    _Atomic uint64_t *received;  /* in the outbox */
    uint64_t low;                /* all below was released */
    uint64_t seen_before;        /* all below was received before a death */
    uint8_t *spans;              /* slots of the message at a position, by position & mask */
    uint64_t *cell_at;           /* position of the message that is in a cell, or a block */
    uint64_t *block_at;
    const struct di_arrived *
        *block_of; /* by position & mask: the block it was received in, or NULL */
    /* Where the receiver publishes what a durable pipe does not use. */
    _Atomic uint64_t consumed_unused;
    _Atomic uint64_t returned_unused;
    _Atomic uint64_t returns_unused[8];
};

struct di_durable {
    struct di_durable_out out;
    struct di_durable_in in; /* only once met */
    struct di_durable_end end;
    bool met; /* `in` is there */
    _Atomic int refs;
};

/* Opens the end, and its sender; its receiver too if the other end's files are there. cells_max: small
 * messages on loan at a time. Errors: those of di_durable_end_open(). */
enum duct_err di_durable_open(struct di_durable **durable,
                              const struct di_durable_asks *asks) DUCT_NODISCARD;

/*
 * Looks for the other end's files, if they are not known: from then on there is a receiver. post: see
 * struct di_receiver. True in met if they are there.
 */
enum duct_err di_durable_meet(struct di_durable *durable) DUCT_NODISCARD;

/* The owner closes in order: see di_durable_end_finish(). Nothing is sent any more. */
void di_durable_finish(struct di_durable *durable, uint32_t code);

/* The owner is done with it. The files are let go when the last message held has been released. */
void di_durable_close(struct di_durable *durable);

/* A control socket is there, or (-1) not any more: doorbells go there. */
void di_durable_set_socket(struct di_durable *durable, int socket);

/* Takes back what the other end released: slots and blocks. *more: there was something. CORRUPT. */
enum duct_err di_durable_reclaim(struct di_durable *durable, bool *more) DUCT_NODISCARD;

/* As di_receiver_recv() and di_receiver_read(). AGAIN if not met. LIMIT: as many are held as there are
 * marks. read releases what it read. */
enum duct_err di_durable_recv(struct di_durable *durable, struct duct_msg *msg);
enum duct_err di_durable_read(struct di_durable *durable, void *data, size_t capacity, size_t *size,
                              uint64_t *tag);

/* Whether a receive would not return AGAIN. */
bool di_durable_ready(struct di_durable *durable);

/* Takes in what other threads released, and shows the other end. */
void di_durable_collect(struct di_durable *durable);

/* Parts of the above, in durable_in.c. */
enum duct_err di_durable_in_init(struct di_durable_in *in,
                                 const struct di_durable_end *end) DUCT_NODISCARD;
void di_durable_in_fini(struct di_durable_in *in);

/* Messages sent that the other end has not released, and those that this end has yet to release. */
uint64_t di_durable_undelivered_out(struct di_durable *durable);
uint64_t di_durable_undelivered_in(struct di_durable *durable);

#endif
