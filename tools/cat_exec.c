/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/cat.h"
#include "tools/cli.h"

/*
 * --exec: a command for each accepted pipe, its standard input and output bridged to it. The command
 * runs in /bin/sh, and finds in its environment who is at the other end: DUCT_URL, DUCT_PEER_PID and
 * DUCT_PEER_UID.
 */

static pthread_mutex_t environment = PTHREAD_MUTEX_INITIALIZER;

static void set_number(const char *name, long number)
{
    char text[24];

    snprintf(text, sizeof(text), "%ld", number);
    setenv(name, text, 1);
}

static void set_environment(struct duct_pipe *pipe, const char *url)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    setenv("DUCT_URL", url, 1);
    if (duct_pipe_info(pipe, &info) == DUCT_OK) {
        set_number("DUCT_PEER_PID", info.peer_pid);
        set_number("DUCT_PEER_UID", info.peer_uid);
    }
}

static int spawn(pid_t *child, const char *command, int in, int out)
{
    char shell[] = "sh", flag[] = "-c";
    char *const argv[] = {shell, flag, (char *)(uintptr_t)command, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
    /* What this program ignores, a command should not. */
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    int failure = posix_spawn(child, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failure;
}

bool cat_spawn(struct cat_session *session, const struct cat_options *options)
{
    int to[2], from[2];

    /* Whoever started us may ignore it, and then the kernel keeps no exit status for us. */
    signal(SIGCHLD, SIG_DFL);
    if (pipe2(to, O_CLOEXEC) != 0) {
        cli_say("no pipe for %s: %s", options->command, strerror(errno));
        return false;
    }
    if (pipe2(from, O_CLOEXEC) != 0) {
        cli_say("no pipe for %s: %s", options->command, strerror(errno));
        close(to[0]);
        close(to[1]);
        return false;
    }
    /* The environment is one for all threads. */
    pthread_mutex_lock(&environment);
    set_environment(session->pipe, options->url);
    int failure = spawn(&session->child, options->command, to[0], from[1]);
    pthread_mutex_unlock(&environment);
    close(to[0]);
    close(from[1]);
    if (failure != 0) {
        cli_say("%s did not start: %s", options->command, strerror(failure));
        close(to[1]);
        close(from[0]);
        session->child = 0;
        return false;
    }
    /* Ours alone: the command has the other ends. */
    fcntl(to[1], F_SETFL, O_NONBLOCK);
    session->child_fd = (int)syscall(SYS_pidfd_open, session->child, 0);
    cat_input_open(&session->in, from[0], options->in, options);
    cat_output_open(&session->out, to[1], options->out, options);
    return true;
}

/* How long a command may take to end once it was asked to. */
#define GRACE_MS 2000

void cat_end_command(struct cat_session *session, const struct cat_options *options)
{
    if (session->child_fd < 0)
        return;
    struct pollfd ask = {.fd = session->child_fd, .events = POLLIN};
    kill(session->child, SIGTERM);
    if (poll(&ask, 1, GRACE_MS) != 1) {
        cli_say("%s: process %d does not end by SIGTERM, and is killed", options->command,
                (int)session->child);
        kill(session->child, SIGKILL);
    }
    waitpid(session->child, &session->child_status, 0);
    close(session->child_fd);
    session->child_fd = -1;
}

bool cat_reap(struct cat_session *session)
{
    pid_t got = waitpid(session->child, &session->child_status, WNOHANG);

    if (got == 0)
        return false;
    if (session->child_fd >= 0)
        close(session->child_fd);
    session->child_fd = -1;
    return true;
}
