/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/crash.h"
#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "shm/durable_file.h"
#include "shm/durable_scan.h"
#include "shm/leftover.h"
#include "shm/liveness.h"

/*
 * A durable pipe, of up to four files: shm/durable_layout.h. It is left over when no end has an owner, and is
 * removed whole: what was released of one end's messages stands in the other's outbox, so that one outbox
 * alone would tell of messages that were delivered long ago.
 *
 * Two files cannot be unlinked at once. So, under the locks of all four, the outbox of the end that listens is
 * renamed onto that of the end that dials: one step, after which there is one outbox, whose header names the
 * other end. An owner refuses that as it refuses anything that is not its own; a janitor sees that a removal
 * was begun, and completes it. Then that name goes, then the pools. Rejected: unlinking one after the other
 * (a janitor killed in between would leave messages to be delivered twice), and a file that announces the
 * removal (every owner would have to look for it on each start).
 */
enum { LISTEN, DIAL, LISTEN_POOL, DIAL_POOL, FILES };

struct files {
    int fd[FILES]; /* -1: there is none */
    uint64_t size[FILES];
    char name[FILES][DI_DURABLE_FILE_MAX + 1];
};

static void name_files(struct files *files, const char *name)
{
    di_durable_outbox_name(files->name[LISTEN], name, DI_END_LISTEN);
    di_durable_outbox_name(files->name[DIAL], name, DI_END_DIAL);
    di_durable_pool_name(files->name[LISTEN_POOL], name, DI_END_LISTEN);
    di_durable_pool_name(files->name[DIAL_POOL], name, DI_END_DIAL);
}

static void close_files(struct files *files)
{
    for (int i = 0; i < FILES; i++)
        di_fork_close(files->fd[i]);
}

/* False: judged. */
static bool open_file(struct di_found *found, struct files *files, int i, bool writable)
{
    const int flags =
        (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    const char *name = files->name[i];
    struct stat status;

    /* Looked at before it is opened, since opening a device is an act. */
    bool there = di_place_stat(found->place, name, &status);
    if (there && !di_found_is_ours(found, &status, S_IFREG, name))
        return false;
    int fd = there ? openat(found->place->fd, name, flags) : -1;
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0 || fstat(fd, &status) != 0) {
        di_found_judge(found, DUCT_LEFTOVER_UNKNOWN, "%s cannot be opened (%s)", name,
                       strerror(errno));
        if (fd >= 0)
            close(fd);
        return false;
    }
    di_fork_close_in_child(fd);
    files->fd[i] = fd;
    files->size[i] = (uint64_t)status.st_size;
    di_found_measure(found, &status);
    return di_found_is_ours(found, &status, S_IFREG, name);
}

static bool open_files(struct di_found *found, struct files *files, bool writable)
{
    bool good = true;

    found->about.bytes = 0;
    found->measured = false;
    for (int i = 0; i < FILES; i++)
        files->fd[i] = -1;
    name_files(files, found->raw);
    for (int i = 0; good && i < FILES; i++)
        good = open_file(found, files, i, writable);
    if (!good)
        close_files(files);
    return good;
}

/* ---- Judging ---- */

static uint32_t owner_of(int fd)
{
    struct di_durable_owner owner;

    if (di_durable_file_read(fd, &owner, sizeof(owner), DI_DURABLE_OWNER_AT) != DUCT_OK)
        return 0;
    /* Relaxed: a private copy, read for people. */
    return atomic_load_explicit(&owner.pid, memory_order_relaxed);
}

