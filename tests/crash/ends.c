/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * Ends of other kinds: a peer that is stopped and not dead (row 12), a zombie (13), one that forked or cloned
 * a child that lives on (14), one that calls exec (15); and a directory that is swept away under a live pipe
 * (21). The survivor is this process, over either backend.
 *
 * The same over streams (row 23), where only the socket tells: an heir that keeps it, and a peer that is frozen, are
 * found by a heartbeat, and by nothing else. One that is thawed comes back with a new session, and nothing comes twice.
 */

enum { SAID = 5 };

/* A pipe that ends so was given up three or four intervals after the last sign of life. */
#define HEARTBEAT "wait=park&heartbeat=20ms&heartbeat_missed=2"

struct victim {
    int told[2];
    int kind; /* of child, for heirs() */
};

enum { FORKED, CLONED };

static struct duct_listener *listener;
static struct duct_context *context;

struct setting {
    enum duct_io io;
    const char *scheme;
};

/* Set before a victim is made. */
static char url[200];

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition))                                                            \
            crash_fail("%s (line %d; %s)", #condition, __LINE__, duct_err_detail()); \
    } while (0)

static void listen_with(const char *scheme, const char *query)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    static struct scene scene;

    options.context = context;
    scene_listen_url(url, sizeof(url), scheme, "ends");
    snprintf(url + strlen(url), sizeof(url) - strlen(url), "?handshake=60s&%s", query);
    CHECK(duct_listen(&listener, url, &options) == DUCT_OK);
    scene_listens(&scene, listener);
    scene_dial_url(&scene, url, sizeof(url), scheme, "ends");
    strcat(url, "?timeout=20s&handshake=60s");
}

static struct duct_pipe *dial_and_say(void)
{
    struct duct_pipe *pipe;
    unsigned char bytes[TALK_MSG_MAX];

    if (duct_dial(&pipe, url, NULL) != DUCT_OK)
        _exit(life_failed(DUCT_EOS));
    for (uint64_t seq = 0; seq < SAID; seq++) {
        talk_fill(bytes, talk_size(seq), 1, seq);
        if (duct_write(pipe, bytes, talk_size(seq), 0, TALK_HUNG) != DUCT_OK)
            _exit(life_failed(DUCT_EOS));
    }
    return pipe;
}

/* All that was said, and then PEER. */
static void hear_to_the_end(struct duct_pipe *pipe)
{
    struct duct_msg msg;

    for (uint64_t seq = 0; seq < SAID; seq++) {
        CHECK(duct_recv(pipe, &msg, TALK_HUNG) == DUCT_OK);
        CHECK(talk_good(msg.data, msg.size, 1, seq));
        CHECK(duct_msg_release(&msg) == DUCT_OK);
    }
    CHECK(duct_recv(pipe, &msg, TALK_HUNG) == DUCT_EPEER);
    duct_pipe_close(pipe);
}

static int says_and_dies(void *user)
{
    (void)user;
    dial_and_say();
    kill(getpid(), SIGKILL);
    return 1;
}

static void zombie(void)
{
    struct duct_pipe *pipe;
    siginfo_t info;
    pid_t child = crash_spawn(says_and_dies, NULL, NULL);

    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0);
    hear_to_the_end(pipe);
    CHECK(crash_wait(child) == -1);
}

/* The child's part: what it inherited is refused, and it lives on until its end of the pair closes. */
static void live_on(const struct victim *victim, struct duct_pipe *pipe)
{
    char byte = 'k';

    if (victim->kind == FORKED && duct_write(pipe, "x", 1, 0, 0) != DUCT_ECLOSED)
        byte = 'w';
    if (write(victim->told[1], &byte, 1) != 1 || read(victim->told[1], &byte, 1) != 0)
        _exit(1);
    _exit(0);
}

