/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/victim.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char world[64];
static pid_t world_owner;

void crash_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    fprintf(stderr, "FAILED: ");
    vfprintf(stderr, format, args);
    fprintf(stderr, "\n");
    va_end(args);
    exit(1);
}

static void world_close(void)
{
    char path[512];
    struct dirent *entry;

    if (getpid() != world_owner)
        return;
    snprintf(path, sizeof(path), "%s/duct", world);
    DIR *directory = opendir(path);
    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/duct/%s", world, entry->d_name);
            unlink(path);
        }
    }
    if (directory != NULL)
        closedir(directory);
    snprintf(path, sizeof(path), "%s/duct", world);
    rmdir(path);
    rmdir(world);
}

void crash_world_open(void)
{
    snprintf(world, sizeof(world), "/tmp/duct-crash-XXXXXX");
    if (mkdtemp(world) == NULL || setenv("XDG_RUNTIME_DIR", world, 1) != 0)
        crash_fail("no directory %s: %s", world, strerror(errno));
    world_owner = getpid();
    atexit(world_close);
}

static unsigned entries(const char *path)
{
    unsigned count = 0;
    struct dirent *entry;
    DIR *directory = opendir(path);

    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(directory);
    return count;
}

unsigned crash_world_names(void)
{
    char path[80];

    snprintf(path, sizeof(path), "%s/duct", world);
    return entries(path);
}

unsigned crash_own_fds(void)
{
    /* One of them is the directory itself, open while it is read. */
    return entries("/proc/self/fd") - 1;
}

unsigned crash_own_shared_maps(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    char line[512];
    unsigned count = 0;

    if (file == NULL)
        crash_fail("no /proc/self/maps");
    while (fgets(line, sizeof(line), file) != NULL)
        count += strstr(line, "/memfd:duct-") != NULL;
    fclose(file);
    return count;
}

pid_t crash_spawn(int (*role)(void *user), void *user, struct crash_plan *plan)
{
    pid_t parent = getpid();

    fflush(NULL);
    pid_t child = fork();
    if (child < 0)
        crash_fail("fork: %s", strerror(errno));
    if (child > 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(3);
    crash_arm(plan);
    int status = role(user);
    fflush(NULL);
    _exit(status);
}

int crash_wait(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0) {
        if (errno != EINTR)
            crash_fail("waitpid: %s", strerror(errno));
    }
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    if (WTERMSIG(status) != SIGKILL)
        crash_fail("a process ended by signal %d", WTERMSIG(status));
    return -1;
}

void crash_kill(pid_t child)
{
    kill(child, SIGKILL);
    int status = crash_wait(child);
    if (status != -1)
        crash_fail("a process ended by itself with %d", status);
}
