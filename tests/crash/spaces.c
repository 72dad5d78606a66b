/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/life.h"
#include "tests/crash/space.h"
#include "tests/crash/victim.h"

/*
 * Row 19: peers that do not share a pid namespace, where the number of the other is unknown, or is one's own: each
 * of two is number 1. They meet, and a death is seen all the same, by what the kernel says and not by a number;
 * also where a child of the dead keeps its socket.
 */

enum { SAID = 5, FIRST = 1 };

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

struct scene_of {
    enum duct_io io;
    bool survivor_apart, victim_apart; /* in a pid namespace of its own */
    bool survivor_listens;
    bool heir;       /* the victim leaves one that keeps its socket */
    int kill_now[2]; /* a byte: kill the victim */
    int over[2];     /* its end: the survivor is through */
};

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition))                                                            \
            crash_fail("%s (line %d; %s)", #condition, __LINE__, duct_err_detail()); \
    } while (0)

/* Either end, on a context of its own. */
static enum duct_err meet(enum duct_io io, bool listens, struct living *living)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err;

    *living = (struct living){.listener = NULL};
    with.io = io;
    CHECK(duct_context_open(&living->context, &with) == DUCT_OK);
    options.context = living->context;
    options.wait_for_listener = DUCT_YES;
    options.dial_ns = TALK_HUNG;
    if (!listens)
        return duct_dial(&living->pipe, "shm://spaces?wait=park&handshake=60s", &options);
    err = duct_listen(&living->listener, "shm://spaces?wait=park&handshake=60s", &options);
    return err == DUCT_OK ? duct_accept(living->listener, &living->pipe, TALK_HUNG) : err;
}

static int victim(void *user)
{
    const struct scene_of *scene = user;
    struct living living;
    unsigned char bytes[TALK_MSG_MAX];

    close(scene->over[1]);
    if (meet(scene->io, !scene->survivor_listens, &living) != DUCT_OK)
        return life_failed(DUCT_EOS);
    /* Cloned without libc, which would have had the library close the socket there. */
    if (scene->heir && syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0) {
        char byte;
        _exit(read(scene->over[0], &byte, 1) != 0);
    }
    for (uint64_t seq = 0; seq < SAID; seq++) {
        talk_fill(bytes, talk_size(seq), 1, seq);
        if (duct_write(living.pipe, bytes, talk_size(seq), 0, TALK_HUNG) != DUCT_OK)
            return life_failed(DUCT_EOS);
    }
    while (pause() != 0)
        continue;
    return 1;
}

static int survivor(void *user)
{
    const struct scene_of *scene = user;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct living living;
    struct duct_msg msg;

    close(scene->kill_now[0]);
    CHECK(!scene->survivor_apart || getpid() == FIRST);
    CHECK(meet(scene->io, scene->survivor_listens, &living) == DUCT_OK);
    CHECK(duct_pipe_info(living.pipe, &info) == DUCT_OK);
    /* Who cannot be seen from here has no number here. */
    CHECK(scene->survivor_apart ? info.peer_pid == 0 : info.peer_pid > FIRST);
    for (uint64_t seq = 0; seq < SAID; seq++) {
        CHECK(duct_recv(living.pipe, &msg, TALK_HUNG) == DUCT_OK);
        CHECK(talk_good(msg.data, msg.size, 1, seq));
        CHECK(duct_msg_release(&msg) == DUCT_OK);
    }
    CHECK(write(scene->kill_now[1], "k", 1) == 1);
    CHECK(duct_recv(living.pipe, &msg, TALK_HUNG) == DUCT_EPEER);
    duct_pipe_close(living.pipe);
    life_close(&living);
    return 0;
}

/* Runs role in a child, which may be the first of a pid namespace of its own; a number of the caller's own. */
static pid_t start(int (*role)(void *user), void *user, bool apart)
{
    if (apart)
        space_enter(CLONE_NEWPID);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = role(user);
    fflush(NULL);
    _exit(status);
}

static int survivors_parent(void *user)
{
    struct scene_of *scene = user;

    return crash_wait(start(survivor, scene, scene->survivor_apart));
}

/* Kills when it is told to: the first of a namespace cannot be killed from within. */
static int victims_parent(void *user)
{
    struct scene_of *scene = user;
    char byte;

    close(scene->kill_now[1]);
    pid_t child = start(victim, scene, scene->victim_apart);
    close(scene->over[1]);
    if (read(scene->kill_now[0], &byte, 1) == 1)
        crash_kill(child);
    return 0;
}

/* Whether the kernel passes a pidfd with a message (6.5); without, an heir that keeps the socket hides a death
 * whose process cannot be named. */
static bool passes_pidfds(void)
{
    const int on = 1;
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    CHECK(fd >= 0);
    bool can = setsockopt(fd, SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) == 0;
    close(fd);
    return can;
}

static int play(struct scene_of scene)
{
    int gone
        [2]; /* its end: so are all who have inherited it, an heir too, whose lock would be in the way */
    char byte;

    CHECK(pipe2(gone, O_CLOEXEC) == 0);
    CHECK(pipe2(scene.kill_now, O_CLOEXEC) == 0 && pipe2(scene.over, O_CLOEXEC) == 0);
    pid_t dies = crash_spawn(victims_parent, &scene, NULL);
    pid_t lives = crash_spawn(survivors_parent, &scene, NULL);
    for (int i = 0; i < 2; i++) {
        close(scene.kill_now[i]);
        close(scene.over[i]);
    }
    int status = crash_wait(lives);
    CHECK(crash_wait(dies) == 0);
    close(gone[1]);
    CHECK(read(gone[0], &byte, 1) == 0);
    close(gone[0]);
    if (status == 0 && crash_world_names() != !scene.survivor_listens * 2u)
        crash_fail("%u names are left", crash_world_names());
    return status;
}

static int enters(void *user)
{
    (void)user;
    space_enter(CLONE_NEWPID);
    return 0;
}

int main(void)
{
    crash_world_open();
    int may = crash_wait(crash_spawn(enters, NULL, NULL));
    if (may != 0)
        return may;
    for (unsigned which = 1; which < 16; which++) {
        struct scene_of scene = {.survivor_apart = which & 1,
                                 .victim_apart = which & 2,
                                 .survivor_listens = which & 4,
                                 .io = which & 8 ? DUCT_IO_EPOLL : DUCT_IO_AUTO};
        if (!scene.survivor_apart && !scene.victim_apart)
            continue;
        int status = play(scene);
        if (status != 0)
            return status;
        /* The first of a namespace takes its heirs along. */
        scene.heir = true;
        if (!scene.victim_apart && passes_pidfds() && (status = play(scene)) != 0)
            return status;
    }
    return 0;
}
