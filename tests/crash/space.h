/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_SPACE_H
#define TESTS_CRASH_SPACE_H

#include <stdbool.h>

/* unshare(flags), in a user namespace of its own where the rights are wanting, which keeps the uid. Where this
 * machine does not allow it, ends the program with 77 and says so. */
void space_enter(int flags);

/* After space_enter(CLONE_NEWNS): what is mounted from now on is seen by nobody else. Ends like it, as in a plain chroot. */
void space_own_mounts(void);

/* A user namespace in which this process keeps its uid (mapped), or has none that is known. */
void space_enter_user(bool mapped);

#endif
