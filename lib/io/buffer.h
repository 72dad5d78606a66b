/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_BUFFER_H
#define DI_IO_BUFFER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/stack.h"

/*
 * Memory that bytes are received into, and that is read where it lies: counted references, released by any thread,
 * also after the loop is gone. One stands by itself (di_buffer_alloc()), or comes out of a loop's pool and goes back
 * to it.
 *
 * Edges of buffer.c:
 *   [bytes]    reads of the bytes, reference dropped with release             |  the last one, which lets them be
 *                                                                                written again
 *   [buffers]   what was done with a buffer of it, reference dropped with release  |  the last one, which frees it
 */
struct di_buffers;

struct di_buffer {
    struct di_node node; /* first */
    _Atomic uint32_t refs;
    struct di_buffers *home; /* the pool it goes back to, or NULL */
    struct di_buffer *next;  /* in a queue of whoever has it */
    size_t capacity;
    size_t size; /* of what was received into it, as di_io_take() gives it */
    _Alignas(64) unsigned char bytes[];
};

/* One by itself, with one reference; NULL: no memory. */
struct di_buffer *di_buffer_alloc(size_t capacity);

/* Any thread. */
void di_buffer_release(struct di_buffer *buffer);

/* Whether nobody else has a reference, so that the bytes may be overwritten. For one who has one. */
bool di_buffer_alone(const struct di_buffer *buffer);

/* So many more references, by one who has one. */
static inline void di_buffer_draw(struct di_buffer *buffer, uint32_t count)
{
    /* Relaxed: the reference that there is keeps it. */
    atomic_fetch_add_explicit(&buffer->refs, count, memory_order_relaxed);
}

/* Less, by the thread that drew them, where one reference stays: whoever drops that one comes after. */
static inline void di_buffer_undraw(struct di_buffer *buffer, uint32_t count)
{
    /* Relaxed: the reference that stays keeps it, and orders what was read. */
    atomic_fetch_sub_explicit(&buffer->refs, count, memory_order_relaxed);
}

/* One more. */
static inline void di_buffer_hold(struct di_buffer *buffer)
{
    di_buffer_draw(buffer, 1);
}

/* What the buffers of a pool hold: several small messages, and a good part of what one system call moves. With what
 * stands before it, whole pages. */
#define DI_BUFFER_SIZE ((size_t)16384 - sizeof(struct di_buffer))

/*
 * Buffers of DI_BUFFER_SIZE bytes that go round. All calls are for the pool's one thread; only releases are for
 * any. Of those that nobody has, a few are kept.
 */
struct di_buffers {
    _Atomic uint32_t refs;    /* the loop's, and one for each buffer that is out */
    _Atomic uint32_t idle;    /* buffers that nobody has */
    struct di_stack released; /* by whichever thread, not yet looked at */
    struct di_buffer *kept;   /* the others, linked by next */
};

/* NULL: no memory. */
struct di_buffers *di_buffers_open(void);

/* Buffers that are out stay valid; the last one released takes the pool with it. NULL is allowed. */
void di_buffers_close(struct di_buffers *pool);

/* An empty buffer with one reference, or NULL: no memory. */
struct di_buffer *di_buffers_take(struct di_buffers *pool);

#endif
