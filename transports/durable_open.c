/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "lib/core/listener.h"
#include "transports/durable.h"

/*
 * Opening durable pipes.
 *
 * A dial opens its end, and meets the listener if there is one; if there is none, the pipe is opened
 * without. A listener owns its end from the beginning, and has a pipe to give at once, whether or not
 * anybody dialled; the pipe takes the socket with it, so that a peer that comes back is let in also when
 * the listener's handle has been closed. When that pipe is closed first, the listener has the socket back, and
 * gives another pipe when somebody dials.
 */

/* ---- One end ---- */

/* What a durable pipe cannot have. */
static enum duct_err check_options(const struct di_url *url, const struct duct_options *o)
{
    if (url->rest[0] == '/')
        return di_fail(DUCT_EINVAL,
                       "shm://%s?durable=1: expected a name and no path; the option dir "
                       "says where its files are",
                       url->rest);
    if (o->pool_max > o->pool)
        return di_fail(DUCT_EINVAL, "pool_max with durable=1: a durable pipe's pool does not grow; "
                                    "give it all by the option pool");
    if (o->huge_pages == DUCT_YES)
        return di_fail(DUCT_ENOTSUP, "huge=1 with durable=1: files have no huge pages");
    if (o->allow_uids != NULL)
        return di_fail(DUCT_ENOTSUP,
                       "allow with durable=1: the files of a durable pipe are for one "
                       "user");
    return DUCT_OK;
}

static enum duct_err open_end(struct di_durable **durable, const char *name, enum di_end end,
                              const struct duct_options *o)
{
    const struct di_durable_asks asks = {.dir = o->dir,
                                         .name = name,
                                         .end = end,
                                         .slots = o->slots,
                                         .max_msg = o->max_msg,
                                         .pool = o->pool,
                                         .held = o->held_max,
                                         .bytes_max = o->peer_bytes_max};

    return di_durable_open(durable, &asks);
}

