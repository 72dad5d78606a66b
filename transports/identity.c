/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/identity.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"

static bool uid_allowed(const struct duct_options *o, uid_t uid)
{
    if (o->allow_uids == NULL)
        return uid == geteuid();
    for (size_t i = 0; i < o->allow_uid_count; i++) {
        if (o->allow_uids[i] == uid)
            return true;
    }
    return false;
}

/* What the kernel writes for a uid that has no number in this user namespace. */
static uid_t overflow_uid(void)
{
    unsigned uid = 65534;
    FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");

    if (file != NULL) {
        if (fscanf(file, "%u", &uid) != 1)
            uid = 65534;
        fclose(file);
    }
    return uid;
}

/* Whether every uid there is has a number here, as in the first user namespace. The kernel lets ranges neither
 * overlap nor map what the namespace above does not, so that their sizes say it. */
static bool all_uids_are_mapped(void)
{
    unsigned long long count, all = 0;
    FILE *file = fopen("/proc/self/uid_map", "re");

    if (file == NULL)
        return false;
    while (fscanf(file, "%*u %*u %llu", &count) == 1)
        all += count;
    fclose(file);
    return all == UINT32_MAX; /* UINT32_MAX itself is no uid */
}

enum duct_err identity_check_uid(uid_t uid, const struct duct_options *options)
{
    if (!uid_allowed(options, uid))
        return di_fail(DUCT_EDENIED,
                       "the peer's uid %u is not allowed here (own uid %u); the option "
                       "allow names uids",
                       (unsigned)uid, (unsigned)geteuid());
    if (uid != overflow_uid())
        return DUCT_OK;
    /* Somebody whose uid is that number, and everybody who has none: only where there are none of these may it
     * be one's own. */
    if (uid != geteuid() || !all_uids_are_mapped())
        return di_fail(DUCT_EDENIED,
                       "the peer's uid reads %u here, as does that of everybody unknown in this "
                       "user namespace; map the uid (/proc/self/uid_map), or run under another",
                       (unsigned)uid);
    return DUCT_OK;
}

enum duct_err identity_check(struct identity *identity, struct di_control_msg *msg,
                             const struct duct_options *options)
{
    if (!msg->has_credentials)
        return di_fail(DUCT_EDENIED, "the peer came without credentials");
    enum duct_err err = identity_check_uid(msg->uid, options);
    if (err != DUCT_OK)
        return err;
    *identity = (struct identity){.pid = msg->pid,
                                  .uid = msg->uid,
                                  .gid = msg->gid,
                                  .pidfd = -1,
                                  .own = msg->uid == geteuid()};
    /* A thread of our own process dies with us. */
    if (msg->pid == getpid())
        return DUCT_OK;
    identity->pidfd = msg->pidfd;
    msg->pidfd = -1;
    if (identity->pidfd < 0 && msg->pid > 0)
        identity->pidfd = (int)syscall(SYS_pidfd_open, msg->pid, 0);
    /* Without one (a pid outside of our namespace, no descriptor left) the socket's end must do. */
    if (identity->pidfd >= 0)
        di_fork_close_in_child(identity->pidfd);
    return DUCT_OK;
}
