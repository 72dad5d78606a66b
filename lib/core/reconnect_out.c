/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/reconnect.h"

/*
 * What leaves a pipe that reconnects. With a session all goes to its pipe; what that takes is as sent as it ever
 * is, and not sent again. Without one, a message is kept, as far as the downtime buffer goes, and leaves first
 * when there is a session again; or there is no buffer, and the call waits.
 */

/* ---- The downtime buffer ---- */

/* What a message takes of it: its bytes, and what keeps them. */
static size_t cost_of(size_t size)
{
    return size + sizeof(struct di_kept);
}

bool di_reconnect_has_room(const struct di_reconnect *self, size_t size)
{
    uint64_t limit = self->options.o.downtime_bytes_max;

    return self->kept_bytes < limit && cost_of(size) <= limit - self->kept_bytes;
}

static enum duct_err too_big(const struct di_reconnect *self, size_t size)
{
    return di_fail(DUCT_ETOOBIG,
                   "a message of %zu bytes is larger than this pipe took in its last session, %zu; "
                   "the option max_msg allows more",
                   size, self->max_send);
}

enum duct_err di_reconnect_keep_room(struct di_reconnect *self, size_t size, size_t align,
                                     struct di_kept **result)
{
    size_t head = (sizeof(struct di_kept) + align - 1) & ~(align - 1);
    size_t body = (size + align - 1) & ~(align - 1);

    if (size > self->max_send)
        return too_big(self, size);
    if (self->options.o.downtime_bytes_max != 0 &&
        cost_of(size) > self->options.o.downtime_bytes_max)
        return di_fail(DUCT_ETOOBIG,
                       "a message of %zu bytes does not fit into the downtime buffer of %llu; the "
                       "option downtime_buffer allows more",
                       size, (unsigned long long)self->options.o.downtime_bytes_max);
    if (!di_reconnect_has_room(self, size)) {
        self->refused = true;
        self->need = size;
        return di_fail(DUCT_EAGAIN, "%s://%s: %s, and %s", self->url.scheme, self->url.rest,
                       self->now == NULL ? "no peer for the moment"
                                         : "what was kept for the peer is not yet sent",
                       self->options.o.downtime_bytes_max == 0
                           ? "nothing more is kept: see the option downtime_buffer"
                           : "the downtime buffer is full");
    }
    struct di_kept *kept = aligned_alloc(align, head + body);
    if (kept == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to keep a message of %zu bytes", size);
    *kept =
        (struct di_kept){.data = (unsigned char *)kept + head, .size = size, .cost = cost_of(size)};
    self->kept_bytes += kept->cost;
    *result = kept;
    return DUCT_OK;
}

void di_reconnect_free_kept(struct di_reconnect *self, struct di_kept *kept)
{
    self->kept_bytes -= kept->cost;
    free(kept);
}

void di_reconnect_queue_kept(struct di_reconnect *self, struct di_kept *kept)
{
    di_list_append(&self->queue, &kept->link);
    self->kept_msgs++;
}

static void unqueue(struct di_reconnect *self, struct di_kept *kept)
{
    di_list_remove(&kept->link);
    self->kept_msgs--;
    di_reconnect_free_kept(self, kept);
}

bool di_reconnect_send_kept(struct di_reconnect *self)
{
    while (!di_list_empty(&self->queue)) {
        struct di_kept *kept = di_container(self->queue.next, struct di_kept, link);
        struct duct_pipe *inner = self->now != NULL ? self->now->pipe : NULL;
        if (inner == NULL || inner->end != DUCT_OK)
            return false;
        di_reconnect_enter(self);
        enum duct_err err = inner->ops->write(inner, kept->data, kept->size, kept->tag);
        di_reconnect_leave(self);
        if (err == DUCT_ETOOBIG)
            self->lost_out++; /* the peer of this session takes less than that of the one before */
        else if (err != DUCT_OK && err != (enum duct_err)DI_LEFT)
            return false;
        unqueue(self, kept);
    }
    return true;
}

/* ---- One message ---- */

struct duct_pipe *di_reconnect_way_out(struct di_reconnect *self)
{
    if (di_list_linked(&self->chore.link))
        di_reconnect_settle(self);
    if (self->now == NULL || self->now->pipe->end != DUCT_OK || !di_reconnect_send_kept(self))
        return NULL;
    self->refused = false;
    return self->now != NULL ? self->now->pipe : NULL;
}

enum duct_err di_reconnect_result(struct di_reconnect *self, bool over, enum duct_err err,
                                  bool *keep)
{
    bool taken = err == DUCT_OK || err == (enum duct_err)DI_LEFT;

    *keep = over && !taken && self->pipe.end == DUCT_OK;
    if (!over)
        return err;
    if (taken)
        return DUCT_OK;
    return self->pipe.end != DUCT_OK ? self->pipe.end : DUCT_EAGAIN;
}

static enum duct_err keep_pieces(struct di_reconnect *self, const struct iovec *pieces,
                                 size_t count, size_t size, uint64_t tag)
{
    struct di_kept *kept;
    enum duct_err err = di_reconnect_keep_room(self, size, DUCT_ALIGN_LINE, &kept);

    if (err != DUCT_OK)
        return err;
    kept->tag = tag;
    for (size_t i = 0, at = 0; i < count; at += pieces[i].iov_len, i++) {
        if (pieces[i].iov_len > 0)
            memcpy(kept->data + at, pieces[i].iov_base, pieces[i].iov_len);
    }
    di_reconnect_queue_kept(self, kept);
    return DUCT_OK;
}

enum duct_err di_reconnect_write(struct duct_pipe *pipe, const void *data, size_t size,
                                 uint64_t tag)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_pipe *inner = di_reconnect_way_out(self);
    const struct iovec piece = {(void *)(uintptr_t)data, size};
    bool keep = true;

