/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/crash/life.h"
#include "tests/crash/space.h"
#include "tests/crash/victim.h"

/*
 * Row 20, for real: a file system with no blocks left, or no inodes; an address space that is full; a process
 * with all the mappings it may have. One clear error each, nothing left that was half made, and once there is
 * room again the same call works. Without an inotify instance two ends of a durable pipe find each other all the same.
 *
 * Descriptors are used up in tests/hostile/fds.c. max_map_count itself is the machine's and no test's to set: it
 * is reached instead. A memory cgroup kills instead of failing; what the library does is to compare beforehand.
 */

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition))                                                            \
            crash_fail("%s (line %d; %s)", #condition, __LINE__, duct_err_detail()); \
    } while (0)

static const char ordinary[] = "shm://full?wait=park";
static char durable[200];

/* ---- A file system ---- */

static const char *room; /* XDG_RUNTIME_DIR */

/* A small tmpfs of this process's own over the directory, which goes with its namespace. */
static void make_room(void)
{
    space_enter(CLONE_NEWNS);
    room = getenv("XDG_RUNTIME_DIR");
    /* Onto itself first: what is mounted there then is seen nowhere else, whatever the root of this process is. */
    CHECK(mount(room, room, NULL, MS_BIND, NULL) == 0);
    CHECK(mount(NULL, room, NULL, MS_PRIVATE, NULL) == 0);
    CHECK(mount("tmpfs", room, "tmpfs", 0, "size=1m,nr_inodes=64,mode=700") == 0);
    snprintf(durable, sizeof(durable), "shm://x?durable=1&dir=%s&slots=16&max_msg=1k&pool=256k",
             room);
}

/* Names below the room, but for directories and what this test made ("fill…"). */
static unsigned names_in(const char *directory)
{
    char path[400];
    struct dirent *entry;
    struct stat status;
    unsigned count = 0;
    DIR *open = opendir(directory);

    CHECK(open != NULL);
    while ((entry = readdir(open)) != NULL) {
        if (entry->d_name[0] == '.' || strncmp(entry->d_name, "fill", 4) == 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s", directory, entry->d_name);
        CHECK(lstat(path, &status) == 0);
        count += S_ISDIR(status.st_mode) ? names_in(path) : 1;
    }
    closedir(open);
    return count;
}

static void fill_blocks(void)
{
    static const char page[4096];
    char path[64];

    snprintf(path, sizeof(path), "%s/fill", room);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    CHECK(fd >= 0);
    while (write(fd, page, sizeof(page)) > 0)
        continue;
    CHECK(errno == ENOSPC);
    close(fd);
}

static void fill_inodes(void)
{
    char path[64];
    int fd;

    for (unsigned i = 0;; i++) {
        snprintf(path, sizeof(path), "%s/fill-%u", room, i);
        if ((fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0)
            break;
        close(fd);
    }
    CHECK(errno == ENOSPC);
}

static void empty(void)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/fill", room);
    unlink(path);
    for (unsigned i = 0; i < 64; i++) {
        snprintf(path, sizeof(path), "%s/fill-%u", room, i);
        unlink(path);
    }
}

/* Makes what that address names, an end that listens, and lets it go again. */
static enum duct_err listens(const char *url)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    enum duct_err err = duct_listen(&listener, url, NULL);

    if (err != DUCT_OK)
        return err;
    if (url == durable) {
        err = duct_accept(listener, &pipe, 0);
        if (err == DUCT_OK)
            duct_pipe_close(pipe);
    }
    duct_listener_close(listener);
    return err;
}

static enum duct_err dials(const char *url)
{
    struct duct_pipe *pipe;
    enum duct_err err = duct_dial(&pipe, url, NULL);

    if (err == DUCT_OK)
        duct_pipe_close(pipe);
    return err;
}

