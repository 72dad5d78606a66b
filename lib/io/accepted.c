/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/accepted.h"

#include <errno.h>
#include <stdlib.h>

/* A queue that is freed when it is empty, which it is nearly always. */
struct di_accepted {
    uint32_t first, count, room;
    int fds[];
};

enum { ROOM_AT_FIRST = 14 };

/* Room for one more behind the last; false: no memory. */
static bool make_room(struct di_io_op *op)
{
    struct di_accepted *queue = op->accepted;

    if (queue != NULL && queue->first + queue->count < queue->room)
        return true;
    uint32_t room = queue == NULL ? ROOM_AT_FIRST : 2 * queue->room;
    struct di_accepted *larger = realloc(queue, sizeof(*larger) + room * sizeof(larger->fds[0]));
    if (larger == NULL)
        return false;
    if (queue == NULL)
        larger->first = larger->count = 0;
    larger->room = room;
    op->accepted = larger;
    return true;
}

void di_accepted(struct di_io *io, struct di_list *list, struct di_io_op *op, int fd)
{
    struct di_accepted *queue;

    if (make_room(op)) {
        queue = op->accepted;
        queue->fds[queue->first + queue->count++] = fd;
    } else {
        di_io_close_socket(io, fd);
        op->lost++;
    }
    op->received_count++;
    if (!di_list_linked(&op->reception))
        di_list_append(list, &op->reception);
}

int di_accepted_next(struct di_io_op *op)
{
    struct di_accepted *queue = op->accepted;
    int result = -ECONNABORTED;

    if (op->received_count == 0)
        return -EAGAIN;
    if (queue != NULL) {
        result = queue->fds[queue->first++];
        if (--queue->count == 0) {
            free(queue);
            op->accepted = NULL;
        }
    } else {
        op->lost--;
    }
    op->received_count--;
    if (!di_io_receiving(op))
        di_list_remove(&op->reception);
    return result;
}

void di_accepted_drop(struct di_io *io, struct di_io_op *op)
{
    int fd;

    while ((fd = di_accepted_next(op)) != -EAGAIN)
        di_io_close_socket(io, fd); /* ignores those that were lost */
}
