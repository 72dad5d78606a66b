/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <duct/duct.h>
#include <duct/janitor.h>

#include "tests/crash/faults.h"
#include "tests/crash/victim.h"

/*
 * Error injection (faults.h) where names outlive processes: both ends of a durable pipe are opened again over the
 * files of the try before, with messages in them, meet, and are closed; and a janitor looks round and removes. What
 * was sent is received once and in order, whatever failed in between; and what one janitor could not remove, the
 * next one does.
 *
 * usage: errors_durable [EVERY [--report]]    as of errors.c
 */
static char files[96];

/* ---- Opened again ---- */

struct reattach {
    enum duct_io io;
    struct inject *inject;
    uint64_t sent, released; /* numbers, by their calls' return */
};

#define WRONG(...) (fprintf(stderr, __VA_ARGS__), abort())

/* Receives what there is: the next numbers, each once. */
static enum duct_err take_all(struct reattach *user, struct duct_pipe *pipe)
{
    struct duct_msg msg;
    enum duct_err err;
    uint64_t number;

    while ((err = duct_recv(pipe, &msg, 0)) == DUCT_OK) {
        memcpy(&number, msg.data, sizeof(number));
        if (number != user->released)
            WRONG("message %llu came in the place of %llu\n", (unsigned long long)number,
                  (unsigned long long)user->released);
        if ((err = duct_msg_release(&msg)) != DUCT_OK)
            return err;
        user->released++;
    }
    /* A lie that there are no files is believed, until the next try. */
    if (err == DUCT_EAGAIN && user->released != user->sent &&
        !atomic_load_explicit(&user->inject->on, memory_order_relaxed))
        WRONG("message %llu did not come\n", (unsigned long long)user->released);
    return err == DUCT_EAGAIN ? DUCT_OK : err;
}

static enum duct_err say_more(struct reattach *user, struct duct_pipe *pipe)
{
    unsigned char bytes[600] = {0};
    enum duct_err err;

    for (int i = 0; i < 3; i++) {
        memcpy(bytes, &user->sent, sizeof(user->sent));
        if ((err = duct_write(pipe, bytes, i == 1 ? sizeof(bytes) : 8, 0, 0)) != DUCT_OK)
            return err;
        user->sent++;
    }
    return DUCT_OK;
}

static enum duct_err reattach(void *arg)
{
    struct reattach *user = arg;
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener = NULL;
    struct duct_pipe *dials = NULL, *listens = NULL;
    char url[192];
    enum duct_err err;

    snprintf(url, sizeof(url), "shm://e?durable=1&slots=16&max_msg=1k&pool=8k&timeout=20s&dir=%s",
             files);
    with.io = user->io;
    if ((err = duct_context_open(&options.context, &with)) != DUCT_OK)
        return err;
    if ((err = duct_listen(&listener, url, &options)) == DUCT_OK &&
        (err = duct_accept(listener, &listens, 0)) == DUCT_OK &&
        (err = take_all(user, listens)) == DUCT_OK &&
        (err = duct_dial(&dials, url, &options)) == DUCT_OK)
        err = say_more(user, dials);
    duct_pipe_close(dials);
    duct_pipe_close(listens);
    duct_listener_close(listener);
    duct_context_close(options.context);
    return err;
}

/* Each process begins with no files. */
static void begin(void *arg)
{
    static const char *const names[] = {"e.listen", "e.listen.pool0", "e.dial", "e.dial.pool0"};
    const struct reattach *user = arg;
    char path[128];

    for (size_t i = 0; user->sent == 0 && i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", files, names[i]);
        unlink(path);
    }
    mkdir(files, 0700);
}

/* ---- Reaped ---- */

/* A pipe of which everything was delivered, and a socket that its listener left. */
static void leave(void *user)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct inject none = {.on = 0};
    struct reattach both = {.io = DUCT_IO_EPOLL, .inject = &none};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    (void)user;
    if (mkdir(files, 0700) == 0) {
        snprintf(address.sun_path, sizeof(address.sun_path), "%s/left", files);
        if (reattach(&both) != DUCT_OK || reattach(&both) != DUCT_OK ||
            bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
            chmod(address.sun_path, 0600) != 0)
            WRONG("nothing to reap: %s\n", duct_err_detail());
    }
    close(fd);
}

/* Everything is removed; or there is an error; or it is said what could not be seen. */
static enum duct_err reap(void *user)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    const struct inject *inject = user;
    struct duct_janitor *janitor;
    enum duct_err first = DUCT_OK;

    options.directory = files;
    enum duct_err err = duct_janitor_open(&janitor, &options);
    if (err != DUCT_OK)
        return err;
    for (size_t i = 0; i < duct_janitor_count(janitor); i++) {
        if ((err = duct_janitor_remove(janitor, i, true)) != DUCT_OK && first == DUCT_OK)
            first = err;
    }
    /* That it is gone already is a lie that is believed. */
    if (first == DUCT_OK && duct_janitor_unseen_count(janitor) == 0 && rmdir(files) != 0 &&
        strcmp(inject->what, "unlinkat gives ENOENT") != 0)
        WRONG("something was left, and nothing said about it\n");
    duct_janitor_close(janitor);
    return first;
}

int main(int argc, char **argv)
{
    struct inject *inject = faults_share();
    struct reattach ends[] = {{.io = DUCT_IO_AUTO, .inject = inject},
                              {.io = DUCT_IO_EPOLL, .inject = inject}};
    struct trial trials[] = {
        {.name = "opened again, io_uring", .prepare = begin, .once = reattach, .user = &ends[0]},
        {.name = "opened again, epoll", .prepare = begin, .once = reattach, .user = &ends[1]},
        {.name = "reaped", .prepare = leave, .once = reap, .user = inject},
    };
    struct counts counts = {0};
    uint64_t every = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;

    inject->report = argc > 2 && strcmp(argv[2], "--report") == 0;
    crash_world_open();
    snprintf(files, sizeof(files), "%s/files", getenv("XDG_RUNTIME_DIR"));
    for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        trials[i].inject = inject;
        faults_all(&trials[i], every, &counts);
    }
    return counts.failures > 0;
}
