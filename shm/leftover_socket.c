/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "shm/leftover.h"
#include "shm/liveness.h"
#include "shm/names.h"

/*
 * A listener's NAME and NAME.lock (shm/names.h). The lock decides: its owner holds it for life. Where it is
 * free, or was lost, the socket is asked too, since a program that keeps no lock may be behind it.
 */

static void lock_name(const struct di_found *found, char name[static 280])
{
    snprintf(name, 280, "%s" DI_LOCK_SUFFIX, found->raw);
}

/* What there is of it. False: judged. */
struct pair {
    bool has_socket, has_lock;
    struct stat socket, lock;
};

static bool measure(struct di_found *found, struct pair *pair)
{
    char name[280];

    lock_name(found, name);
    pair->has_lock = di_place_stat(found->place, name, &pair->lock);
    pair->has_socket = di_place_stat(found->place, found->raw, &pair->socket);
    found->about.bytes = 0;
    found->measured = false;
    if (pair->has_lock)
        di_found_measure(found, &pair->lock);
    if (pair->has_socket)
        di_found_measure(found, &pair->socket);
    if (pair->has_lock && !di_found_is_ours(found, &pair->lock, S_IFREG, "its lock"))
        return false;
    if (pair->has_lock && pair->lock.st_size != 0) {
        di_found_judge(found, DUCT_LEFTOVER_REFUSED,
                       "its lock holds %jd bytes, where a lock is empty; left alone",
                       (intmax_t)pair->lock.st_size);
        return false;
    }
    return !pair->has_socket || di_found_is_ours(found, &pair->socket, S_IFSOCK, "it");
}

