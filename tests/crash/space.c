/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/space.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

enum { SKIP = 77 };

static void cannot(const char *what)
{
    fprintf(stderr, "not allowed here: %s: %s\n", what, strerror(errno));
    exit(SKIP);
}

static void say(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        cannot(path);
    close(fd);
}

void space_enter_user(bool mapped)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    char map[64];

    if (unshare(CLONE_NEWUSER) != 0)
        cannot("a user namespace");
    if (!mapped)
        return;
    say("/proc/self/setgroups", "deny");
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)uid, (unsigned)uid);
    say("/proc/self/uid_map", map);
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)gid, (unsigned)gid);
    say("/proc/self/gid_map", map);
}

void space_own_mounts(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        cannot("mounts of its own");
}

void space_enter(int flags)
{
    if (unshare(flags) == 0)
        return;
    if (errno != EPERM)
        cannot("namespaces");
    space_enter_user(true);
    if (unshare(flags) != 0)
        cannot("namespaces");
}
