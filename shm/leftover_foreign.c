/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "shm/leftover.h"

/*
 * Everybody's POSIX shared memory and named semaphores: the files below /dev/shm.
 *
 * Their owners keep no lock that we know of. Who has them is looked up in /proc, and whether nobody has them
 * is asked of the kernel: a write lease is granted only where no other open file of that inode exists, mapped
 * or not, in whatever namespace its process is. So a lease that is granted proves what /proc cannot show, and
 * it is held while the name is removed; whoever opens the file meanwhile waits those microseconds. It is
 * given to the file's owner only, whose rights we take on. Where the file system grants none, /proc decides,
 * and only if all of it could be seen.
 */
#define DEPTH_MAX 3

static const char shared_memory[] = "/dev/shm";

/* ---- Finding ---- */

static enum duct_err add(struct duct_janitor *janitor, const struct di_place *place,
                         const char *raw, const struct stat *status);

static enum duct_err walk(struct duct_janitor *janitor, const struct di_place *place, int directory,
                          const char *below, int depth)
{
    DIR *stream = fdopendir(directory);
    struct dirent *entry;
    struct stat status;
    char raw[768];
    enum duct_err err = DUCT_OK;

    if (stream == NULL) {
        close(directory);
        return di_fail_os(errno, "reading %s", shared_memory);
    }
    while (err == DUCT_OK && (entry = di_directory_next(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            fstatat(directory, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        snprintf(raw, sizeof(raw), "%s%s", below, entry->d_name);
        if (S_ISREG(status.st_mode)) {
            err = add(janitor, place, raw, &status);
        } else if (S_ISDIR(status.st_mode) && depth < DEPTH_MAX) {
            int fd =
                openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
            snprintf(raw, sizeof(raw), "%s%s/", below, entry->d_name);
            if (fd >= 0)
                err = walk(janitor, place, fd, raw, depth + 1);
            else if (errno != ENOENT)
                di_janitor_not_seen(janitor, "%s/%s: %s", shared_memory, raw, strerror(errno));
        }
    }
    if (err == DUCT_OK && errno != 0)
        err = di_fail_os(errno, "reading %s/%s", shared_memory, below);
    closedir(stream);
    return err;
}

/* ---- Asking the kernel ---- */

enum lease { GRANTED, SOMEBODY, NOT_HERE };

/* Holds until fd is closed. */
static enum lease take_lease(int fd)
{
    /* Its breaking is announced by a signal, which by default would end the program: one that by default
     * does nothing, until there is nobody to be told. */
    if (fcntl(fd, F_SETSIG, SIGURG) != 0)
        return NOT_HERE;
    if (fcntl(fd, F_SETLEASE, F_WRLCK) != 0)
        return errno == EAGAIN ? SOMEBODY : NOT_HERE;
    fcntl(fd, F_SETOWN, 0);
    return GRANTED;
}

/* The file, if it is the one that was judged; its directory, to be closed; and its name there. NOTFOUND. */
static enum duct_err open_again(const struct di_found *found, int *file, int *directory,
                                const char **leaf)
{
    struct stat status;
    char part[256];
    const char *at = found->raw, *slash;
    int parent = openat(found->place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    /* Part by part, since no part may be a link. */
    while (parent >= 0 && (slash = strchr(at, '/')) != NULL) {
        snprintf(part, sizeof(part), "%.*s", (int)(slash - at), at);
        int next = openat(parent, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        close(parent);
        parent = next;
        at = slash + 1;
    }
    int fd = parent >= 0
                 ? openat(parent, at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)
                 : -1;
    if (fd >= 0 && fstat(fd, &status) == 0 && status.st_dev == found->device &&
        status.st_ino == found->inode && status.st_nlink == 1) {
        di_fork_close_in_child(fd);
        *file = fd;
        *directory = parent;
        *leaf = at;
        return DUCT_OK;
    }
    enum duct_err err =
        fd < 0 && errno != ENOENT && errno != ELOOP
            ? di_fail_os(errno, "opening %s", found->about.path)
            : di_fail(DUCT_ENOTFOUND, "%s was removed, or made anew, meanwhile", found->about.path);
    if (fd >= 0)
        close(fd);
    if (parent >= 0)
        close(parent);
    return err;
}

static enum lease ask(const struct di_found *found)
{
    enum lease answer = NOT_HERE;
    uint32_t before;
    int fd, directory;
    const char *leaf;

    if (di_place_enter(found->about.uid, &before) != DUCT_OK)
        return NOT_HERE;
    if (open_again(found, &fd, &directory, &leaf) == DUCT_OK) {
        answer = take_lease(fd);
        di_fork_close(fd);
        close(directory);
    }
    di_place_leave(before);
    return answer;
}

/* ---- Judging ---- */

static void judge(struct di_found *found, const struct di_holders *holders)
{
    bool seen_all = holders->hidden == 0 && !holders->partial;
    size_t count = found->about.holder_count;

    if (count > 0)
        di_found_judge(found, DUCT_LEFTOVER_LIVE, "%zu process%s ha%s it open or mapped", count,
                       count == 1 ? "" : "es", count == 1 ? "s" : "ve");
    else if (strcmp(found->about.engine, "duct") == 0)
        di_found_judge(found, DUCT_LEFTOVER_REFUSED, "judged by its lock: look without --foreign");
    else if (seen_all)
        di_found_judge(found, DUCT_LEFTOVER_EMPTY, "nobody has it open or mapped");
    else {
        enum lease lease = ask(found);
        if (lease == GRANTED)
            di_found_judge(found, DUCT_LEFTOVER_EMPTY,
                           "the kernel knows of nobody who has it open");
        else if (lease == SOMEBODY)
            di_found_judge(found, DUCT_LEFTOVER_LIVE,
                           "somebody has it open who cannot be seen from "
                           "here");
        else
            di_found_judge(found, DUCT_LEFTOVER_UNKNOWN,
                           "who has it open cannot be seen from here");
    }
}

/* ---- Removing ---- */

/* Where there are no leases: another look at all processes, for this file. */
static bool is_nobodys(struct di_found *found)
{
    struct di_found *wanted[] = {found};
    struct di_holders holders = {.wanted = wanted, .count = 1};

    free(found->holders);
    found->holders = NULL;
    found->about.holders = NULL;
    found->about.holder_count = 0;
    return di_holders_find(&holders) == DUCT_OK && holders.hidden == 0 && !holders.partial &&
           found->about.holder_count == 0;
}

static enum duct_err remove_posix(struct di_found *found, bool discard)
{
    int fd, directory;
    const char *leaf;
    struct stat status;
    enum duct_err err = open_again(found, &fd, &directory, &leaf);

    (void)discard;
    if (err != DUCT_OK)
        return err;
    enum lease lease = take_lease(fd);
    if (lease == SOMEBODY)
        err = di_fail(DUCT_EINUSE, "%s is kept: somebody has opened it", found->about.path);
    else if (lease == NOT_HERE && !is_nobodys(found))
        err = di_fail(DUCT_EDENIED, "%s is kept: whether nobody has it open cannot be proved",
                      found->about.path);
    else if (fstatat(directory, leaf, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
             status.st_ino != found->inode || status.st_dev != found->device)
        err = di_fail(DUCT_ENOTFOUND, "%s was removed, or made anew, meanwhile", found->about.path);
    else if (unlinkat(directory, leaf, 0) != 0)
        err = di_fail_os(errno, "removing %s", found->about.path);
    /* libqb's directory of one connection; not empty, it stays. */
    else if (leaf != found->raw && strcmp(found->about.engine, "libqb") == 0) {
        char parent[256];
        snprintf(parent, sizeof(parent), "%.*s", (int)(leaf - 1 - found->raw), found->raw);
        (void)unlinkat(found->place->fd, parent, AT_REMOVEDIR);
    }
    di_fork_close(fd);
    close(directory);
    return err;
}

static enum duct_err add(struct duct_janitor *janitor, const struct di_place *place,
                         const char *raw, const struct stat *status)
{
    struct di_found *found;
    const char *leaf = strrchr(raw, '/');

    if (status->st_nlink == 0 || (janitor->own && status->st_uid != geteuid()))
        return DUCT_OK;
    enum duct_err err = di_found_add(janitor, &found, place, raw, NULL);
    if (err != DUCT_OK)
        return err;
    di_found_measure(found, status);
    found->remove = remove_posix;
    found->about.kind = strncmp(leaf != NULL ? leaf + 1 : raw, "sem.", 4) == 0
                            ? DUCT_LEFTOVER_SEMAPHORE
                            : DUCT_LEFTOVER_POSIX;
    found->about.engine = di_engine_of(raw);
    return DUCT_OK;
}

static void say_hidden(struct duct_janitor *janitor, const struct di_holders *holders)
{
    bool one = holders->hidden == 1;

    if (holders->hidden > 0)
        di_janitor_not_seen(janitor, "what %zu process%s ha%s open: no right to look into %s",
                            holders->hidden, one ? "" : "es", one ? "s" : "ve",
                            one ? "it" : "them");
    if (holders->partial)
        di_janitor_not_seen(janitor, "processes outside this container, or hidden in /proc");
}

enum duct_err di_leftover_foreign(struct duct_janitor *janitor)
{
    struct di_holders holders = {0};
    enum duct_err err = di_janitor_place(janitor, shared_memory, 0, true);

    if (err == DUCT_ENOTFOUND)
        err = DUCT_OK; /* no /dev/shm: nothing in it */
    if (err == DUCT_OK && janitor->place_count > 0) {
        const struct di_place *place = janitor->places[0];
        int fd = openat(place->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        err = fd >= 0 ? walk(janitor, place, fd, "", 0)
                      : di_fail_os(errno, "reading %s", shared_memory);
    }
    if (err == DUCT_OK)
        err = di_leftover_sysv(janitor);
    if (err != DUCT_OK)
        return err;
    holders.wanted = calloc(janitor->count + 1, sizeof(struct di_found *));
    if (holders.wanted == NULL)
        return di_fail_os(ENOMEM, "a table of %zu segments", janitor->count);
    if (janitor->count > 0)
        memcpy(holders.wanted, janitor->found, janitor->count * sizeof(struct di_found *));
    holders.count = janitor->count;
    err = di_holders_find(&holders);
    for (size_t i = 0; err == DUCT_OK && i < janitor->count; i++) {
        if (janitor->found[i]->about.kind == DUCT_LEFTOVER_SYSV)
            di_leftover_sysv_judge(janitor->found[i]);
        else
            judge(janitor->found[i], &holders);
    }
    say_hidden(janitor, &holders);
    free(holders.wanted);
    return err;
}