/* There is no room for one: NOSPACE, with words, and neither a name nor a descriptor more than before. */
static void refused(enum duct_err (*make)(const char *url), const char *url, const char *what)
{
    unsigned fds = crash_own_fds();
    enum duct_err err = make(url);

    if (err != DUCT_ENOSPACE || strlen(duct_err_detail()) < 20)
        crash_fail("%s: %s: %s (%s)", what, url, duct_err_name(err), duct_err_detail());
    printf("%s: %s\n", what, duct_err_detail());
    if (names_in(room) != 0)
        crash_fail("%s: %s left a name", what, url);
    if (crash_own_fds() != fds)
        crash_fail("%s: %s left a descriptor", what, url);
}

static int full_file_system(void *user)
{
    (void)user;
    make_room();
    /* Once with room: what is made once for a process, or a directory, is there then. */
    CHECK(listens(ordinary) == DUCT_OK && names_in(room) == 0);
    fill_blocks();
    refused(listens, durable, "no blocks");
    refused(dials, durable, "no blocks");
    empty();
    fill_inodes();
    refused(listens, durable, "no inodes");
    refused(dials, durable, "no inodes");
    refused(listens, ordinary, "no inodes");
    empty();
    CHECK(listens(ordinary) == DUCT_OK && names_in(room) == 0);
    CHECK(listens(durable) == DUCT_OK && dials(durable) == DUCT_OK);
    return 0;
}

/* ---- Memory ---- */

static int echoes(void *user)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    CHECK(duct_listen(&listener, ordinary, NULL) == DUCT_OK);
    CHECK(write(*(int *)user, "", 1) == 1);
    for (;;) {
        CHECK(duct_accept(listener, &pipe, DUCT_FOREVER) == DUCT_OK);
        enum duct_err err = talk_echo(pipe);
        CHECK(err == DUCT_ECLOSED || err == DUCT_EPEER);
        duct_pipe_close(pipe);
    }
}

/* All of it, context included. */
static enum duct_err dials_and_talks(void)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe = NULL;
    char url[160];

    enum duct_err err = duct_context_open(&options.context, NULL);
    if (err != DUCT_OK)
        return err;
    snprintf(url, sizeof(url), "%s&timeout=20s&%s", ordinary, TALK_QUERY);
    if ((err = duct_dial(&pipe, url, &options)) == DUCT_OK)
        err = talk_short(pipe);
    duct_pipe_close(pipe);
    duct_context_close(options.context);
    return err;
}

