/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/stream_loan.h"

#include <stdlib.h>

#include "transports/stream_out.h"
#include "transports/stream_zc.h"

/* Messages that the program fills in place: a table of chunks with room for a header before and padding behind. */

/* A chunk with room for a message where asked, its header before and its padding behind it. */
static struct di_chunk *loan_chunk(struct stream *stream, size_t size, size_t align,
                                   unsigned char **data)
{
    size_t all = DI_WIRE_HEADER + size + DI_WIRE_ALIGN + align;
    struct di_chunk *chunk =
        stream_zc_fits(stream->zc, size) ? stream_zc_alloc(stream->zc, all) : di_chunk_alloc(all);

    if (chunk == NULL)
        return NULL;
    uintptr_t first = (uintptr_t)chunk->at + DI_WIRE_HEADER;
    *data = chunk->at + DI_WIRE_HEADER + (-first & (align - 1));
    return chunk;
}

static enum duct_err discard(struct di_msg_owner *owner, struct duct_msg *msg);

static enum duct_err take_slot(struct stream_loans *loans, uint32_t *place)
{
    if (loans->free == 0) {
        uint32_t count = loans->count == 0 ? 16 : 2 * loans->count;
        if (count > STREAM_LOANS_MAX)
            return DUCT_EAGAIN;
        struct stream_loan *table = realloc(loans->table, count * sizeof(*table));
        if (table == NULL)
            return di_fail(DUCT_ENOMEMORY, "no memory for a loan");
        for (uint32_t i = loans->count; i < count; i++)
            table[i] = (struct stream_loan){.next = i + 1 < count ? i + 2 : 0};
        loans->table = table;
        loans->free = loans->count + 1;
        loans->count = count;
        loans->owner.discard = discard;
    }
    *place = loans->free - 1;
    return DUCT_OK;
}

enum duct_err stream_pipe_loan(struct duct_pipe *pipe, size_t size, size_t align,
                               struct duct_msg *msg)
{
    struct stream *stream = stream_of(pipe)->stream;
    struct stream_loans *loans = &stream->loans;
    uint32_t place = 0;
    enum duct_err err;

    if (size > stream->rules.message_max)
        return stream_too_big(stream, size);
    if ((err = take_slot(loans, &place)) != DUCT_OK)
        return err;
    struct stream_loan *loan = &loans->table[place];
    /* The chunk that lay here last, if it fits: a steady stream of loans allocates nothing. */
    if (loan->chunk == NULL || loan->capacity < size || ((uintptr_t)loan->data & (align - 1))) {
        unsigned char *data;
        struct di_chunk *chunk = loan_chunk(stream, size, align, &data);
        if (chunk == NULL)
            return di_fail(DUCT_ENOMEMORY, "no memory for a loan of %zu bytes", size);
        di_chunk_free(loan->chunk);
        loan->chunk = chunk;
        loan->data = data;
        loan->capacity = size;
    }
    loans->free = loan->next;
    loan->generation++;
    *msg = (struct duct_msg){.data = loan->data,
                             .size = size,
                             .owner = &loans->owner,
                             .ref = (uint64_t)loan->generation << 32 | place};
    loan->next = UINT32_MAX;
    return DUCT_OK;
}

enum duct_err stream_pipe_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                     size_t count, size_t *done)
{
    enum duct_err err = DUCT_OK;

    for (*done = 0; *done < count && err == DUCT_OK; *done += err == DUCT_OK)
        err = stream_pipe_loan(pipe, size, DUCT_ALIGN_LINE, &msgs[*done]);
    return err;
}

struct stream_loan *stream_find_loan(struct stream_loans *loans, const struct duct_msg *msg)
{
    uint32_t place = (uint32_t)msg->ref;

    if (msg->owner != &loans->owner || place >= loans->count ||
        loans->table[place].next != UINT32_MAX ||
        loans->table[place].generation != (uint32_t)(msg->ref >> 32))
        return NULL;
    return &loans->table[place];
}

/* The largest chunk that is kept with a place that is free. */
#define KEEP_MAX ((size_t)1024 * 1024)

void stream_give_back(struct stream_loans *loans, struct stream_loan *loan)
{
    if (loan->capacity > KEEP_MAX ||
        (loan->chunk != NULL && loan->chunk->gone != NULL && stream_zc_is_read(loan->chunk))) {
        di_chunk_free(loan->chunk);
        loan->chunk = NULL;
    }
    loan->next = loans->free;
    loans->free = (uint32_t)(loan - loans->table) + 1;
}

static enum duct_err discard(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct stream_loans *loans = (struct stream_loans *)owner;
    struct stream_loan *loan = stream_find_loan(loans, msg);

    if (loan == NULL)
        return di_fail(DUCT_EINVAL,
                       "duct_msg_discard: the message is not on loan; it was sent or discarded "
                       "before");
    stream_give_back(loans, loan);
    loans->stream->discarded++;
    di_msg_empty(msg);
    return DUCT_OK;
}

void stream_loans_fini(struct stream_loans *loans)
{
    for (uint32_t i = 0; i < loans->count; i++)
        di_chunk_free(loans->table[i].chunk);
    free(loans->table);
}
