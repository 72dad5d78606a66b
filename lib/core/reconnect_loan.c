/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "lib/core/reconnect.h"

/*
 * Loans of a pipe that reconnects. A loan is the inner pipe's, or room in the downtime buffer; a table says which.
 * One of a session that is over is copied into the present one when it is sent, and its pipe kept until then.
 */

static enum duct_err discard(struct di_msg_owner *owner, struct duct_msg *msg);

static enum duct_err take_slot(struct di_reconnect *self, uint32_t *place)
{
    if (self->loan_free == 0) {
        uint32_t count = self->loan_count == 0 ? 16 : 2 * self->loan_count;
        if (count > DI_RECONNECT_LOANS_MAX)
            return DUCT_EAGAIN;
        struct di_reconnect_loan *table = realloc(self->loans, count * sizeof(*table));
        if (table == NULL)
            return di_fail(DUCT_ENOMEMORY, "no memory for a loan");
        for (uint32_t i = self->loan_count; i < count; i++)
            table[i] = (struct di_reconnect_loan){.next = i + 1 < count ? i + 2 : 0};
        self->loans = table;
        self->loan_free = self->loan_count + 1;
        self->loan_count = count;
        self->owner.discard = discard;
    }
    *place = self->loan_free - 1;
    return DUCT_OK;
}

static struct di_reconnect_loan *find_loan(struct di_reconnect *self, const struct duct_msg *msg)
{
    uint32_t place = (uint32_t)msg->ref;

    if (msg->owner != &self->owner || place >= self->loan_count ||
        self->loans[place].next != UINT32_MAX ||
        self->loans[place].generation != (uint32_t)(msg->ref >> 32))
        return NULL;
    return &self->loans[place];
}

static void free_slot(struct di_reconnect *self, struct di_reconnect_loan *loan)
{
    struct di_inner *home = loan->home;

    loan->home = NULL;
    loan->kept = NULL;
    loan->next = self->loan_free;
    self->loan_free = (uint32_t)(loan - self->loans) + 1;
    if (home == NULL)
        return;
    home->loans--;
    di_reconnect_drop(self, home);
}

/* The block goes back, unsent. */
static void give_back(struct di_reconnect *self, struct di_reconnect_loan *loan)
{
    if (loan->kept != NULL) {
        di_reconnect_free_kept(self, loan->kept);
    } else {
        enum duct_err ignored = duct_msg_discard(&loan->msg);
        (void)ignored;
    }
    free_slot(self, loan);
}

static enum duct_err discard(struct di_msg_owner *owner, struct duct_msg *msg)
{
    struct di_reconnect *self = di_container(owner, struct di_reconnect, owner);
    struct di_reconnect_loan *loan = find_loan(self, msg);

    if (loan == NULL)
        return di_fail(DUCT_EINVAL,
                       "duct_msg_discard: the message is not on loan; it was sent or discarded "
                       "before");
    /* The inner pipe counts its own. */
    self->dropped += loan->kept != NULL;
    give_back(self, loan);
    di_msg_empty(msg);
    return DUCT_OK;
}

/* From the session's pipe, or from the buffer. */
static enum duct_err borrow(struct di_reconnect *self, size_t size, size_t align,
                            struct di_reconnect_loan *loan)
{
    struct duct_pipe *inner = di_reconnect_way_out(self);
    bool keep = true;

    if (inner != NULL) {
        struct di_inner *home = self->now;
        di_reconnect_enter(self);
        enum duct_err err = inner->ops->loan(inner, size, align, &loan->msg);
        if (err == DUCT_OK) {
            loan->home = home;
            home->loans++;
            keep = false;
        }
        bool over = inner->end != DUCT_OK;
        di_reconnect_leave(self);
        err = keep ? di_reconnect_result(self, over, err, &keep) : err;
        if (!keep)
            return err;
    }
    if (self->pipe.end != DUCT_OK)
        return self->pipe.end;
    enum duct_err err = di_reconnect_keep_room(self, size, align, &loan->kept);
    if (err == DUCT_OK)
        loan->msg = (struct duct_msg){.data = loan->kept->data, .size = size};
    return err;
}

enum duct_err di_reconnect_loan(struct duct_pipe *pipe, size_t size, size_t align,
                                struct duct_msg *msg)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    uint32_t place = 0;
    enum duct_err err = take_slot(self, &place);

    if (err != DUCT_OK)
        return err;
    struct di_reconnect_loan *loan = &self->loans[place];
    if ((err = borrow(self, size, align, loan)) != DUCT_OK)
        return err;
    self->loan_free = loan->next;
    loan->next = UINT32_MAX;
    loan->generation++;
    *msg = loan->msg;
    msg->owner = &self->owner;
    msg->ref = (uint64_t)loan->generation << 32 | place;
    return DUCT_OK;
}

