/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/duct.h>

/*
 * A supervisor that restarts a killed listener at once finds the address free, also while the kernel still
 * takes down the killed one's io_uring, whose poll keeps the socket open for some milliseconds.
 */

enum { ROUNDS = 40 };

static char url[64];

/* Listens, says so, and waits for somebody until it is killed. */
static void victim(int told)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    if (duct_listen(&listener, url, NULL) == DUCT_OK && write(told, "", 1) == 1 &&
        duct_accept(listener, &pipe, DUCT_FOREVER) == DUCT_OK)
        duct_pipe_close(pipe);
    fprintf(stderr, "the victim ended by itself: %s\n", duct_err_detail());
    _exit(2);
}

/* What the restarted service does. */
static void successor(void)
{
    struct duct_listener *listener;

    if (duct_listen(&listener, url, NULL) != DUCT_OK) {
        fprintf(stderr, "%s\n", duct_err_detail());
        _exit(1);
    }
    duct_listener_close(listener);
    _exit(0);
}

static int round_trip(void)
{
    int told[2];
    int status = 0;
    char byte;

    if (pipe(told) != 0)
        return 1;
    pid_t first = fork();
    if (first == 0)
        victim(told[1]);
    close(told[1]);
    bool listening = read(told[0], &byte, 1) == 1;
    close(told[0]);
    kill(first, SIGKILL);
    waitpid(first, &status, 0);
    if (!listening)
        return 1;
    pid_t second = fork();
    if (second == 0)
        successor();
    waitpid(second, &status, 0);
    return status;
}

int main(void)
{
    snprintf(url, sizeof(url), "shm:///tmp/duct-takeover-%d", (int)getpid());
    for (int i = 0; i < ROUNDS; i++) {
        if (round_trip() != 0) {
            fprintf(stderr, "round %d: the address of a killed listener was refused\n", i);
            return 1;
        }
    }
    return 0;
}
