/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_IDENTITY_H
#define DI_TRANSPORTS_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#include <duct/options.h>

#include "transports/control.h"

/* Who the peer is, as the kernel tells with its first message. */
struct identity {
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd; /* the holder's to close, with di_fork_close(); -1: none */
    bool own;  /* of our own uid */
};

/*
 * Checks who sent msg against the options: our own uid, or those that they allow; never the uid that stands
 * for those without a number here. Takes the message's pidfd. DENIED, with nothing taken.
 */
enum duct_err identity_check(struct identity *identity, struct di_control_msg *msg,
                             const struct duct_options *options) DUCT_NODISCARD;

#endif
