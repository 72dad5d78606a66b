/* SPDX-License-Identifier: Apache-2.0 */
#include <duct/message.h>

#include "lib/base/msg_owner.h"
#include "lib/core/pipe.h"

/* Messages: taken from a pipe, and given back to whoever owns them. */

struct loan {
    size_t size;
    size_t align;
    struct duct_msg *msg;
};

static enum duct_err again_loan(struct duct_pipe *pipe, void *args)
{
    struct loan *loan = args;

    return pipe->ops->loan(pipe, loan->size, loan->align, loan->msg);
}

enum duct_err duct_msg_loan(struct duct_pipe *pipe, size_t size, struct duct_msg *msg)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    if (msg == NULL)
        return di_fail(DUCT_EINVAL, "duct_msg_loan: msg is NULL");
    err = pipe->ops->loan(pipe, size, DUCT_ALIGN_LINE, msg);
    if (__builtin_expect(err != DUCT_EAGAIN, 1))
        return err;
    struct loan loan = {.size = size, .align = DUCT_ALIGN_LINE, .msg = msg};
    return di_pipe_wait(pipe, DI_READY_NEED, 0, again_loan, &loan);
}

enum duct_err duct_msg_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                  size_t count, size_t *done)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    if (done == NULL || (msgs == NULL && count != 0))
        return di_fail(DUCT_EINVAL, "duct_msg_loan_batch: %s is NULL",
                       done == NULL ? "done" : "msgs");
    *done = 0;
    if (count == 0)
        return DUCT_OK;
    err = pipe->ops->loan_batch(pipe, size, msgs, count, done);
    if (*done > 0)
        return DUCT_OK;
    if (err != DUCT_EAGAIN)
        return err;
    struct loan loan = {.size = size, .align = DUCT_ALIGN_LINE, .msg = msgs};
    err = di_pipe_wait(pipe, DI_READY_NEED, 0, again_loan, &loan);
    *done = err == DUCT_OK;
    return err;
}

enum duct_err duct_msg_loan_aligned(struct duct_pipe *pipe, size_t size, enum duct_align align,
                                    int64_t timeout_ns, struct duct_msg *msg)
{
    enum duct_err err = di_pipe_check_send(pipe);

    if (err != DUCT_OK)
        return err;
    if (msg == NULL)
        return di_fail(DUCT_EINVAL, "duct_msg_loan_aligned: msg is NULL");
    if (align != DUCT_ALIGN_LINE && align != DUCT_ALIGN_PAGE)
        return di_fail(DUCT_EINVAL,
                       "duct_msg_loan_aligned: align is %d; expected DUCT_ALIGN_LINE or "
                       "DUCT_ALIGN_PAGE",
                       (int)align);
    struct loan loan = {.size = size, .align = align, .msg = msg};
    err = again_loan(pipe, &loan);
    if (err != DUCT_EAGAIN)
        return err;
    return di_pipe_wait(pipe, DI_READY_NEED, timeout_ns, again_loan, &loan);
}

enum duct_err duct_msg_discard(struct duct_msg *msg)
{
    struct di_msg_owner *owner = msg != NULL ? msg->owner : NULL;

    if (owner == NULL || owner->discard == NULL)
        return di_fail(DUCT_EINVAL, "duct_msg_discard: the message is not on loan; it was sent or "
                                    "discarded before, or was received");
    return owner->discard(owner, msg);
}

enum duct_err duct_msg_release(struct duct_msg *msg)
{
    struct di_msg_owner *owner = msg != NULL ? msg->owner : NULL;

    if (__builtin_expect(owner == NULL || owner->release == NULL, 0))
        return di_fail(DUCT_EINVAL,
                       "duct_msg_release: the message is not held; it was released before, "
                       "or never received");
    return owner->release(owner, msg);
}

enum duct_err duct_msg_release_batch(struct duct_msg *msgs, size_t count)
{
    enum duct_err result = DUCT_OK;

    for (size_t i = 0; i < count; i++) {
        struct di_msg_owner *owner = msgs[i].owner;
        if (owner != NULL && owner->release_run != NULL) {
            i += owner->release_run(owner, &msgs[i], count - i);
            if (i == count)
                break;
        }
        enum duct_err err = duct_msg_release(&msgs[i]);
        if (err != DUCT_OK)
            result = err;
    }
    return result;
}
