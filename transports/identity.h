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
 * Whether a process of that uid may be the peer: of our own, or one that the options allow; never one that reads
 * as the number for those who have none here, unless everybody has one and it is our own. DENIED.
 */
enum duct_err identity_check_uid(uid_t uid, const struct duct_options *options) DUCT_NODISCARD;

/*
 * Checks who sent msg against the options, as identity_check_uid() does. Takes the message's pidfd. DENIED, with
 * nothing taken.
 */
enum duct_err identity_check(struct identity *identity, struct di_control_msg *msg,
                             const struct duct_options *options) DUCT_NODISCARD;

#endif