static bool is_locked(struct di_found *found, const struct files *files)
{
    enum di_holder holder;

    for (int i = 0; i < FILES; i++) {
        if (files->fd[i] < 0)
            continue;
        if (di_lock_ask(files->fd[i], &holder) != DUCT_OK)
            di_found_judge(found, DUCT_LEFTOVER_UNKNOWN, "%s", duct_err_detail());
        else if (holder == DI_HELD_BY_JANITOR)
            di_found_judge(found, DUCT_LEFTOVER_LIVE, "another janitor is at it");
        else if (holder == DI_HELD_BY_OWNER && i < LISTEN_POOL)
            di_found_judge(found, DUCT_LEFTOVER_LIVE, "process %u has its %sing end open",
                           (unsigned)owner_of(files->fd[i]),
                           di_end_name(i == LISTEN ? DI_END_LISTEN : DI_END_DIAL));
        else if (holder == DI_HELD_BY_OWNER)
            di_found_judge(found, DUCT_LEFTOVER_LIVE, "somebody holds the lock of %s",
                           files->name[i]);
        else
            continue;
        return true;
    }
    return false;
}

/* What a file is that lies where the end that dials should. */
static bool is_begun(const struct di_found *found, const struct files *files)
{
    struct di_durable_header header;

    return files->fd[DIAL] >= 0 &&
           di_durable_file_read(files->fd[DIAL], &header, sizeof(header), DI_DURABLE_HEADER_AT) ==
               DUCT_OK &&
           header.magic == DI_DURABLE_MAGIC && header.end == DI_END_LISTEN &&
           strncmp(header.name, found->raw, sizeof(header.name)) == 0;
}

/* What the end sent and nobody released, or why that cannot be told: then judged. */
static bool examine(struct di_found *found, const struct files *files, int own, bool *this_boot)
{
    struct di_durable_facts facts;
    int other = own == LISTEN ? DIAL : LISTEN;
    struct stat status;

    if (files->fd[own] < 0)
        return true;
    if (fstat(files->fd[own], &status) == 0 && (status.st_mode & 07777) != 0600) {
        di_found_judge(found, DUCT_LEFTOVER_DAMAGED, "%s has mode %04o where it was given 0600",
                       files->name[own], (unsigned)(status.st_mode & 07777));
        return false;
    }
    if (di_durable_examine(&facts, files->fd[own], files->size[own], files->fd[other],
                           files->size[other]) != DUCT_OK) {
        char why[160];
        snprintf(why, sizeof(why), "%s", duct_err_detail());
        /* Which of the two it is: if this one is sound on its own, the one it is compared with. */
        bool alone = di_durable_examine(&facts, files->fd[own], files->size[own], -1, 0) == DUCT_OK;
        di_found_judge(found, DUCT_LEFTOVER_DAMAGED, "%s: %s", files->name[alone ? other : own],
                       why);
        return false;
    }
    if (strcmp(facts.name, found->raw) != 0 ||
        facts.end != (own == LISTEN ? DI_END_LISTEN : DI_END_DIAL)) {
        di_found_judge(found, DUCT_LEFTOVER_DAMAGED, "%s was made under another name",
                       files->name[own]);
        return false;
    }
    di_found_written(found, facts.attached_ns / 1000000000);
    found->about.undelivered += facts.undelivered;
    *this_boot = *this_boot && facts.this_boot;
    return true;
}

/* Sets the state; whoever calls looks whether it is one to be removed. */
static void judge(struct di_found *found, const struct files *files)
{
    bool this_boot = true, begun = is_begun(found, files);
    struct files rest = *files;

    /* Beside a removal that was begun there may be an end that was made since, and was refused for it. */
    if (begun)
        rest.fd[DIAL] = -1;
    found->about.undelivered = 0;
    if (!examine(found, &rest, LISTEN, &this_boot) || !examine(found, &rest, DIAL, &this_boot))
        return;
    const char *since = this_boot ? "" : " since the last boot";
    if (found->about.undelivered > 0)
        di_found_judge(found, DUCT_LEFTOVER_FULL, "nobody has it open%s, and it holds messages",
                       since);
    else if (begun)
        di_found_judge(found, DUCT_LEFTOVER_EMPTY, "its removal was begun, and cut short");
    else if (rest.fd[LISTEN] < 0 && rest.fd[DIAL] < 0)
        di_found_judge(found, DUCT_LEFTOVER_EMPTY,
                       "a pool without its outbox: a start or a "
                       "removal was cut short");
    else
        di_found_judge(found, DUCT_LEFTOVER_EMPTY,
                       "nobody has it open%s, and all of it was delivered", since);
}

