/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "transports/durable.h"

/*
 * What happens to files: the own one may be removed; the listener's socket appears; and the other end's outbox is made,
 * or let go. That last is how an end is heard of that came, sent, and closed or died before the two had met: the kernel
 * closes its files, and nobody has to say anything.
 */

static void file_path(char out[DI_DURABLE_DIR_MAX + DI_DURABLE_FILE_MAX + 2],
                      const struct di_durable_end *end, enum di_end which)
{
    char file[DI_DURABLE_FILE_MAX + 1];

    di_durable_outbox_name(file, end->name, which);
    snprintf(out, DI_DURABLE_DIR_MAX + DI_DURABLE_FILE_MAX + 2, "%s/%s", end->dir.path, file);
}

void durable_watch_peer(struct durable_pipe *self)
{
    const struct di_durable_end *end = &self->durable->end;
    char path[DI_DURABLE_DIR_MAX + DI_DURABLE_FILE_MAX + 2];

    if (self->watch < 0 || self->peer_watched || (!end->met && self->files_watch >= 0))
        return;
    file_path(path, end, di_end_other(end->end));
    /* The directory may be that of the socket, too. */
    int got = end->met ? inotify_add_watch(self->watch, path, IN_CLOSE_WRITE)
                       : inotify_add_watch(self->watch, end->dir.path, IN_CREATE | IN_MASK_ADD);
    if (got < 0)
        di_log(DUCT_LOG_WARN,
               "the durable pipe %s cannot watch its other end's files (%s): what is left there by "
               "somebody who goes before the two have met is found when the next one comes",
               end->name, strerror(errno));
    if (!end->met) {
        self->files_watch = got;
        return;
    }
    self->peer_watched = got >= 0;
    if (self->files_watch >= 0 && self->files_watch != self->socket_watch)
        inotify_rm_watch(self->watch, self->files_watch);
    self->files_watch = -1;
}

enum duct_err durable_watch_open(struct durable_pipe *self)
{
    const struct di_durable_end *end = &self->durable->end;
    char path[DI_DURABLE_DIR_MAX + DI_DURABLE_FILE_MAX + 2];
    char directory[sizeof(self->path)];

    file_path(path, end, end->end);
    snprintf(directory, sizeof(directory), "%s", self->path);
    *strrchr(directory, '/') = '\0';
    self->watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (self->watch < 0) {
        di_log(DUCT_LOG_INFO,
               "the durable pipe %s cannot watch its files (%s): it looks for its other end from "
               "time to time, and does "
               "not see it if they are removed; raise fs.inotify.max_user_instances",
               end->name, strerror(errno));
        return DUCT_OK;
    }
    di_fork_close_in_child(self->watch);
    /* IN_ATTRIB comes when a link count changes. */
    if (inotify_add_watch(self->watch, path, IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0 &&
        errno != ENOENT)
        return di_fail_os(errno, "watching %s", path);
    if (!self->listening && (self->socket_watch = inotify_add_watch(
                                 self->watch, directory, IN_CREATE | IN_MOVED_TO | IN_ATTRIB)) < 0)
        return di_fail_os(errno, "watching %s for the listener", directory);
    durable_watch_peer(self);
    return DUCT_OK;
}

static void look_at_name(struct durable_pipe *self)
{
    if (self->name_lost || di_durable_end_named(&self->durable->end))
        return;
    self->name_lost = true;
    di_log(
        DUCT_LOG_WARN,
        "the durable pipe %s has lost its file in %s: somebody removed it. It goes on while both "
        "processes live, and nothing of it will outlive them; open it anew",
        self->durable->end.name, self->durable->end.dir.path);
    durable_set_state(self, self->pipe.state, DUCT_ENOTFOUND);
}

void durable_watch_read(struct durable_pipe *self)
{
    if (durable_looks_by_time(self)) {
        self->tries = 0;
        durable_find_listener(self);
        durable_submit(self, OP_WATCH);
        return;
    }
    _Alignas(struct inotify_event) char buffer[4096];
    const struct di_durable_end *end = &self->durable->end;
    const char *name = strrchr(self->path, '/') + 1;
    char peer[DI_DURABLE_FILE_MAX + 1];
    bool socket_changed = false;
    bool peer_changed = false;
    ssize_t got;

    di_durable_outbox_name(peer, end->name, di_end_other(end->end));

    while ((got = read(self->watch, buffer, sizeof(buffer))) > 0) {
        for (char *at = buffer; at < buffer + got;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            /* An overflow may have swallowed anything. */
            if ((event->mask & IN_Q_OVERFLOW) || (event->len > 0 && strcmp(event->name, name) == 0))
                socket_changed = true;
            if ((event->mask & (IN_Q_OVERFLOW | IN_CLOSE_WRITE)) ||
                (event->len > 0 && strcmp(event->name, peer) == 0))
                peer_changed = true;
            at += sizeof(*event) + event->len;
        }
    }
    look_at_name(self);
    if (peer_changed)
        durable_find_files(self);
    if (socket_changed) {
        self->tries = 0;
        durable_find_listener(self);
    }
    durable_submit(self, OP_WATCH);
}