enum duct_err di_reconnect_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                      size_t count, size_t *done)
{
    enum duct_err err = DUCT_OK;

    for (*done = 0; *done < count && err == DUCT_OK; *done += err == DUCT_OK)
        err = di_reconnect_loan(pipe, size, DUCT_ALIGN_LINE, &msgs[*done]);
    return err;
}

/* A loan of the present session goes as it lies. */
static enum duct_err send_own(struct di_reconnect *self, struct di_reconnect_loan *loan,
                              const struct duct_msg *msg, bool *keep)
{
    struct duct_pipe *inner = loan->home->pipe;
    struct duct_msg own = loan->msg;

    own.size = msg->size;
    own.tag = msg->tag;
    own.flags = msg->flags;
    di_reconnect_enter(self);
    enum duct_err err = inner->ops->send(inner, &own);
    bool over = inner->end != DUCT_OK;
    di_reconnect_leave(self);
    return di_reconnect_result(self, over, err, keep);
}

/* Room in the buffer that was loaned needs no copy. */
static enum duct_err keep_own(struct di_reconnect *self, struct di_reconnect_loan *loan,
                              const struct duct_msg *msg)
{
    loan->kept->size = msg->size;
    loan->kept->tag = msg->tag;
    di_reconnect_queue_kept(self, loan->kept);
    loan->kept = NULL;
    free_slot(self, loan);
    return DUCT_OK;
}

static enum duct_err send_loan(struct di_reconnect *self, struct di_reconnect_loan *loan,
                               const struct duct_msg *msg)
{
    struct duct_pipe *inner = di_reconnect_way_out(self);
    bool keep = true;

    if (inner != NULL && loan->home == self->now) {
        enum duct_err err = send_own(self, loan, msg, &keep);
        if (!keep && (err == DUCT_OK || err == (enum duct_err)DI_LEFT))
            free_slot(self, loan);
        if (!keep)
            return err;
        inner = NULL;
    }
    if (self->pipe.end != DUCT_OK)
        return self->pipe.end;
    if (inner == NULL && loan->kept != NULL)
        return keep_own(self, loan, msg);
    enum duct_err err = di_reconnect_write(&self->pipe, msg->data, msg->size, msg->tag);
    if (err == DUCT_OK || err == (enum duct_err)DI_LEFT) {
        self->copied += loan->home != NULL; /* its pipe counts it as discarded */
        give_back(self, loan);
    }
    return err;
}

enum duct_err di_reconnect_send(struct duct_pipe *pipe, struct duct_msg *msg)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    struct di_reconnect_loan *loan = find_loan(self, msg);

    if (loan == NULL || msg->size > loan->msg.size)
        return di_fail(DUCT_EINVAL, loan == NULL
                                        ? "duct_send: the message is not on loan from this pipe"
                                        : "duct_send: the message is longer than its loan");
    enum duct_err err = send_loan(self, loan, msg);
    if (err == DUCT_OK || err == (enum duct_err)DI_LEFT)
        di_msg_empty(msg);
    return err;
}

enum duct_err di_reconnect_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                      size_t *done)
{
    struct di_reconnect *self = di_reconnect_of(pipe);
    enum duct_err err = DUCT_OK;

    for (*done = 0; *done < count; ++*done) {
        msgs[*done].flags |= DUCT_MSG_MORE;
        if ((err = di_reconnect_send(pipe, &msgs[*done])) != DUCT_OK &&
            err != (enum duct_err)DI_LEFT)
            break;
    }
    if (*done == 0)
        return err;
    di_reconnect_flush(pipe);
    if (self->now == NULL || !self->now->pipe->ops->pulled)
        return DUCT_OK;
    bool left = self->now->pipe->ops->ready(self->now->pipe, DI_READY_LEFT) != 0;
    return left ? DUCT_OK : (enum duct_err)DI_LEFT;
}

void di_reconnect_loans_fini(struct di_reconnect *self)
{
    for (uint32_t i = 0; i < self->loan_count; i++) {
        if (self->loans[i].next == UINT32_MAX) {
            self->dropped += self->loans[i].kept != NULL;
            give_back(self, &self->loans[i]);
        }
    }
    free(self->loans);
}
