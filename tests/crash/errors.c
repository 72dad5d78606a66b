/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/crash/faults.h"
#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * Error injection (faults.h): a process opens a context, listens or dials, talks and closes, beside a peer that must
 * go on, too.
 *
 * usage: errors [EVERY [--report]]    every EVERY-th call (1: all); --report: what each fault came to
 */

struct setting {
    const char *name;
    bool listens;
    enum duct_io io;
    const char *options;
};

static const struct setting settings[] = {
    {"dialer, io_uring", false, DUCT_IO_AUTO, "wait=park"},
    {"listener, io_uring", true, DUCT_IO_AUTO, "wait=park"},
    {"dialer, epoll", false, DUCT_IO_EPOLL, "wait=park&bell=eventfd"},
    {"listener, epoll", true, DUCT_IO_EPOLL, "wait=park&bell=eventfd"},
};

/* What the peer is told by: its end of a pair, which it watches in a thread. */
struct fixture {
    const struct setting *setting;
    int peer_told[2];
};

/* ---- The process whose calls fail ---- */

static enum duct_err open_and_talk(const struct setting *setting, struct living *living)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err;
    char url[200];

    *living = (struct living){.listener = NULL};
    with.io = setting->io;
    if ((err = duct_context_open(&living->context, &with)) != DUCT_OK)
        return err;
    options.context = living->context;
    snprintf(url, sizeof(url), "shm://errors?timeout=20s&handshake=20s&%s&%s", TALK_QUERY,
             setting->options);
    if (!setting->listens) {
        err = duct_dial(&living->pipe, url, &options);
    } else if ((err = duct_listen(&living->listener, url, &options)) == DUCT_OK) {
        err = duct_accept(living->listener, &living->pipe, TALK_HUNG);
    }
    return err == DUCT_OK ? talk_short(living->pipe) : err;
}

static enum duct_err try_once(void *user)
{
    const struct setting *setting = ((struct fixture *)user)->setting;
    struct living living;
    enum duct_err err = open_and_talk(setting, &living);

    duct_pipe_close(living.pipe);
    duct_listener_close(living.listener);
    duct_context_close(living.context);
    return err;
}

/* ---- Its peer, which goes on ---- */

/* What failed tries left half-open is closed as soon as the loop sees their sockets' ends. */
static bool settles(struct duct_context *context, unsigned fds)
{
    struct duct_event event;
    size_t count;

    for (int64_t i = 0; crash_own_fds() > fds && i < TALK_HUNG / DUCT_MILLISECOND; i++) {
        enum duct_err err = duct_context_wait(context, &event, 1, &count, DUCT_MILLISECOND);
        if (err != DUCT_OK && err != DUCT_ETIMEOUT)
            return false;
        /* The next try has come already: what it has open is its own. */
        if (err == DUCT_OK && count == 1 && event.type == DUCT_EVENT_ACCEPTED)
            return true;
    }
    return crash_own_fds() <= fds;
}

static int peer(void *user)
{
    struct fixture *fixture = user;
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener = NULL;
    struct duct_pipe *pipe;
    unsigned fds = 0;

    with.io = fixture->setting->io;
    if (duct_context_open(&options.context, &with) != DUCT_OK)
        return life_failed(DUCT_EOS);
    options.wait_for_listener = DUCT_YES;
    options.dial_ns = DUCT_FOREVER;
    if (!fixture->setting->listens &&
        duct_listen(&listener, "shm://errors?wait=park&handshake=20s", &options) != DUCT_OK)
        return life_failed(DUCT_EOS);
    if (write(fixture->peer_told[1], "", 1) != 1)
        return 1;
    for (;;) {
        enum duct_err err = listener != NULL ? duct_accept(listener, &pipe, DUCT_FOREVER)
                                             : duct_dial(&pipe, "shm://errors?wait=park", &options);
        /* The other side may refuse for its own reasons, and says which. */
        if (err != DUCT_OK && (listener != NULL || (err != DUCT_EREFUSED && err != DUCT_EDENIED)))
            return life_failed(err);
        if (err != DUCT_OK)
            continue;
        err = talk_echo(pipe);
        /* One whose last step of the handshake failed hangs up without a word. */
        if (err != DUCT_ECLOSED && err != DUCT_EPEER)
            return life_failed(err);
        duct_pipe_close(pipe);
        if (fds == 0)
            fds = crash_own_fds();
        if (!settles(options.context, fds))
            return life_failed(DUCT_ELIMIT);
    }
}

/* ---- All calls, all errors ---- */

static void all_faults(const struct setting *setting, struct inject *inject, uint64_t every,
                       struct counts *counts)
{
    struct fixture fixture = {.setting = setting};
    const struct trial trial = {
        .name = setting->name, .once = try_once, .user = &fixture, .inject = inject};
    char byte;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fixture.peer_told) != 0)
        crash_fail("no socketpair");
    pid_t other = crash_spawn(peer, &fixture, NULL);
    if (read(fixture.peer_told[0], &byte, 1) != 1)
        crash_fail("no peer");
    faults_all(&trial, every, counts);
    crash_kill(other);
    close(fixture.peer_told[0]);
    close(fixture.peer_told[1]);
}

int main(int argc, char **argv)
{
    struct inject *inject = faults_share();
    struct counts counts = {0};

    uint64_t every = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    inject->report = argc > 2 && strcmp(argv[2], "--report") == 0;
    crash_world_open();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        all_faults(&settings[i], inject, every, &counts);
    printf("%u calls, %u faults: %u gave an error, %u were got round\n", counts.calls,
           counts.faults, counts.errors, counts.absorbed);
    return counts.failures > 0;
}
