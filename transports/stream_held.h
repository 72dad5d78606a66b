/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_HELD_H
#define DI_TRANSPORTS_STREAM_HELD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/msg_owner.h"
#include "lib/base/stack.h"
#include "lib/io/buffer.h"
#include "lib/protocol/wire.h"

/*
 * The messages of a stream that the program holds: views of buffers, which live until the last message in them was
 * released. The program may do that from any thread, also after the pipe is gone: so the table outlives the pipe.
 *
 * Most are released by the thread that receives, one after the other out of the same buffer. References are therefore
 * drawn in bulk, of the table and of the buffer that is lent: that thread counts its own without an atomic operation,
 * and gives the rest back when it leaves the buffer, and the table.
 *
 * Edges of stream_held.c:
 *   [parts]  what was done to an entry, reference dropped with release  |  the last one, which frees them all
 */
struct stream_held_entry {
    struct di_node node;
    _Atomic uint64_t number; /* odd: held; grows whenever it is taken or released */
    uint32_t place;
    struct di_buffer *buffer;
};

/* Entries come in chunks, each twice as large as the one before: a pipe that holds a message or two has a few, and
 * where an entry lies follows from its place. */
#define STREAM_HELD_FIRST 8u
#define STREAM_HELD_CHUNKS_MAX \
    18u /* the most that the option held allows, 1 Mi, and a little more */

struct stream_held {
    struct di_msg_owner owner; /* first */
    _Atomic uint32_t refs;    /* the receiver, each message held, and what is drawn and not spent */
    _Atomic uintptr_t thread; /* the receiver's: di_thread_self() of it; 0: there is none */
    struct di_stack home;     /* released by other threads */

    /* The receiver's thread. */
    struct stream_held_entry *free;
    struct di_buffer *lent; /* where messages are handed out of, or NULL */
    uint32_t lent_drawn;    /* references of it, drawn and not spent */
    uint32_t drawn;         /* and of the table */
    uint32_t chunk_count;
    uint32_t max;
    uint64_t full;
    struct stream_held_entry *chunks[STREAM_HELD_CHUNKS_MAX];
};

/* For at most max messages at a time. NULL: no memory. */
struct stream_held *stream_held_open(uint32_t max);

/* The receiver goes; it has left its buffer. */
void stream_held_close(struct stream_held *held);

/* Who receives from now on: di_thread_self() of it, or 0 while the pipe is on its way to another. Called by the one who
 * did, or where the program has ordered the two. */
void stream_held_belongs(struct stream_held *held, uintptr_t thread);

/*
 * A message that lies at data in the buffer, for the program: size and tag are the frame's. last: nothing follows it
 * there, and the receiver's reference to the buffer goes with it. LIMIT: too many are held, or
 * there is no memory for one more.
 */
enum duct_err stream_held_give(struct stream_held *held, struct di_buffer *buffer, bool last,
                               const struct di_frame *frame, const unsigned char *data,
                               struct duct_msg *msg) DUCT_NODISCARD;

/* Whether nobody but the receiver reads the buffer, so that it may be written again. */
bool stream_held_alone(struct stream_held *held, const struct di_buffer *buffer);

/* The receiver leaves the buffer: its reference is dropped. */
void stream_held_leave(struct stream_held *held, struct di_buffer *buffer);

#endif
