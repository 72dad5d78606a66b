/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fail/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/space.h"
#include "tests/must.h"

static void mount_over(const char *type, const char *path)
{
    if (mount(type, path, type, 0, NULL) == 0)
        return;
    fprintf(stderr, "not allowed here: mounting %s on %s: %s\n", type, path, strerror(errno));
    exit(77);
}

void machine_directory(const char *path, mode_t mode)
{
    MUST(mkdir(path, mode) == 0 || errno == EEXIST);
    MUST(chmod(path, mode) == 0);
}

/* The first process of a namespace is a child. */
void machine_enter(void)
{
    int status;

    space_enter(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWPID);
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid > 0) {
        MUST(waitpid(pid, &status, 0) == pid);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1); /* nothing of ours is to run here */
    }
    space_own_mounts();
    mount_over("proc", "/proc");
    mount_over("tmpfs", "/tmp");
    mount_over("tmpfs", "/dev/shm");
    mount_over("tmpfs", "/run");
    MUST(chmod("/tmp", 01777) == 0 && chmod("/dev/shm", 01777) == 0);
}

const char *machine_path(const char *directory, const char *name)
{
    static char path[160];

    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

void machine_file(const char *directory, const char *name, const char *text, uid_t owner)
{
    int fd = open(machine_path(directory, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    MUST(owner == geteuid() || fchown(fd, owner, owner) == 0);
    close(fd);
}

void machine_socket(const char *directory, const char *name, bool with_lock)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char lock[32];
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    MUST(snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", directory, name) > 0);
    MUST(bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
    close(fd);
    snprintf(lock, sizeof(lock), "%s.lock", name);
    if (with_lock)
        machine_file(directory, lock, "", geteuid());
}

bool machine_has(const char *directory, const char *name)
{
    struct stat status;

    return lstat(machine_path(directory, name), &status) == 0;
}
