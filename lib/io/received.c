/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/received.h"

#include <errno.h>

#include "lib/io/accepted.h"

void di_received(struct di_list *list, struct di_io_op *op, int64_t result,
                 struct di_buffer *buffer)
{
    if (result <= 0) {
        op->ended = true;
        op->ended_by = (int)-result;
    } else {
        buffer->size = (size_t)result;
        buffer->next = NULL;
        if (op->received == NULL)
            op->received = buffer;
        else
            op->received_last->next = buffer;
        op->received_last = buffer;
        op->received_count++;
    }
    if (!di_list_linked(&op->reception))
        di_list_append(list, &op->reception);
}

int64_t di_received_next(struct di_io_op *op, struct di_buffer **buffer)
{
    struct di_buffer *first = op->received;
    int64_t result = -EAGAIN;

    if (first != NULL) {
        op->received = first->next;
        op->received_count--;
        first->next = NULL;
        *buffer = first;
        result = (int64_t)first->size;
    } else if (op->ended) {
        op->ended = false;
        result = -op->ended_by;
    }
    if (!di_io_receiving(op))
        di_list_remove(&op->reception);
    return result;
}

void di_received_drop(struct di_io *io, struct di_io_op *op)
{
    struct di_buffer *buffer = NULL;
    int64_t got;

    if (op->kind == DI_IO_ACCEPT) {
        di_accepted_drop(io, op);
        return;
    }
    while ((got = di_received_next(op, &buffer)) != -EAGAIN) {
        if (got > 0)
            di_buffer_release(buffer);
    }
}

void di_received_drop_all(struct di_io *io, struct di_list *list)
{
    while (!di_list_empty(list)) {
        struct di_io_op *op = di_container(list->next, struct di_io_op, reception);
        op->receiving = false;
        di_received_drop(io, op);
        di_list_remove(&op->reception);
    }
}

int64_t di_receive_now(struct di_io *io, struct di_buffers **pool, int fd,
                       struct di_buffer **buffer)
{
    if (*pool == NULL && (*pool = di_buffers_open()) == NULL)
        return -ENOMEM;
    struct di_buffer *fresh = di_buffers_take(*pool);
    if (fresh == NULL)
        return -ENOMEM;
    const struct iovec piece = {fresh->bytes, fresh->capacity};
    int64_t got = di_io_try_recv(io, fd, &piece, 1);
    if (got <= 0) {
        di_buffer_release(fresh);
        return got;
    }
    fresh->size = (size_t)got;
    *buffer = fresh;
    return got;
}
