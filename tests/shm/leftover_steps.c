/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/durable_end.h"
#include "shm/liveness.h"
#include "shm/names.h"
#include "tests/shm/durable_book.h"
#include "tests/shm/leftover_kit.h"

/*
 * A removal, stopped before and after every one of its system calls in turn, by ptrace, and there either
 * killed: the next run completes; or overtaken by a second janitor: one of the two is told that it removed
 * it; or overtaken by an owner that comes back: if it got its lock, its files stay; or by both, one after the
 * other, so that what it holds has no name any more; or joined by the other end of a durable pipe, which is not
 * bound to what is about to go.
 */
static struct kit kit;

/* ---- What is to be removed, and who may come back for it ---- */

static void leave_socket(void)
{
    kit_socket(&kit, "it");
}

static void leave_bare_socket(void)
{
    kit_socket(&kit, "it");
    unlinkat(kit.dir.fd, "it.lock", 0);
}

static void leave_lock(void)
{
    kit_socket(&kit, "it");
    unlinkat(kit.dir.fd, "it", 0);
}

static void leave_durable(void)
{
    kit_durable(&kit, "it", 3, 3);
}

static void leave_full(void)
{
    kit_durable(&kit, "it", 3, 1);
}

static void leave_end(void)
{
    kit_end(&kit, "it", DI_END_LISTEN, 0);
}

static void leave_begun(void)
{
    leave_durable();
    renameat(kit.dir.fd, "it.listen", kit.dir.fd, "it.dial");
}

static void leave_pool(void)
{
    leave_end();
    unlinkat(kit.dir.fd, "it.listen", 0);
}

/* An owner that came back; whether it got what it wants. */
struct owner {
    bool is_socket, alive;
    struct di_bound bound;
    int fd;
    const char *file;
};

/* A janitor that stands still would be waited for, in vain. */
static bool is_janitors(const char *file)
{
    enum di_holder holder = DI_HELD_BY_NOBODY;
    int fd = openat(kit.dir.fd, file, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || di_lock_ask(fd, &holder) != DUCT_OK)
        return false;
    close(fd);
    return holder == DI_HELD_BY_JANITOR;
}

static void come_back(struct owner *owner)
{
    char path[DI_SOCKET_PATH_MAX + 1];
    bool taken = false;

    if (owner->is_socket) {
        if (is_janitors("it.lock"))
            return;
        snprintf(path, sizeof(path), "%s/it", kit.path);
        owner->alive = di_names_bind(&owner->bound, path, false, 8) == DUCT_OK;
        return;
    }
    /* As the durable ends do: open, lock, compare. The end that dials first, if there is one. */
    owner->file = kit_has(&kit, "it.dial") ? "it.dial" : "it.listen";
    if (is_janitors(owner->file))
        return;
    owner->fd = openat(kit.dir.fd, owner->file, O_RDWR | O_CLOEXEC);
    if (owner->fd >= 0 && di_lock_take(owner->fd, &taken) == DUCT_OK && taken)
        owner->alive = di_names_this(kit.dir.fd, owner->file, owner->fd);
}

static bool is_whole(const struct owner *owner)
{
    if (owner->is_socket)
        return kit_has(&kit, "it") && di_names_this(kit.dir.fd, "it.lock", owner->bound.lock);
    return di_names_this(kit.dir.fd, owner->file, owner->fd);
}

static void go_away(struct owner *owner)
{
    if (owner->is_socket && owner->alive)
        di_names_unbind(&owner->bound);
    if (!owner->is_socket && owner->fd >= 0)
        close(owner->fd);
}

/* ---- A removal, step by step ---- */

static void removal(bool discard)
{
    struct duct_janitor *janitor = kit_look(&kit);

    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    raise(SIGSTOP);
    /* In brackets: not that of tests/coverage.h, whose steps would come on top. */
    (_exit)(kit_reap(janitor, discard));
}

/* Lets it go to its step-th stop. False: it ended before, with *status. */
static bool advance(pid_t pid, int step, int *status)
{
    for (int i = 0; i < step; i++) {
        if (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) != 0 || waitpid(pid, status, 0) != pid ||
            !WIFSTOPPED(*status))
            return false;
    }
    return true;
}

static int finish(pid_t pid)
{
    int status;

    ptrace(PTRACE_DETACH, pid, NULL, NULL);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void wrong(const char *what, int step, int value)
{
    fprintf(stderr, "FAILED: %s at step %d: %d (%s)\n", what, step, value, duct_err_detail());
    exit(1);
}

static int reap_once(bool discard)
{
    struct duct_janitor *janitor = kit_look(&kit);
    int removed = kit_reap(janitor, discard);

    duct_janitor_close(janitor);
    return removed;
}

/* Without discarding: what was decided is not asked again. What was not, of full ones, is still whole. */
static void then_killed(pid_t pid, int step, bool full)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    reap_once(false);
    int left = kit_files(&kit);
    if (left != 0 && !(full && left == 4))
        wrong("killed: files left", step, left);
    reap_once(true);
    if (kit_files(&kit) != 0)
        wrong("killed: files left after discarding", step, kit_files(&kit));
}

