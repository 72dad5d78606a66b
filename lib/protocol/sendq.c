/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/sendq.h"

#include <stdlib.h>
#include <string.h>

/* What small things are gathered in: as much as one system call moves well. */
#define CHUNK_LEAST ((size_t)65536)

void di_sendq_init(struct di_sendq *queue, size_t limit)
{
    di_list_init(&queue->chunks);
    queue->bytes = 0;
    queue->limit = limit;
}

static struct di_chunk *chunk_of(struct di_list *link)
{
    return di_container(link, struct di_chunk, link);
}

void di_sendq_fini(struct di_sendq *queue)
{
    while (!di_list_empty(&queue->chunks)) {
        struct di_chunk *chunk = chunk_of(queue->chunks.next);
        di_list_remove(&chunk->link);
        di_chunk_free(chunk);
    }
    queue->bytes = 0;
}

struct di_chunk *di_chunk_alloc(size_t size)
{
    struct di_chunk *chunk = malloc(sizeof(*chunk) + size);

    if (chunk == NULL)
        return NULL;
    di_list_init(&chunk->link);
    chunk->at = (unsigned char *)(chunk + 1);
    chunk->left = 0;
    chunk->spare = size;
    chunk->gone = NULL;
    return chunk;
}

void di_chunk_free(struct di_chunk *chunk)
{
    if (chunk != NULL && chunk->gone != NULL)
        chunk->gone(chunk);
    else
        free(chunk);
}

bool di_sendq_copy(struct di_sendq *queue, const struct iovec *pieces, uint32_t count, size_t skip)
{
    struct di_chunk *last = chunk_of(queue->chunks.prev);
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++)
        size += pieces[i].iov_len;
    size -= skip;
    if (di_list_empty(&queue->chunks) || last->spare < size) {
        last = di_chunk_alloc(size < CHUNK_LEAST ? CHUNK_LEAST : size);
        if (last == NULL)
            return false;
        di_list_append(&queue->chunks, &last->link);
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t before = skip < pieces[i].iov_len ? skip : pieces[i].iov_len;
        size_t bytes = pieces[i].iov_len - before;
        skip -= before;
        if (bytes == 0)
            continue;
        memcpy(last->at + last->left, (const char *)pieces[i].iov_base + before, bytes);
        last->left += bytes;
        last->spare -= bytes;
    }
    queue->bytes += size;
    return true;
}

void di_sendq_link(struct di_sendq *queue, struct di_chunk *chunk)
{
    di_list_append(&queue->chunks, &chunk->link);
    queue->bytes += chunk->left;
}

uint32_t di_sendq_pieces(const struct di_sendq *queue, struct iovec *pieces, uint32_t max)
{
    uint32_t count = 0;

    for (struct di_list *at = queue->chunks.next; at != &queue->chunks && count < max;
         at = at->next) {
        struct di_chunk *chunk = chunk_of(at);
        pieces[count++] = (struct iovec){.iov_base = chunk->at, .iov_len = chunk->left};
    }
    return count;
}

void di_sendq_advance(struct di_sendq *queue, size_t bytes)
{
    queue->bytes -= bytes;
    while (bytes > 0 ||
           (!di_list_empty(&queue->chunks) && chunk_of(queue->chunks.next)->left == 0)) {
        struct di_chunk *first = chunk_of(queue->chunks.next);
        size_t gone = bytes < first->left ? bytes : first->left;
        first->at += gone;
        first->left -= gone;
        bytes -= gone;
        if (first->left > 0)
            break;
        di_list_remove(&first->link);
        di_chunk_free(first);
    }
}
