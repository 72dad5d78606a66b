/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_MSG_OWNER_H
#define DI_BASE_MSG_OWNER_H

#include <duct/message.h>

/*
 * Where a message goes when its holder is done with it. The first member of whatever loaned it or
 * received it; duct_msg.owner points here. discard is NULL where messages only arrive, release where
 * they only leave; both get a message whose owner they are, and empty it on success.
 */
struct di_msg_owner {
    enum duct_err (*discard)(struct di_msg_owner *owner, struct duct_msg *msg);
    enum duct_err (*release)(struct di_msg_owner *owner, struct duct_msg *msg);
    /* As many of the messages at the front as are its and easily released; may be 0. */
    size_t (*release_run)(struct di_msg_owner *owner, struct duct_msg *msgs, size_t count);
};

static inline void di_msg_empty(struct duct_msg *msg)
{
    msg->data = NULL;
    msg->size = 0;
    msg->flags = 0;
    msg->owner = NULL;
}

#endif