static void then_overtaken(pid_t pid, int step, bool discard)
{
    int theirs = reap_once(discard);
    int ours = finish(pid);

    if (ours < 0 || ours + theirs > 1 || kit_files(&kit) != 0)
        wrong("two janitors: files left", step, kit_files(&kit));
    if (ours + theirs == 0)
        wrong("two janitors: nobody was told", step, 0);
}

static void then_owned(pid_t pid, int step, bool is_socket)
{
    struct owner owner = {.is_socket = is_socket, .fd = -1};

    come_back(&owner);
    int removed = finish(pid);
    if (owner.alive && !is_whole(&owner))
        wrong("an owner lost its files; removals", step, removed);
    go_away(&owner);
    reap_once(true);
    if (kit_files(&kit) != 0)
        wrong("an owner came back: files left", step, kit_files(&kit));
}

struct scene {
    const char *name;
    void (*leave)(void);
    bool is_socket, full, one_end;
};

/* All of it was removed and made anew, by an owner that has only just taken its lock. */
static void then_reborn(pid_t pid, int step, const struct scene *scene)
{
    const char *file = scene->is_socket ? "it.lock" : "it.listen";
    bool taken = false;

    reap_once(scene->full);
    int fd = -1;
    if (kit_files(&kit) == 0) {
        if (!scene->is_socket)
            leave_durable();
        fd = openat(kit.dir.fd, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd < 0 || di_lock_take(fd, &taken) != DUCT_OK || !taken)
            wrong("a new owner", step, fd);
    }
    int removed = finish(pid);
    if (taken && !di_names_this(kit.dir.fd, file, fd))
        wrong("a new owner lost its files; removals", step, removed);
    if (fd >= 0)
        close(fd);
    reap_once(true);
    if (kit_files(&kit) != 0)
        wrong("a new owner came: files left", step, kit_files(&kit));
}

static enum duct_err open_end(struct di_durable_end *end, enum di_end which)
{
    const struct di_durable_asks asks = {.dir = kit.path,
                                         .name = "it",
                                         .end = which,
                                         .slots = BOOK_SLOTS,
                                         .max_msg = 1024,
                                         .pool = 16384,
                                         .held = BOOK_MARKS,
                                         .bytes_max = UINT64_MAX};

    return di_durable_end_open(end, &asks);
}

/* The end that dials is made, while the one that listens, or did, is removed. Whatever becomes of that one, the two
 * that are there afterwards go together. */
static void then_joined(pid_t pid, int step)
{
    struct di_durable_end dial, listen;
    bool anew;

    /* In use: by the janitor, which stands still. */
    enum duct_err err = open_end(&dial, DI_END_DIAL);
    if (err != DUCT_OK && err != DUCT_EINUSE)
        wrong("the other end came", step, err);
    finish(pid);
    if (err != DUCT_OK && (err = open_end(&dial, DI_END_DIAL)) != DUCT_OK)
        wrong("the other end came again", step, err);
    anew = !kit_has(&kit, "it.listen");
    if (anew && (err = open_end(&listen, DI_END_LISTEN)) != DUCT_OK)
        wrong("the end that was removed came back", step, err);
    if ((err = di_durable_end_meet(&dial)) != DUCT_OK || !dial.met)
        wrong("the two do not go together", step, err);
    if (anew)
        di_durable_end_close(&listen);
    di_durable_end_close(&dial);
    reap_once(true);
    if (kit_files(&kit) != 0)
        wrong("the other end came: files left", step, kit_files(&kit));
}

enum then { KILLED, OVERTAKEN, OWNED, REBORN, JOINED, THENS };

/* How many stops there were. */
static int walk(const struct scene *scene, enum then then)
{
    for (int step = 0;; step++) {
        int status = 0;
        scene->leave();
        pid_t pid = fork();
        if (pid == 0)
            removal(scene->full);
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            wrong("fork", step, errno);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
            printf("ptrace is not allowed here\n");
            exit(77);
        }
        ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_EXITKILL);
        if (!advance(pid, step, &status)) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || kit_files(&kit) != 0)
                wrong("undisturbed", step, status);
            return step;
        }
        if (then == KILLED)
            then_killed(pid, step, scene->full);
        else if (then == OVERTAKEN)
            then_overtaken(pid, step, scene->full);
        else if (then == OWNED)
            then_owned(pid, step, scene->is_socket);
        else if (then == JOINED)
            then_joined(pid, step);
        else
            then_reborn(pid, step, scene);
    }
}

int main(void)
{
    static const struct scene scenes[] = {
        {"socket and lock", leave_socket, true, false, false},
        {"socket without lock", leave_bare_socket, true, false, false},
        {"lock without socket", leave_lock, true, false, false},
        {"durable, delivered", leave_durable, false, false, false},
        {"durable, discarded", leave_full, false, true, false},
        {"durable, one end", leave_end, false, false, true},
        {"durable, half removed", leave_begun, false, false, false},
        {"durable, a pool", leave_pool, false, false, true},
    };

    kit_open(&kit);
    for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
        int stops = 0;
        for (enum then then = KILLED; then < THENS; then++)
            stops += then == JOINED && !scenes[i].one_end ? 0 : walk(&scenes[i], then);
        printf("%-24s %d stops\n", scenes[i].name, stops);
    }
    kit_close(&kit);
    return 0;
}
