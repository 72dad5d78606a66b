/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Peers beside a process in a user namespace of its own. Without a map, everybody reads there as the overflow uid,
 * and so does the process itself: the two must not be taken for one. With the uid mapped, they meet.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/crash/space.h"

enum { FAILED = 1, SKIP = 77 };

static char directory[] = "/tmp/duct-unmapped-XXXXXX";

struct scene {
    const char *scheme;
    bool dialer_inside; /* and the listener is outside, or the other way round */
    bool mapped;
};

static void address(char *url, size_t capacity, const struct scene *scene)
{
    snprintf(url, capacity, "%s://%s/socket?wait_listener=1&timeout=20s", scene->scheme, directory);
}

static void listens(const struct scene *scene)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    char url[128];

    address(url, sizeof(url), scene);
    if (duct_listen(&listener, url, NULL) != DUCT_OK)
        _exit(FAILED);
    /* Until the parent ends it: whoever is turned away may come again. */
    while (duct_accept(listener, &pipe, DUCT_FOREVER) == DUCT_OK)
        continue;
    _exit(FAILED);
}

static int dials(const struct scene *scene)
{
    enum duct_err expected = scene->mapped ? DUCT_OK : DUCT_EDENIED;
    struct duct_pipe *pipe;
    char url[128];

    address(url, sizeof(url), scene);
    enum duct_err err = duct_dial(&pipe, url, NULL);
    if (err == expected)
        return 0;
    fprintf(stderr, "%s, %s inside, %s: the dial gives %s (%s), expected %s\n", scene->scheme,
            scene->dialer_inside ? "dialer" : "listener", scene->mapped ? "mapped" : "unmapped",
            duct_err_name(err), duct_err_detail(), duct_err_name(expected));
    return FAILED;
}

static pid_t start(const struct scene *scene, bool dialer)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (scene->dialer_inside == dialer)
        space_enter_user(scene->mapped);
    if (!dialer)
        listens(scene);
    _exit(dials(scene));
}

static int play(const struct scene *scene)
{
    char path[64];
    int status;

    pid_t listener = start(scene, false);
    pid_t dialer = start(scene, true);
    if (listener < 0 || dialer < 0 || waitpid(dialer, &status, 0) != dialer)
        return FAILED;
    kill(listener, SIGKILL);
    int ended;
    if (waitpid(listener, &ended, 0) != listener)
        return FAILED;
    snprintf(path, sizeof(path), "%s/socket", directory);
    unlink(path);
    snprintf(path, sizeof(path), "%s/socket.lock", directory);
    unlink(path);
    return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

static int enters(void)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        space_enter_user(true);
        _exit(0);
    }
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

int main(void)
{
    static const char *const schemes[] = {"shm", "uds"};
    int result = enters();

    if (result != 0)
        return result;
    if (mkdtemp(directory) == NULL)
        return FAILED;
    for (unsigned which = 0; which < 8; which++) {
        const struct scene scene = {
            .scheme = schemes[which & 1], .dialer_inside = which & 2, .mapped = which & 4};
        result |= play(&scene);
    }
    return rmdir(directory) == 0 ? result : FAILED;
}