static int leaves_an_heir(void *user)
{
    const struct victim *victim = user;
    struct duct_pipe *pipe = dial_and_say();

    close(victim->told[0]);
    pid_t child = victim->kind == FORKED
                      ? fork()
                      : (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    if (child == 0)
        live_on(victim, pipe);
    /* Until the driver kills it. */
    while (pause() != 0)
        continue;
    return 1;
}

static void heirs(int kind)
{
    struct victim victim = {.kind = kind};
    struct duct_pipe *pipe;
    char byte;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, victim.told) == 0);
    pid_t child = crash_spawn(leaves_an_heir, &victim, NULL);
    close(victim.told[1]);
    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    CHECK(read(victim.told[0], &byte, 1) == 1 && byte == 'k');
    crash_kill(child);
    hear_to_the_end(pipe);
    /* The heir was there all the time: it ends only now. */
    CHECK(shutdown(victim.told[0], SHUT_WR) == 0 && read(victim.told[0], &byte, 1) == 0);
    close(victim.told[0]);
}

static int says_and_execs(void *user)
{
    const struct victim *victim = user;

    dial_and_say();
    dup2(victim->told[1], STDIN_FILENO);
    execlp("cat", "cat", (char *)NULL);
    return 1;
}

static void exec_ends(void)
{
    struct victim victim;
    struct duct_pipe *pipe;

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, victim.told) == 0);
    pid_t child = crash_spawn(says_and_execs, &victim, NULL);
    close(victim.told[1]);
    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    /* cat runs until its input ends, which is after this. */
    hear_to_the_end(pipe);
    close(victim.told[0]);
    CHECK(crash_wait(child) == 0);
}

static int echoes(void *user)
{
    struct duct_pipe *pipe;

    (void)user;
    return duct_dial(&pipe, url, NULL) == DUCT_OK && talk_echo(pipe) == DUCT_ECLOSED ? 0 : 1;
}

/* Stopped: nothing ends, nothing is lost. Swept away: neither. */
static void stopped(bool swept)
{
    unsigned char bytes[TALK_MSG_MAX];
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe *pipe;
    size_t size;
    siginfo_t what;
    pid_t child = crash_spawn(echoes, NULL, NULL);

    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    if (swept) {
        char path[200];
        snprintf(path, sizeof(path), "%s.lock", duct_listener_path(listener));
        CHECK(unlink(duct_listener_path(listener)) == 0 && unlink(path) == 0);
    } else {
        CHECK(kill(child, SIGSTOP) == 0);
        CHECK(waitid(P_PID, (id_t)child, &what, WSTOPPED | WNOWAIT) == 0);
    }
    for (uint64_t seq = 0; seq < SAID; seq++) {
        talk_fill(bytes, talk_size(seq), 3, seq);
        CHECK(duct_write(pipe, bytes, talk_size(seq), 0, 0) == DUCT_OK);
    }
    if (!swept) {
        CHECK(duct_recv(pipe, &(struct duct_msg){0}, 20 * DUCT_MILLISECOND) == DUCT_ETIMEOUT);
        CHECK(duct_pipe_info(pipe, &info) == DUCT_OK && info.end == DUCT_OK);
        CHECK(kill(child, SIGCONT) == 0);
    }
    for (uint64_t seq = 0; seq < SAID; seq++) {
        CHECK(duct_read(pipe, bytes, sizeof(bytes), &size, NULL, TALK_HUNG) == DUCT_OK);
        CHECK(talk_good(bytes, size, ~3ull, seq));
    }
    duct_pipe_close(pipe);
    CHECK(crash_wait(child) == 0);
}

