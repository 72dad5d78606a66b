/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_SENDQ_H
#define DI_PROTOCOL_SENDQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/pipe.h>

#include "lib/base/list.h"

/*
 * Bytes on their way out, in order: what the kernel did not take at once, and what waits for more. A list of
 * chunks; small things are copied into the last one, so that they leave together, large ones are linked.
 */

/* Memory for bytes, allocated with them; one owner at a time. */
struct di_chunk {
    struct di_list link;
    unsigned char *at;                    /* the first byte not yet sent */
    size_t left;                          /* bytes from there */
    size_t spare;                         /* bytes that could be added behind them */
    void (*gone)(struct di_chunk *chunk); /* instead of free(); NULL: free() */
};

struct di_sendq {
    struct di_list chunks;
    size_t bytes;
    size_t limit; /* high-water mark: above it nothing is accepted, but into an empty queue */
};

void di_sendq_init(struct di_sendq *queue, size_t limit);
void di_sendq_fini(struct di_sendq *queue);

/* Whether so many more bytes are accepted. */
static inline bool di_sendq_room(const struct di_sendq *queue, size_t size)
{
    return queue->bytes == 0 ||
           (queue->bytes < queue->limit && size <= queue->limit - queue->bytes);
}

/* An empty chunk with room for size bytes; NULL if there is no memory. */
struct di_chunk *di_chunk_alloc(size_t size);

/* Its owner needs it no more. NULL is allowed. */
void di_chunk_free(struct di_chunk *chunk);

/* Appends all of the pieces but their first skip bytes. False, and nothing changed: no memory. */
bool di_sendq_copy(struct di_sendq *queue, const struct iovec *pieces, uint32_t count, size_t skip);

/* Room for so many bytes behind the last, to be written at once: they count as queued. NULL: the last chunk has none. */
static inline unsigned char *di_sendq_extend(struct di_sendq *queue, size_t size)
{
    struct di_chunk *last = di_container(queue->chunks.prev, struct di_chunk, link);

    if (di_list_empty(&queue->chunks) || last->spare < size)
        return NULL;
    unsigned char *at = last->at + last->left;
    last->left += size;
    last->spare -= size;
    queue->bytes += size;
    return at;
}

/* Appends a chunk, which is the queue's from now on. */
void di_sendq_link(struct di_sendq *queue, struct di_chunk *chunk);

/* The front of the queue, in up to max pieces: how many. Valid until it is changed at the front. */
uint32_t di_sendq_pieces(const struct di_sendq *queue, struct iovec *pieces, uint32_t max);

/* The first chunk, or NULL. */
static inline struct di_chunk *di_sendq_front(const struct di_sendq *queue)
{
    return di_list_empty(&queue->chunks) ? NULL
                                         : di_container(queue->chunks.next, struct di_chunk, link);
}

/* So many bytes of the front have gone. */
void di_sendq_advance(struct di_sendq *queue, size_t bytes);

#endif