/* The address space may grow by that much. */
static void limit_space(size_t more)
{
    unsigned long pages = 0;
    struct rlimit limit;
    FILE *file = fopen("/proc/self/statm", "re");

    CHECK(file != NULL && fscanf(file, "%lu", &pages) == 1);
    fclose(file);
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = pages * (size_t)sysconf(_SC_PAGESIZE) + more;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void unlimit_space(void)
{
    struct rlimit limit;

    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* Between nothing and enough, by steps: each try goes well or ends with one clear error, and leaves nothing. */
static void no_space(void)
{
    enum { STEP = 16u << 10, STEPS = 64 };
    unsigned refusals = 0, successes = 0;
    unsigned fds = crash_own_fds(), maps = crash_own_shared_maps();

    for (unsigned step = 0; step < STEPS; step++) {
        limit_space((size_t)step * STEP);
        enum duct_err err = dials_and_talks();
        unlimit_space();
        /* AGAIN: a pool that cannot grow is full, and says why. */
        bool clear = err == DUCT_ENOMEMORY || err == DUCT_ELIMIT || err == DUCT_EAGAIN;
        if (err != DUCT_OK && (!clear || strlen(duct_err_detail()) < 20))
            crash_fail("RLIMIT_AS, %u KiB: %s (%s)", step * STEP / 1024, duct_err_name(err),
                       duct_err_detail());
        refusals += err != DUCT_OK;
        successes += err == DUCT_OK;
        CHECK(crash_own_fds() == fds && crash_own_shared_maps() == maps);
    }
    CHECK(refusals > 0 && successes > 0);
    CHECK(dials_and_talks() == DUCT_OK);
    printf("RLIMIT_AS: %u refused, %u went well\n", refusals, successes);
}

/* As many mappings as there may be: every other page of one is given rights of its own, up to the limit. */
static void no_mappings(void)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned long limit = 0;
    FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

    CHECK(file != NULL && fscanf(file, "%lu", &limit) == 1);
    fclose(file);
    if (limit > 300000) {
        printf("max_map_count: %lu is too many to reach\n", limit);
        return;
    }
    unsigned fds = crash_own_fds(), maps = crash_own_shared_maps();
    size_t size = 2 * limit * page;
    char *all = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(all != MAP_FAILED);
    size_t at = 0;
    while (at < size && mprotect(all + at, page, PROT_READ) == 0)
        at += 2 * page;
    CHECK(at < size && errno == ENOMEM);
    enum duct_err err = dials_and_talks();
    if (err != DUCT_ENOMEMORY && err != DUCT_ELIMIT)
        crash_fail("max_map_count: %s (%s)", duct_err_name(err), duct_err_detail());
    char detail[300];
    snprintf(detail, sizeof(detail), "%s", duct_err_detail());
    CHECK(munmap(all, size) == 0);
    printf("max_map_count: %s\n", detail);
    CHECK(crash_own_fds() == fds && crash_own_shared_maps() == maps);
    CHECK(dials_and_talks() == DUCT_OK);
}

static int full_memory(void *user)
{
    (void)user;
    int told[2];
    char byte;

    CHECK(pipe2(told, O_CLOEXEC) == 0);
    pid_t other = crash_spawn(echoes, &told[1], NULL);
    CHECK(read(told[0], &byte, 1) == 1);
    CHECK(dials_and_talks() == DUCT_OK);
    no_space();
    no_mappings();
    crash_kill(other);
    return 0;
}

/* ---- inotify ---- */

/* A user has so many instances, and killed processes give theirs back late. */
static void no_inotify(void)
{
    space_enter_user(true);
    FILE *limit = fopen("/proc/sys/user/max_inotify_instances", "we");
    CHECK(limit != NULL && fputs("0", limit) >= 0 && fclose(limit) == 0);
    CHECK(inotify_init1(IN_CLOEXEC) < 0);
    snprintf(durable, sizeof(durable), "shm://x?durable=1&dir=%s&slots=16&max_msg=1k",
             getenv("XDG_RUNTIME_DIR"));
}

static int answers_once(void *user)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    char byte;
    size_t size;

    (void)user;
    CHECK(duct_listen(&listener, durable, NULL) == DUCT_OK);
    CHECK(duct_accept(listener, &pipe, DUCT_FOREVER) == DUCT_OK);
    CHECK(duct_read(pipe, &byte, 1, &size, NULL, DUCT_FOREVER) == DUCT_OK);
    CHECK(duct_write(pipe, &byte, 1, 0, DUCT_FOREVER) == DUCT_OK);
    /* It goes once the answer was taken. */
    CHECK(duct_read(pipe, &byte, 1, &size, NULL, DUCT_FOREVER) == DUCT_OK);
    duct_pipe_close(pipe);
    duct_listener_close(listener);
    return 0;
}

static int full_inotify(void *user)
{
    struct duct_pipe *pipe;
    char byte = 'a', answer;
    size_t size;

    (void)user;
    no_inotify();
    CHECK(dials(durable) == DUCT_OK);
    CHECK(duct_dial(&pipe, durable, NULL) == DUCT_OK);
    for (unsigned round = 0; round < 3; round++, byte++) {
        pid_t other = crash_spawn(answers_once, NULL, NULL);
        CHECK(duct_write(pipe, &byte, 1, 0, 0) == DUCT_OK);
        CHECK(duct_read(pipe, &answer, 1, &size, NULL, DUCT_FOREVER) == DUCT_OK && answer == byte);
        CHECK(duct_write(pipe, &byte, 1, 0, 0) == DUCT_OK);
        CHECK(crash_wait(other) == 0);
    }
    duct_pipe_close(pipe);
    return 0;
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int (*full)(void *) = strcmp(what, "memory") == 0    ? full_memory
                          : strcmp(what, "inotify") == 0 ? full_inotify
                                                         : full_file_system;

    crash_world_open();
    return crash_wait(crash_spawn(full, NULL, NULL));
}
