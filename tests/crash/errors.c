/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/crash/inject.h"
#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * Error injection. A process opens a context, listens or dials, talks and closes, and in one try the n-th
 * system call fails with one of the errors it can give; for every n and every such error. Then
 *
 *   - either all went well, since there was another way, or one call gave one clear error: of the enum,
 *     with a sentence, and not after a hang;
 *   - once what was open is closed, descriptors and mappings are as before;
 *   - the next try, in the same process, works, and so does the peer.
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
    struct inject *inject;
    int peer_told[2];
};

static int fail(const struct fixture *fixture, const char *what)
{
    fprintf(stderr, "%s, %s: %s\n", fixture->setting->name, fixture->inject->what, what);
    return 1;
}

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

static enum duct_err try_once(const struct setting *setting)
{
    struct living living;
    enum duct_err err = open_and_talk(setting, &living);

    duct_pipe_close(living.pipe);
    duct_listener_close(living.listener);
    duct_context_close(living.context);
    return err;
}

/* One clear error: not a hang, not the absence of one, and with words. */
static bool is_clear(enum duct_err err, const char *detail)
{
    return err > DUCT_OK && err < DUCT_ERR_COUNT && err != DUCT_ETIMEOUT && err != DUCT_EAGAIN &&
           strlen(detail) > 10;
}

static int tries_twice(void *user)
{
    struct fixture *fixture = user;
    char detail[600];

    /* Once without faults: what is made once for a process is there then. */
    if (try_once(fixture->setting) != DUCT_OK)
        return fail(fixture, duct_err_detail());
    unsigned fds = crash_own_fds(), maps = crash_own_shared_maps();
    atomic_store_explicit(&fixture->inject->on, 1, memory_order_relaxed);
    enum duct_err err = try_once(fixture->setting);
    atomic_store_explicit(&fixture->inject->on, 0, memory_order_relaxed);
    snprintf(detail, sizeof(detail), "%s: %s", duct_err_name(err), duct_err_detail());
    if (err != DUCT_OK && !is_clear(err, duct_err_detail()))
        return fail(fixture, detail);
    if (crash_own_fds() != fds)
        return fail(fixture, "a descriptor was left open");
    if (crash_own_shared_maps() != maps)
        return fail(fixture, "a mapping was left");
    if (err != DUCT_OK && fixture->inject->report)
        printf("%s: %s\n", fixture->inject->what, detail);
    if (try_once(fixture->setting) != DUCT_OK)
        return fail(fixture, duct_err_detail());
    return err != DUCT_OK ? 2 : 0;
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

struct counts {
    unsigned calls, faults, errors, absorbed, failures;
};

static int one_fault(struct fixture *fixture, uint64_t n, unsigned which, struct counts *counts)
{
    struct inject *inject = fixture->inject;
    bool report = inject->report;

    memset(inject, 0, sizeof(*inject));
    inject->report = report;
    inject->at = n;
    inject->which = which;
    int status = inject_run(tries_twice, fixture, inject);
    if (status != 0 && status != 2)
        counts->failures++;
    if (report && inject->done && status == 0)
        printf("%s: got round\n", inject->what);
    counts->faults += inject->done;
    counts->errors += status == 2;
    counts->absorbed += inject->done && status == 0;
    return inject->done;
}

static void all_faults(const struct setting *setting, struct inject *inject, uint64_t every,
                       struct counts *counts)
{
    struct fixture fixture = {.setting = setting, .inject = inject};
    struct counts mine = {0};
    char byte;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fixture.peer_told) != 0)
        crash_fail("no socketpair");
    pid_t other = crash_spawn(peer, &fixture, NULL);
    if (read(fixture.peer_told[0], &byte, 1) != 1)
        crash_fail("no peer");
    for (uint64_t n = 1; n == 1 || n <= inject->calls; n += every) {
        mine.calls++;
        for (unsigned which = 0; one_fault(&fixture, n, which, &mine); which++)
            continue;
    }
    crash_kill(other);
    close(fixture.peer_told[0]);
    close(fixture.peer_told[1]);
    printf("%s: %u calls, %u faults: %u gave an error, %u were got round\n", setting->name,
           mine.calls, mine.faults, mine.errors, mine.absorbed);
    counts->calls += mine.calls;
    counts->faults += mine.faults;
    counts->errors += mine.errors;
    counts->absorbed += mine.absorbed;
    counts->failures += mine.failures;
}

int main(int argc, char **argv)
{
    struct inject *inject =
        mmap(NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct counts counts = {0};

    if (inject == MAP_FAILED)
        crash_fail("no memory to share");
    uint64_t every = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    inject->report = argc > 2 && strcmp(argv[2], "--report") == 0;
    crash_world_open();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        all_faults(&settings[i], inject, every, &counts);
    printf("%u calls, %u faults: %u gave an error, %u were got round\n", counts.calls,
           counts.faults, counts.errors, counts.absorbed);
    munmap(inject, sizeof(*inject));
    return counts.failures > 0;
}