/* ---- Removing ---- */

static enum duct_err lock_files(struct di_found *found, const struct files *files)
{
    enum duct_err err;
    bool taken;

    for (int i = 0; i < FILES; i++) {
        if (files->fd[i] < 0)
            continue;
        if ((err = di_lock_take_as_janitor(files->fd[i], &taken)) != DUCT_OK)
            return err;
        if (!taken)
            return di_fail(DUCT_EINUSE, "%s is kept: the lock of %s is held", found->about.name,
                           files->name[i]);
    }
    /* With all locks in hand: what is held is what is named, and there is nothing new beside it. */
    for (int i = 0; i < FILES; i++) {
        struct stat status;
        bool there = di_place_stat(found->place, files->name[i], &status);
        if (there != (files->fd[i] >= 0) ||
            (there && !di_names_this(found->place->fd, files->name[i], files->fd[i])))
            return di_fail(there ? DUCT_EINUSE : DUCT_ENOTFOUND,
                           "%s was removed, or taken over, just now", found->about.name);
    }
    return DUCT_OK;
}

static enum duct_err unlink_files(struct di_found *found, const struct files *files)
{
    int place = found->place->fd;

    if (files->fd[LISTEN] >= 0 && files->fd[DIAL] >= 0 &&
        renameat(place, files->name[LISTEN], place, files->name[DIAL]) != 0)
        return di_fail_os(errno, "removing %s", files->name[LISTEN]);
    DI_CRASH_POINT("leftover.committed");
    if (files->fd[LISTEN] >= 0 && files->fd[DIAL] < 0 &&
        unlinkat(place, files->name[LISTEN], 0) != 0)
        return di_fail_os(errno, "removing %s", files->name[LISTEN]);
    for (int i = DIAL; i < FILES; i++) {
        if (files->fd[i] >= 0 && unlinkat(place, files->name[i], 0) != 0)
            return di_fail_os(errno, "removing %s", files->name[i]);
        DI_CRASH_POINT("leftover.unlinked");
    }
    return DUCT_OK;
}

static enum duct_err remove_durable(struct di_found *found, bool discard)
{
    struct files files;
    enum duct_err err = DUCT_OK;

    if (!open_files(found, &files, true))
        return di_fail(DUCT_EDENIED, "%s is kept: %s", found->about.name, found->reason);
    if (files.fd[LISTEN] < 0 && files.fd[DIAL] < 0 && files.fd[LISTEN_POOL] < 0 &&
        files.fd[DIAL_POOL] < 0)
        err = di_fail(DUCT_ENOTFOUND, "%s is gone already", found->about.name);
    if (err == DUCT_OK && (err = lock_files(found, &files)) == DUCT_OK) {
        judge(found, &files);
        /* Under the locks it is empty, full or damaged. */
        if (found->about.state != DUCT_LEFTOVER_EMPTY && !discard)
            err = di_fail(DUCT_EINVAL, "%s is kept: %s", found->about.name, found->reason);
    }
    if (err == DUCT_OK)
        err = unlink_files(found, &files);
    close_files(&files);
    return err;
}

enum duct_err di_leftover_durable(struct duct_janitor *janitor, const struct di_place *place,
                                  const char *name)
{
    char shown[DI_DURABLE_NAME_MAX + 16];
    struct di_found *found;
    struct files files;

    snprintf(shown, sizeof(shown), "%s.*", name);
    enum duct_err err = di_found_add(janitor, &found, place, name, shown);
    if (err != DUCT_OK)
        return err;
    found->remove = remove_durable;
    found->about.kind = DUCT_LEFTOVER_SEGMENT;
    found->about.uid = place->uid;
    if (!open_files(found, &files, false))
        return DUCT_OK;
    if (!is_locked(found, &files))
        judge(found, &files);
    close_files(&files);
    return DUCT_OK;
}