    if (inner != NULL) {
        di_reconnect_enter(self);
        enum duct_err err = inner->ops->write(inner, data, size, tag);
        bool over = inner->end != DUCT_OK;
        di_reconnect_leave(self);
        err = di_reconnect_result(self, over, err, &keep);
        if (!keep)
            return err;
    }
    return pipe->end != DUCT_OK ? pipe->end : keep_pieces(self, &piece, 1, size, tag);
}

enum duct_err di_reconnect_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                                  size_t size, uint64_t tag)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_pipe *inner = di_reconnect_way_out(self);
    bool keep = true;

    if (inner != NULL) {
        di_reconnect_enter(self);
        enum duct_err err = inner->ops->writev(inner, pieces, count, size, tag);
        bool over = inner->end != DUCT_OK;
        di_reconnect_leave(self);
        err = di_reconnect_result(self, over, err, &keep);
        if (!keep)
            return err;
    }
    return pipe->end != DUCT_OK ? pipe->end : keep_pieces(self, pieces, count, size, tag);
}

/* As one system call, or one wake-up, where nothing stands before it. */
enum duct_err di_reconnect_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                       size_t count, size_t *done)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_pipe *inner = di_reconnect_way_out(self);
    enum duct_err err = DUCT_OK;
    bool keep = true;

    *done = 0;
    if (inner != NULL) {
        di_reconnect_enter(self);
        err = inner->ops->write_batch(inner, views, count, done);
        bool over = inner->end != DUCT_OK;
        di_reconnect_leave(self);
        err = di_reconnect_result(self, over, err, &keep);
        if (!keep)
            return err;
    }
    for (; *done < count && err == DUCT_OK; *done += err == DUCT_OK)
        err = di_reconnect_write(pipe, views[*done].data, views[*done].size, views[*done].tag);
    return err;
}

void di_reconnect_flush(struct duct_pipe *pipe)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct duct_pipe *inner = di_reconnect_way_out(self);

    if (inner == NULL)
        return;
    di_reconnect_enter(self);
    inner->ops->flush(inner);
    di_reconnect_leave(self);
}

void di_reconnect_out_fini(struct di_reconnect *self)
{
    while (!di_list_empty(&self->queue)) {
        self->dropped++;
        unqueue(self, di_container(self->queue.next, struct di_kept, link));
    }
}
