/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/janitor.h>

#include "lib/base/error.h"
#include "shm/names.h"

/*
 * Janitors against each other, and against listeners that start, run and die. usage: janitor [ROUNDS]
 *
 * Two janitors that found the same leftovers: each removal is reported by one of them. And a listener that
 * holds its name finds both of its files where it put them, whatever janitors do, and is never told that
 * its name is in use when only a janitor had it.
 */
enum { LEFTOVERS = 24, JANITORS = 3, LISTENERS = 8 };

static char base[64];

static void fail(const char *what)
{
    fprintf(stderr, "FAILED: %s: %s (%s)\n", what, duct_err_detail(), strerror(errno));
    exit(1);
}

/* No child outlives us, however we end. */
static pid_t child(void)
{
    pid_t parent = getpid(), pid = fork();

    if (pid < 0)
        fail("fork");
    if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent))
        _exit(1);
    return pid;
}

static const char *path_of(char path[128], const char *prefix, int number)
{
    snprintf(path, 128, "%s/%s%d", base, prefix, number);
    return path;
}

static struct duct_janitor *look(void)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor;

    options.directory = base;
    if (duct_janitor_open(&janitor, &options) != DUCT_OK)
        fail("looking");
    return janitor;
}

/* Removes all it can; how many it was told it removed. */
static int reap(struct duct_janitor *janitor)
{
    int removed = 0;

    for (size_t i = 0; i < duct_janitor_count(janitor); i++) {
        enum duct_err err = duct_janitor_remove(janitor, i, false);
        removed += err == DUCT_OK;
        if (err != DUCT_OK && err != DUCT_EINUSE && err != DUCT_ENOTFOUND)
            fail("removing");
    }
    return removed;
}

static void leave_behind(void)
{
    char path[128];
    pid_t pid = child();

    if (pid == 0) {
        struct di_bound bound;
        for (int i = 0; i < LEFTOVERS; i++) {
            if (di_names_bind(&bound, path_of(path, "old", i), false, 8) != DUCT_OK)
                fail("leaving something behind");
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
        fail("leaving something behind");
}

static int files(void)
{
    DIR *stream = opendir(base);
    int count = 0;

    while (readdir(stream) != NULL)
        count++;
    closedir(stream);
    return count - 2;
}

/* All of them look before any of them acts. */
static void one_is_told(void)
{
    int ready[2], go[2], results[2], removed = 0;
    char byte = 0;

    leave_behind();
    if (pipe(ready) != 0 || pipe(go) != 0 || pipe(results) != 0)
        fail("pipe");
    for (int i = 0; i < JANITORS; i++) {
        if (child() == 0) {
            struct duct_janitor *janitor = look();
            close(go[1]);
            if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0)
                fail("barrier");
            int mine = reap(janitor);
            duct_janitor_close(janitor);
            _exit(write(results[1], &mine, sizeof(mine)) == sizeof(mine) ? 0 : 1);
        }
    }
    for (int i = 0; i < JANITORS; i++)
        if (read(ready[0], &byte, 1) != 1)
            fail("barrier");
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < JANITORS; i++) {
        int status, mine = 0;
        if (wait(&status) < 0 || status != 0 || read(results[0], &mine, sizeof(mine)) < 0)
            fail("a janitor failed");
        removed += mine;
    }
    close(ready[0]);
    close(ready[1]);
    close(results[0]);
    close(results[1]);
    /* One may have been refused because another held the lock, and that other removed it. */
    if (removed != LEFTOVERS || files() != 0) {
        fprintf(stderr, "FAILED: %d of %d removals reported, %d files left\n", removed, LEFTOVERS,
                files());
        exit(1);
    }
}

static bool is_there(const char *path, const char *suffix, int fd)
{
    char name[140];
    struct stat named, held;

    snprintf(name, sizeof(name), "%s%s", path, suffix);
    if (lstat(name, &named) != 0)
        return false;
    return fd < 0 || (fstat(fd, &held) == 0 && held.st_ino == named.st_ino);
}

/* Starts, looks at its own files, and ends in order or not, as the round will have it. */
static void live_and_die(int number, int rounds)
{
    char path[128];

    path_of(path, "live", number);
    for (int round = 0; round < rounds; round++) {
        pid_t pid = child();
        if (pid == 0) {
            struct di_bound bound;
            if (di_names_bind(&bound, path, false, 8) != DUCT_OK)
                fail("a listener was refused its own name");
            for (int look = 0; look < 20; look++)
                if (!is_there(path, "", -1) || !is_there(path, ".lock", bound.lock))
                    fail("a live listener lost its name");
            if ((round + number) % 2 == 0)
                kill(getpid(), SIGKILL);
            di_names_unbind(&bound);
            _exit(0);
        }
        int status;
        if (waitpid(pid, &status, 0) != pid || (WIFEXITED(status) && WEXITSTATUS(status) != 0))
            exit(1);
    }
    exit(0);
}

static void nobody_loses(int rounds)
{
    pid_t janitors[2];
    int alive = LISTENERS, failed = 0, status;

    for (int i = 0; i < LISTENERS; i++)
        if (child() == 0)
            live_and_die(i, rounds);
    for (int i = 0; i < 2; i++) {
        if ((janitors[i] = child()) == 0) {
            for (;;) {
                struct duct_janitor *janitor = look();
                reap(janitor);
                duct_janitor_close(janitor);
            }
        }
    }
    while (alive > 0) {
        pid_t pid = wait(&status);
        if (pid == janitors[0] || pid == janitors[1])
            fail("a janitor ended");
        alive--;
        failed += status != 0;
    }
    for (int i = 0; i < 2; i++) {
        kill(janitors[i], SIGKILL);
        waitpid(janitors[i], NULL, 0);
    }
    if (failed > 0)
        exit(1);
    /* They were killed at any step: one more run completes. */
    struct duct_janitor *janitor = look();
    reap(janitor);
    duct_janitor_close(janitor);
    if (files() != 0)
        fail("something is left over after the last run");
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 40;
    char path[100];

    snprintf(base, sizeof(base), "/tmp/duct-race-janitor-XXXXXX");
    if (mkdtemp(base) == NULL)
        fail("mkdtemp");
    for (int i = 0; i < rounds / 4 + 1; i++)
        one_is_told();
    nobody_loses(rounds);
    snprintf(path, sizeof(path), "%s", base);
    return rmdir(path) == 0 ? 0 : 1;
}