/* Counts as fast as it is heard, over as many sessions as it takes. */
static int counts(void *user)
{
    struct duct_pipe *pipe;
    unsigned char bytes[TALK_MSG_MAX];
    enum duct_err err;

    (void)user;
    strcat(url, "&reconnect=1&pause=1ms&pause_max=10ms");
    if ((err = duct_dial(&pipe, url, NULL)) != DUCT_OK)
        return life_failed(err);
    for (uint64_t seq = 0;; seq++) {
        talk_fill(bytes, talk_size(seq), 4, seq);
        if ((err = duct_write(pipe, bytes, talk_size(seq), 0, DUCT_FOREVER)) != DUCT_OK)
            return life_failed(err);
    }
}

/* The next message, whichever it is of those from least on; returns its number. */
static uint64_t count_on(struct duct_pipe *pipe, uint64_t least)
{
    struct duct_msg msg;
    uint64_t number[2];

    CHECK(duct_recv(pipe, &msg, TALK_HUNG) == DUCT_OK && msg.size >= sizeof(number));
    memcpy(number, msg.data, sizeof(number));
    CHECK(number[1] >= least && talk_good(msg.data, msg.size, 4, number[1]));
    CHECK(duct_msg_release(&msg) == DUCT_OK);
    return number[1];
}

/* Given up while it is frozen, after what it had said; then thawed. */
static void frozen(void)
{
    enum { SOME = 1000 };
    struct duct_pipe *pipe;
    struct duct_msg msg;
    uint64_t next = 0;
    siginfo_t what;
    enum duct_err err;
    pid_t child = crash_spawn(counts, NULL, NULL);

    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    for (; next < SOME; next++)
        CHECK(count_on(pipe, next) == next);
    CHECK(kill(child, SIGSTOP) == 0);
    CHECK(waitid(P_PID, (id_t)child, &what, WSTOPPED | WNOWAIT) == 0);
    for (; (err = duct_recv(pipe, &msg, TALK_HUNG)) == DUCT_OK; next++) {
        CHECK(talk_good(msg.data, msg.size, 4, next));
        CHECK(duct_msg_release(&msg) == DUCT_OK);
    }
    CHECK(err == DUCT_EPEER && strstr(duct_err_detail(), "silent for 3 intervals of 20 ms"));
    duct_pipe_close(pipe);
    CHECK(kill(child, SIGCONT) == 0);
    /* In the next session in order, and behind all that came in the last. */
    CHECK(duct_accept(listener, &pipe, TALK_HUNG) == DUCT_OK);
    next = count_on(pipe, next) + 1;
    for (unsigned i = 0; i < SOME; i++, next++)
        CHECK(count_on(pipe, next) == next);
    crash_kill(child);
    duct_pipe_close(pipe);
}

static int all_ends(void *user)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    const struct setting *setting = user;
    bool shared = strcmp(setting->scheme, "shm") == 0;

    with.io = setting->io;
    CHECK(duct_context_open(&context, &with) == DUCT_OK);
    unsigned fds = crash_own_fds();
    listen_with(setting->scheme, "wait=park");
    zombie();
    heirs(FORKED);
    if (shared)
        heirs(CLONED);
    exec_ends();
    stopped(false);
    if (shared)
        stopped(true);
    duct_listener_close(listener);
    if (!shared) {
        listen_with(setting->scheme, HEARTBEAT);
        heirs(CLONED);
        frozen();
        duct_listener_close(listener);
    }
    CHECK(crash_own_fds() == fds && crash_own_shared_maps() == 0);
    duct_context_close(context);
    return 0;
}

int main(void)
{
    struct setting all[] = {
        {DUCT_IO_AUTO, "shm"},  {DUCT_IO_EPOLL, "shm"}, {DUCT_IO_AUTO, "uds"},
        {DUCT_IO_EPOLL, "uds"}, {DUCT_IO_AUTO, "tcp"},  {DUCT_IO_EPOLL, "tcp"},
    };

    crash_world_open();
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (crash_wait(crash_spawn(all_ends, &all[i], NULL)) != 0 || crash_world_names() != 0)
            crash_fail("over %s, backend %u", all[i].scheme, (unsigned)all[i].io);
    }
    return 0;
}