/* Whether somebody is behind the socket. False: nobody is. */
static bool answers(struct di_found *found)
{
    char path[64];
    struct stat status;
    bool somebody;
    int pid;
    /* By descriptor, so that it is the one in this directory and no link is followed. */
    int fd = openat(found->place->fd, found->raw, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return false;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (fd < 0 || fstat(fd, &status) != 0 || !S_ISSOCK(status.st_mode) || access(path, F_OK) != 0) {
        di_found_judge(found, DUCT_LEFTOVER_UNKNOWN, "it cannot be asked who listens (%s)",
                       fd < 0 ? strerror(errno) : "is /proc mounted?");
        if (fd >= 0)
            close(fd);
        return true;
    }
    enum duct_err err = di_names_ask(path, &somebody, &pid);
    close(fd);
    if (err != DUCT_OK)
        di_found_judge(found, DUCT_LEFTOVER_UNKNOWN, "it cannot be asked who listens (%s)",
                       duct_err_name(err));
    else if (somebody && pid != 0)
        di_found_judge(found, DUCT_LEFTOVER_LIVE,
                       "it has a listener that holds no lock: process %d", pid);
    else if (somebody)
        di_found_judge(found, DUCT_LEFTOVER_LIVE, "it belongs to a program that holds no lock");
    return err != DUCT_OK || somebody;
}

/* Asks, without taking it. False: it is free. */
static bool is_locked(struct di_found *found, const char *name)
{
    enum di_holder holder = DI_HELD_BY_OWNER;
    int fd = openat(found->place->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT)
        return false;
    if (fd < 0 || di_lock_ask(fd, &holder) != DUCT_OK)
        di_found_judge(found, DUCT_LEFTOVER_UNKNOWN, "its lock cannot be read (%s)",
                       strerror(errno));
    else if (holder != DI_HELD_BY_NOBODY)
        di_found_judge(found, DUCT_LEFTOVER_LIVE, "%s",
                       holder == DI_HELD_BY_OWNER ? "its listener holds the lock"
                                                  : "another janitor is at it");
    if (fd >= 0)
        close(fd);
    return holder != DI_HELD_BY_NOBODY;
}

/* ---- Removing ---- */

/*
 * Takes the lock, making it if it was lost: otherwise a listener that starts now would not see us.
 * made: it was not there.
 */
static enum duct_err take_lock(struct di_found *found, const char *name, int *out, bool *made)
{
    const int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
    struct stat held;
    bool taken;
    int fd = openat(found->place->fd, name, flags);

    *made = fd < 0 && errno == ENOENT;
    if (*made) {
        struct stat socket;
        if (!di_place_stat(found->place, found->raw, &socket))
            return di_fail(DUCT_ENOTFOUND, "%s is gone already", found->about.path);
        fd = openat(found->place->fd, name, flags | O_CREAT | O_EXCL, 0600);
    }
    if (fd < 0)
        return errno == EEXIST
                   ? di_fail(DUCT_EINUSE, "%s is being taken just now", found->about.path)
                   : di_fail_os(errno, "opening the lock of %s", found->about.path);
    di_fork_close_in_child(fd);
    enum duct_err err = di_lock_take_as_janitor(fd, &taken);
    if (err == DUCT_OK && !taken)
        err = di_fail(DUCT_EINUSE, "%s is kept: its lock is held", found->about.path);
    /* Whoever had it may have removed its name while we opened it: then we hold nothing. */
    else if (err == DUCT_OK && (!di_names_this(found->place->fd, name, fd) ||
                                fstat(fd, &held) != 0 || held.st_nlink != 1))
        err = di_fail(DUCT_ENOTFOUND, "%s was removed, or taken over, just now", found->about.path);
    if (err != DUCT_OK) {
        di_fork_close(fd);
        return err;
    }
    *out = fd;
    return DUCT_OK;
}

/* Under the lock. The socket goes first: without a lock it would be anybody's. */
static enum duct_err unlink_pair(struct di_found *found, const char *name, bool made)
{
    struct pair pair;

    if (!measure(found, &pair))
        return di_fail(DUCT_EDENIED, "%s is kept: %s", found->about.path, found->reason);
    if (pair.has_socket && answers(found))
        return di_fail(found->about.state == DUCT_LEFTOVER_LIVE ? DUCT_EINUSE : DUCT_EDENIED,
                       "%s is kept: %s", found->about.path, found->reason);
    if (pair.has_socket && unlinkat(found->place->fd, found->raw, 0) != 0 && errno != ENOENT)
        return di_fail_os(errno, "removing %s", found->about.path);
    if (unlinkat(found->place->fd, name, 0) != 0)
        return di_fail_os(errno, "removing the lock of %s", found->about.path);
    return pair.has_socket || !made
               ? DUCT_OK
               : di_fail(DUCT_ENOTFOUND, "%s is gone already", found->about.path);
}

static enum duct_err remove_pair(struct di_found *found, bool discard)
{
    char name[280];
    bool made;
    int lock = -1; /* gcc cannot see that take_lock() sets it */
    enum duct_err err;

    (void)discard; /* a socket holds nothing */
    lock_name(found, name);
    if ((err = take_lock(found, name, &lock, &made)) != DUCT_OK)
        return err;
    err = unlink_pair(found, name, made);
    di_fork_close(lock);
    return err;
}

enum duct_err di_leftover_socket(struct duct_janitor *janitor, const struct di_place *place,
                                 const char *name)
{
    struct di_found *found;
    struct pair pair;
    char lock[280];
    enum duct_err err = di_found_add(janitor, &found, place, name, NULL);

    if (err != DUCT_OK)
        return err;
    found->remove = remove_pair;
    found->about.kind = DUCT_LEFTOVER_SOCKET;
    if (!measure(found, &pair))
        return DUCT_OK;
    if (!pair.has_socket)
        found->about.kind = DUCT_LEFTOVER_LOCK;
    lock_name(found, lock);
    if ((pair.has_lock && is_locked(found, lock)) || (pair.has_socket && answers(found)))
        return DUCT_OK;
    di_found_judge(found, DUCT_LEFTOVER_EMPTY, "%s",
                   !pair.has_socket ? "nobody holds this lock, and its socket is gone"
                   : pair.has_lock  ? "nobody holds its lock, and nobody answers"
                                    : "its lock is gone, and nobody answers");
    return DUCT_OK;
}