/* Takes durable, and bound; on an error only what it took besides is undone. */
static enum duct_err open_pipe(struct durable_pipe **out, struct duct_context *context,
                               struct di_durable *durable, const char *path,
                               const struct di_options *options)
{
    struct durable_pipe *self = (struct durable_pipe *)di_pipe_alloc(
        sizeof(*self), context, &durable_pipe_ops, &options->o);
    enum duct_err err;

    if (self == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe");
    self->durable = durable;
    self->listening = durable->end.end == DI_END_LISTEN;
    self->bound.socket = self->bound.lock = -1;
    self->meeting = self->link = (struct durable_peer){.socket = -1, .identity = {.pidfd = -1}};
    self->watch = self->socket_watch = self->files_watch = self->spare = -1;
    self->pipe.state = DUCT_STATE_DISCONNECTED;
    snprintf(self->path, sizeof(self->path), "%s", path);
    if ((err = di_options_copy(&self->options, options)) != DUCT_OK ||
        (err = durable_watch_open(self)) != DUCT_OK) {
        di_fork_close(self->watch);
        di_options_fini(&self->options);
        di_pipe_unlink(&self->pipe);
        di_pipe_free(&self->pipe);
        return err;
    }
    if ((self->close_told = durable_peer_finished(self)) != 0)
        self->pipe.state_why = DUCT_ECLOSED;
    *out = self;
    return DUCT_OK;
}

/* ---- Dialling ---- */

struct durable_dial {
    struct durable_pipe *pipe; /* NULL once it was handed out */
    bool wait;                 /* for a peer */
};

enum duct_err durable_dial(struct duct_context *context, const struct di_url *url,
                           const struct di_options *options, struct durable_dial **out)
{
    char path[DI_SOCKET_PATH_MAX + 1];
    struct durable_dial *dial;
    struct di_durable *durable;
    enum duct_err err;

    if ((err = check_options(url, &options->o)) != DUCT_OK ||
        (err = di_names_path(path, sizeof(path), url, true)) != DUCT_OK)
        return err;
    if ((dial = calloc(1, sizeof(*dial))) == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory to dial");
    if ((err = open_end(&durable, url->rest, DI_END_DIAL, &options->o)) != DUCT_OK) {
        free(dial);
        return err;
    }
    if ((err = open_pipe(&dial->pipe, context, durable, path, options)) != DUCT_OK) {
        di_durable_close(durable);
        free(dial);
        return err;
    }
    dial->wait = options->o.wait_for_listener == DUCT_YES;
    dial->pipe->pipe.ops->attach(&dial->pipe->pipe);
    durable_link_start(dial->pipe);
    *out = dial;
    return DUCT_OK;
}

enum duct_err durable_dial_poll(struct durable_dial *dial, struct duct_pipe **pipe)
{
    struct durable_pipe *self = dial->pipe;
    bool linked = self->link.socket >= 0;

    if (self->pipe.end != DUCT_OK)
        return self->pipe.end;
    /* One that hung up is one that is not there. */
    if (!linked && self->meet_result != DUCT_OK && self->meet_result != DUCT_EPEER)
        return di_fail(self->meet_result, "dial %s: %s", self->path, self->meet_detail);
    if (!linked && (dial->wait || (self->meeting.socket >= 0 && !self->meet_slow)))
        return DUCT_EAGAIN;
    dial->pipe = NULL;
    self->given = true;
    *pipe = &self->pipe;
    return DUCT_OK;
}

void durable_dial_close(struct durable_dial *dial)
{
    if (dial->pipe != NULL)
        duct_pipe_close_with(&dial->pipe->pipe, 0, NULL, 0);
    free(dial);
}

/* ---- Listening ---- */

struct durable_listener {
    struct duct_listener listener; /* first */
    struct di_options options;
    char name[DI_DURABLE_NAME_MAX + 1];
    struct di_durable *durable; /* the end, while no pipe has it */
    struct di_bound bound;      /* the socket, likewise */
    struct durable_pipe *pipe;  /* which has them */
    struct di_io_op dialled;    /* somebody is at the socket */
    bool somebody;
    bool deaf;   /* the socket could not be watched: accept says so, and tries again */
    bool closed; /* freed when what is in flight completes */
};

static void free_listener(struct durable_listener *self)
{
    if (self->durable != NULL)
        di_durable_close(self->durable);
    di_names_unbind(&self->bound);
    di_options_fini(&self->options);
    free(self);
}

static void on_dialled(struct di_io_op *op, int result)
{
    struct durable_listener *self = di_container(op, struct durable_listener, dialled);

    if (self->closed) {
        di_io_forget(self->listener.context->io, op);
        free_listener(self);
        return;
    }
    self->somebody = result >= 0;
    self->deaf = result == DI_IO_FAILED;
}

/* Waits for a dialer, while no pipe does. */
static void watch_socket(struct durable_listener *self)
{
    self->dialled = (struct di_io_op){
        .done = on_dialled, .kind = DI_IO_POLL, .fd = self->bound.socket, .events = POLLIN};
    di_io_submit(self->listener.context->io, &self->dialled);
}

void durable_listener_take_back(struct durable_listener *self, struct di_bound *bound)
{
    self->pipe = NULL;
    self->bound = *bound;
    watch_socket(self);
}

void durable_listener_forget(struct durable_listener *self)
{
    self->pipe = NULL;
}

static enum duct_err accept_one(struct duct_listener *listener, struct duct_pipe **pipe)
{
    struct durable_listener *self = (struct durable_listener *)listener;
    struct durable_pipe *made;
    enum duct_err err;

    if (self->durable == NULL && self->deaf) {
        self->deaf = false;
        watch_socket(self);
        return di_fail(DUCT_ELIMIT, "%s: " DI_IO_FAILED_TEXT, listener->url);
    }
    if (self->durable == NULL && !self->somebody)
        return DUCT_EAGAIN;
    if (self->durable == NULL &&
        (err = open_end(&self->durable, self->name, DI_END_LISTEN, &self->options.o)) != DUCT_OK)
        return err;
    err = open_pipe(&made, listener->context, self->durable, self->bound.path, &self->options);
    if (err != DUCT_OK)
        return err;
    di_io_forget(listener->context->io, &self->dialled);
    made->bound = self->bound;
    made->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    made->listener = self;
    made->given = true;
    self->bound = (struct di_bound){.socket = -1, .lock = -1};
    self->durable = NULL;
    self->somebody = false;
    self->pipe = made;
    made->pipe.ops->attach(&made->pipe);
    durable_find_files(made);
    *pipe = &made->pipe;
    return DUCT_OK;
}

static bool ready(struct duct_listener *listener)
{
    const struct durable_listener *self = (const struct durable_listener *)listener;

    return self->durable != NULL || self->somebody || self->deaf;
}

static void close_listener(struct duct_listener *listener)
{
    struct durable_listener *self = (struct durable_listener *)listener;

    /* The pipe keeps the socket. */
    if (self->pipe != NULL)
        self->pipe->listener = NULL;
    if (di_listener_recall(listener, &self->dialled)) {
        di_io_forget(listener->context->io, &self->dialled);
        free_listener(self);
    } else {
        self->closed = true;
    }
}

static const struct di_listener_ops listener_ops = {
    .accept = accept_one, .ready = ready, .close = close_listener};

static enum duct_err bind_end(struct durable_listener *self, const struct di_url *url,
                              const struct di_options *options)
{
    char path[DI_SOCKET_PATH_MAX + 1];
    enum duct_err err;

    snprintf(self->name, sizeof(self->name), "%.64s", url->rest);
    if ((err = di_options_copy(&self->options, options)) != DUCT_OK ||
        (err = di_names_path(path, sizeof(path), url, true)) != DUCT_OK ||
        (err = open_end(&self->durable, self->name, DI_END_LISTEN, &options->o)) != DUCT_OK ||
        (err = di_names_bind(&self->bound, path, false, (int)options->o.backlog)) != DUCT_OK)
        return err;
    /* A dialer that waits watches the directory, and was told of the socket when it could not connect to
     * it yet: this tells it once more. */
    if (utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) != 0)
        di_log(DUCT_LOG_WARN, "touching %s failed; who waits for this listener may go on waiting",
               path);
    return DUCT_OK;
}

enum duct_err durable_listen(struct duct_context *context, const struct di_url *url,
                             const struct di_options *options, struct duct_listener **listener)
{
    enum duct_err err = check_options(url, &options->o);
    struct durable_listener *self = err == DUCT_OK ? calloc(1, sizeof(*self)) : NULL;

    if (self == NULL)
        return err != DUCT_OK ? err : di_fail(DUCT_ENOMEMORY, "no memory for a listener");
    self->bound.socket = self->bound.lock = -1;
    if ((err = bind_end(self, url, options)) != DUCT_OK) {
        free_listener(self);
        return err;
    }
    self->listener.ops = &listener_ops;
    self->listener.context = context;
    self->listener.user = options->o.user;
    snprintf(self->listener.url, sizeof(self->listener.url), "%.15s://%.490s", url->scheme,
             url->rest);
    snprintf(self->listener.path, sizeof(self->listener.path), "%s", self->bound.path);
    self->listener.magic = DI_LISTENER_MAGIC;
    di_list_append(&context->listeners, &self->listener.link);
    di_context_signal(context);
    *listener = &self->listener;
    return DUCT_OK;
}
