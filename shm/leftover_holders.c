/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "shm/leftover.h"

/*
 * Who has what open or mapped: one pass over /proc for all of it, by device and inode, since a file has many
 * names and a name many files. What other users' processes have is hidden from those without the right:
 * they are counted, and then "nobody" is not known.
 */
#define INIT_PID_NAMESPACE \
    0xEFFFFFFCu                   /* PROC_PID_INIT_INO of the kernel's include/linux/proc_ns.h */
#define KERNEL_THREAD 0x00200000u /* PF_KTHREAD */

struct pass {
    struct di_holders *holders;
    int process; /* /proc/PID */
    int32_t pid;
    bool denied;
    ino_t ipc; /* our own IPC namespace */
    enum duct_err err;
};

/* ---- What is looked for ---- */

static int by_file(const void *left, const void *right)
{
    const struct di_found *a = *(struct di_found *const *)left;
    const struct di_found *b = *(struct di_found *const *)right;

    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

static struct di_found *wanted(const struct di_holders *holders, dev_t device, ino_t inode)
{
    struct di_found key = {.device = device, .inode = inode};
    const struct di_found *look = &key;
    struct di_found **found =
        bsearch(&look, holders->wanted, holders->count, sizeof(*holders->wanted), by_file);

    return found != NULL ? *found : NULL;
}

/* ---- Who has it ---- */

static void read_text(int process, const char *file, char *text, size_t size)
{
    int fd = openat(process, file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, text, size - 1) : 0;

    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
}

static void note(struct pass *pass, struct di_found *found, bool mapped)
{
    struct duct_holder *holder = NULL;
    char command[32], clean[sizeof(holder->command)];
    struct stat status;
    size_t count = found->about.holder_count;

    if (count > 0 && found->holders[count - 1].pid == pass->pid) {
        holder = &found->holders[count - 1];
    } else {
        /* In steps of powers of two, so that the count tells how many there is room for. */
        if ((count & (count - 1)) == 0) {
            size_t room = count == 0 ? 1 : 2 * count;
            holder = realloc(found->holders, room * sizeof(*holder));
            if (holder == NULL) {
                pass->err = di_fail_os(ENOMEM, "noting who has %s open", found->about.path);
                return;
            }
            found->holders = holder;
            found->about.holders = holder;
        }
        holder = &found->holders[count];
        *holder = (struct duct_holder){.pid = pass->pid};
        if (fstat(pass->process, &status) == 0)
            holder->uid = status.st_uid;
        read_text(pass->process, "comm", command, sizeof(command));
        di_text_clean(clean, sizeof(clean), command, strlen(command));
        memcpy(holder->command, clean, sizeof(clean));
        found->about.holder_count++;
    }
    holder->mapped = holder->mapped || mapped;
    holder->open = holder->open || !mapped;
}

/* A System V segment is mapped as a file /SYSV… whose inode is its id, in its IPC namespace. */
static struct di_found *wanted_sysv(const struct pass *pass, ino_t inode)
{
    struct stat status;

    if (fstatat(pass->process, "ns/ipc", &status, 0) != 0 || status.st_ino != pass->ipc)
        return NULL;
    return wanted(pass->holders, DI_SYSV_DEVICE, inode);
}

/* 7f14b76c1000-7f14b78c1000 rw-s 00000000 00:18 1886948    /dev/shm/name */
static void look_at_map(struct pass *pass, const char *line)
{
    unsigned major_number, minor_number;
    uintmax_t inode;
    int path = 0;

    if (sscanf(line, "%*s %*s %*s %x:%x %ju %n", &major_number, &minor_number, &inode, &path) != 3)
        return;
    /* The first segment's id is 0; of files, none. */
    bool sysv = strncmp(line + path, "/SYSV", 5) == 0;
    struct di_found *found =
        sysv         ? wanted_sysv(pass, (ino_t)inode)
        : inode != 0 ? wanted(pass->holders, makedev(major_number, minor_number), (ino_t)inode)
                     : NULL;
    if (found != NULL)
        note(pass, found, true);
}

static void look_at_maps(struct pass *pass)
{
    int fd = openat(pass->process, "maps", O_RDONLY | O_CLOEXEC);
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    char *line = NULL;
    size_t room = 0;

    if (file == NULL) {
        pass->denied = pass->denied || errno == EACCES || errno == EPERM;
        if (fd >= 0)
            close(fd);
        return;
    }
    while (pass->err == DUCT_OK && getline(&line, &room, file) > 0)
        look_at_map(pass, line);
    /* Reading is checked as well as opening. */
    pass->denied = pass->denied || (ferror(file) != 0 && (errno == EACCES || errno == EPERM));
    free(line);
    fclose(file);
}

static void look_at_descriptors(struct pass *pass)
{
    int fd = openat(pass->process, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    struct statx status;
    char target[8];

    if (stream == NULL) {
        pass->denied = pass->denied || errno == EACCES || errno == EPERM;
        if (fd >= 0)
            close(fd);
        return;
    }
    while (pass->err == DUCT_OK && (entry = di_directory_next(stream)) != NULL) {
        /* Files only; and a file system that hangs is not asked, but remembered. */
        if (!isdigit((unsigned char)entry->d_name[0]) ||
            readlinkat(fd, entry->d_name, target, sizeof(target)) <= 0 || target[0] != '/' ||
            statx(fd, entry->d_name, AT_STATX_DONT_SYNC, STATX_INO, &status) != 0)
            continue;
        struct di_found *found =
            wanted(pass->holders, makedev(status.stx_dev_major, status.stx_dev_minor),
                   (ino_t)status.stx_ino);
        if (found != NULL)
            note(pass, found, false);
    }
    /* One that died meanwhile has nothing open. */
    pass->denied = pass->denied || (pass->err == DUCT_OK && errno != 0 && errno != ESRCH);
    closedir(stream);
}

/* Those that cannot hold anything: threads of the kernel, and the dead. */
static bool is_nobody(int process)
{
    char text[512], state = 0;
    unsigned flags = 0;

    read_text(process, "stat", text, sizeof(text));
    const char *after = strrchr(text, ')');
    if (after == NULL || sscanf(after + 1, " %c %*d %*d %*d %*d %*d %u", &state, &flags) != 2)
        return text[0] == '\0'; /* it is gone */
    return state == 'Z' || state == 'X' || (flags & KERNEL_THREAD) != 0;
}

static void look_at_process(struct pass *pass, int proc, const char *name)
{
    pass->pid = (int32_t)strtol(name, NULL, 10);
    pass->process = openat(proc, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    pass->denied = false;
    if (pass->process < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            pass->err = di_fail_os(errno, "looking at process %s", name);
        else if (errno != ENOENT && errno != ESRCH)
            pass->holders->hidden++;
        return;
    }
    look_at_maps(pass);
    look_at_descriptors(pass);
    if (pass->denied && !is_nobody(pass->process))
        pass->holders->hidden++;
    close(pass->process);
}

/* Whether processes may exist that are not in /proc at all. */
static bool is_partial(void)
{
    struct stat status;

    /* Another pid namespace beside or above ours; or a /proc that hides others' processes. */
    return stat("/proc/self/ns/pid", &status) != 0 || status.st_ino != INIT_PID_NAMESPACE ||
           stat("/proc/1", &status) != 0;
}

enum duct_err di_holders_find(struct di_holders *holders)
{
    struct pass pass = {.holders = holders};
    struct dirent *entry;
    struct stat status;
    DIR *stream = opendir("/proc");

    if (stream == NULL)
        return di_fail_os(errno, "looking at processes in /proc");
    if (stat("/proc/self/ns/ipc", &status) == 0)
        pass.ipc = status.st_ino;
    if (holders->count > 0)
        qsort(holders->wanted, holders->count, sizeof(*holders->wanted), by_file);
    while (pass.err == DUCT_OK && (entry = di_directory_next(stream)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]))
            look_at_process(&pass, dirfd(stream), entry->d_name);
    if (pass.err == DUCT_OK && errno != 0)
        pass.err = di_fail_os(errno, "looking at processes in /proc");
    closedir(stream);
    holders->partial = is_partial();
    return pass.err;
}
