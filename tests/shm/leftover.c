/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/janitor.h>

#include "shm/names.h"

/* What listeners leave behind: found, judged and removed; and what only looks like it, left alone. */

static char base[64];

static void in_directory(void)
{
    snprintf(base, sizeof(base), "/tmp/duct-leftover-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
}

static void clean_up(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(leftover, .init = in_directory, .fini = clean_up, .timeout = 60);

static const char *path_of(const char *name)
{
    static char path[200];

    snprintf(path, sizeof(path), "%s/%s", base, name);
    return path;
}

static bool exists(const char *name)
{
    struct stat status;

    return lstat(path_of(name), &status) == 0;
}

/* A process that listens at name, until it is killed. */
static pid_t listener(const char *name)
{
    int ready[2];
    char byte;

    cr_assert_eq(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct di_bound bound;
        byte = di_names_bind(&bound, path_of(name), false, 8) == DUCT_OK ? 'y' : 'n';
        if (write(ready[1], &byte, 1) == 1)
            pause();
        _exit(0);
    }
    cr_assert(read(ready[0], &byte, 1) == 1 && byte == 'y');
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void kill_it(pid_t pid)
{
    cr_assert(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

static void dead_listener(const char *name)
{
    kill_it(listener(name));
}

static struct duct_janitor *look(void)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor = NULL;

    options.directory = base;
    cr_assert_eq(duct_janitor_open(&janitor, &options), DUCT_OK, "%s", duct_err_detail());
    return janitor;
}

/* What is found under that name, and its number. */
static const struct duct_leftover *find(struct duct_janitor *janitor, const char *name,
                                        size_t *index)
{
    for (*index = 0; *index < duct_janitor_count(janitor); ++*index)
        if (strcmp(duct_janitor_at(janitor, *index)->name, name) == 0)
            return duct_janitor_at(janitor, *index);
    return NULL;
}

/* That name is judged so, for a reason that contains these words, and its removal answers so. */
static void judged(const char *name, enum duct_leftover_state state, const char *words,
                   enum duct_err removal)
{
    struct duct_janitor *janitor = look();
    size_t index;
    const struct duct_leftover *what = find(janitor, name, &index);

    cr_assert_not_null(what, "%s is not found", name);
    cr_expect_eq(what->state, state, "%s is %s: %s", name, duct_leftover_state_name(what->state),
                 what->reason);
    cr_expect_not_null(strstr(what->reason, words), "%s: %s", name, what->reason);
    cr_expect_eq(duct_janitor_remove(janitor, index, true), removal, "%s: %s", name,
                 duct_err_detail());
    duct_janitor_close(janitor);
}

Test(leftover, looking_changes_nothing)
{
    dead_listener("dead");
    pid_t alive = listener("alive");
    struct duct_janitor *janitor = look();
    cr_expect_eq(duct_janitor_count(janitor), 2);
    duct_janitor_close(janitor);
    cr_expect(exists("dead") && exists("dead.lock") && exists("alive") && exists("alive.lock"));
    kill_it(alive);
}

Test(leftover, what_the_dead_left_goes)
{
    dead_listener("dead");
    judged("dead", DUCT_LEFTOVER_EMPTY, "nobody holds its lock", DUCT_OK);
    cr_expect(!exists("dead") && !exists("dead.lock"));
    /* Halves of it, as a janitor or a listener that was killed leaves them. */
    dead_listener("bare");
    cr_assert_eq(unlink(path_of("bare.lock")), 0);
    judged("bare", DUCT_LEFTOVER_EMPTY, "its lock is gone", DUCT_OK);
    cr_expect(!exists("bare") && !exists("bare.lock"));
    dead_listener("half");
    cr_assert_eq(unlink(path_of("half")), 0);
    judged("half", DUCT_LEFTOVER_EMPTY, "its socket is gone", DUCT_OK);
    cr_expect(!exists("half.lock"));
}

Test(leftover, what_lives_stays)
{
    pid_t alive = listener("alive");
    judged("alive", DUCT_LEFTOVER_LIVE, "holds the lock", DUCT_EINUSE);
    cr_expect(exists("alive") && exists("alive.lock"));
    /* Somebody removed its lock: the socket still answers. */
    cr_assert_eq(unlink(path_of("alive.lock")), 0);
    judged("alive", DUCT_LEFTOVER_LIVE, "holds no lock", DUCT_EINUSE);
    cr_expect(exists("alive"));
    kill_it(alive);
    judged("alive", DUCT_LEFTOVER_EMPTY, "nobody answers", DUCT_OK);
}

Test(leftover, stopped_is_not_dead)
{
    pid_t alive = listener("alive");
    cr_assert(kill(alive, SIGSTOP) == 0 && waitpid(alive, NULL, WUNTRACED) == alive);
    judged("alive", DUCT_LEFTOVER_LIVE, "holds the lock", DUCT_EINUSE);
    cr_expect(exists("alive") && exists("alive.lock"));
    kill_it(alive);
}

Test(leftover, taken_over_between_the_look_and_the_removal)
{
    size_t index;
    dead_listener("name");
    struct duct_janitor *janitor = look();
    cr_assert_not_null(find(janitor, "name", &index));
    pid_t alive = listener("name");
    cr_expect_eq(duct_janitor_remove(janitor, index, true), DUCT_EINUSE);
    cr_expect(exists("name") && exists("name.lock"));
    kill_it(alive);
    cr_expect_eq(duct_janitor_remove(janitor, index, true), DUCT_OK, "judged anew each time");
    cr_expect_eq(duct_janitor_remove(janitor, index, true), DUCT_ENOTFOUND, "one is told so");
    duct_janitor_close(janitor);
}

/* What a caller can get wrong, or cannot know. */
Test(leftover, questions_that_have_no_answer)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor = NULL;

    cr_expect_eq(duct_janitor_open(NULL, &options), DUCT_EINVAL);
    options.foreign = true;
    options.directory = base;
    cr_expect_eq(duct_janitor_open(&janitor, &options), DUCT_EINVAL, "foreign, and a directory");
    options.size = 1;
    cr_expect_eq(duct_janitor_open(&janitor, &options), DUCT_EINVAL, "no size");
    cr_expect_eq(duct_janitor_count(NULL), 0);
    cr_expect_null(duct_janitor_at(NULL, 0));
    cr_expect_eq(duct_janitor_unseen_count(NULL), 0);
    cr_expect_null(duct_janitor_unseen(NULL, 0));
    cr_expect_eq(duct_janitor_remove(NULL, 0, true), DUCT_EINVAL);
    duct_janitor_close(NULL);
    janitor = look();
    cr_expect_null(duct_janitor_at(janitor, 0));
    cr_expect_null(duct_janitor_unseen(janitor, 0));
    cr_expect_eq(duct_janitor_remove(janitor, 0, true), DUCT_EINVAL);
    duct_janitor_close(janitor);
    cr_expect_str_eq(duct_leftover_kind_name((enum duct_leftover_kind)0), "unknown");
    cr_expect_str_eq(duct_leftover_kind_name((enum duct_leftover_kind)99), "unknown");
    cr_expect_str_eq(duct_leftover_state_name((enum duct_leftover_state)0), "unknown");
    cr_expect_str_eq(duct_leftover_state_name((enum duct_leftover_state)99), "unknown");
}

/* A file from the future has an age, which is none. */
Test(leftover, ages_are_never_negative)
{
    struct timespec future[2] = {{.tv_sec = 1ll << 33}, {.tv_sec = 1ll << 33}};
    size_t index;

    dead_listener("dead");
    cr_assert_eq(utimensat(AT_FDCWD, path_of("dead"), future, AT_SYMLINK_NOFOLLOW), 0);
    cr_assert_eq(utimensat(AT_FDCWD, path_of("dead.lock"), future, 0), 0);
    struct duct_janitor *janitor = look();
    const struct duct_leftover *what = find(janitor, "dead", &index);
    cr_assert_not_null(what);
    cr_expect_eq(what->age_ns, 0);
    duct_janitor_close(janitor);
}

/* ---- What only looks like it ---- */

Test(leftover, links_are_not_followed)
{
    dead_listener("real");
    cr_assert_eq(symlink("real", path_of("soft")), 0);
    judged("soft", DUCT_LEFTOVER_REFUSED, "symbolic link", DUCT_EDENIED);
    cr_expect(exists("soft") && exists("real"));
    /* A lock that is a link to a file of ours elsewhere. */
    int file = open(path_of("precious"), O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(file, 0);
    close(file);
    cr_assert_eq(unlink(path_of("real.lock")), 0);
    cr_assert_eq(symlink("precious", path_of("real.lock")), 0);
    judged("real", DUCT_LEFTOVER_REFUSED, "symbolic link", DUCT_EDENIED);
    cr_expect(exists("real") && exists("real.lock") && exists("precious"));
}

Test(leftover, hard_links_are_refused)
{
    char other[200];
    dead_listener("one");
    snprintf(other, sizeof(other), "%s", path_of("other.lock"));
    cr_assert_eq(link(path_of("one.lock"), other), 0);
    judged("one", DUCT_LEFTOVER_REFUSED, "2 names", DUCT_EDENIED);
    judged("other", DUCT_LEFTOVER_REFUSED, "2 names", DUCT_EDENIED);
    cr_expect(exists("one") && exists("one.lock") && exists("other.lock"));
}

Test(leftover, files_that_somebody_made)
{
    int file = open(path_of("notes.lock"), O_CREAT | O_WRONLY, 0600);
    cr_assert(file >= 0 && write(file, "precious", 8) == 8);
    close(file);
    judged("notes", DUCT_LEFTOVER_REFUSED, "8 bytes", DUCT_EDENIED);
    close(open(path_of("diary"), O_CREAT | O_WRONLY, 0600));
    judged("diary", DUCT_LEFTOVER_REFUSED, "did not make", DUCT_EDENIED);
    cr_assert_eq(mkdir(path_of("folder"), 0700), 0);
    judged("folder", DUCT_LEFTOVER_REFUSED, "a directory", DUCT_EDENIED);
    cr_assert_eq(mkfifo(path_of("queue"), 0600), 0);
    judged("queue", DUCT_LEFTOVER_REFUSED, "special", DUCT_EDENIED);
    cr_assert_eq(mkfifo(path_of("queue.lock"), 0600), 0);
    judged("queue.lock", DUCT_LEFTOVER_REFUSED, "special", DUCT_EDENIED);
    cr_expect(exists("notes.lock") && exists("diary") && exists("folder") && exists("queue"));
}

Test(leftover, names_are_shown_harmlessly)
{
    close(open(path_of("\033[31mred"), O_CREAT | O_WRONLY, 0600));
    judged("\\x1b[31mred", DUCT_LEFTOVER_REFUSED, "did not make", DUCT_EDENIED);
}

/* A seqpacket listener without our lock, another type of socket, and a datagram socket. */
Test(leftover, sockets_of_others)
{
    static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM, SOCK_DGRAM};

    for (int i = 0; i < 3; i++) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        cr_assert_lt(strlen(path_of("theirs")), sizeof(address.sun_path));
        strcpy(address.sun_path, path_of("theirs"));
        int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);
        cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        if (types[i] != SOCK_DGRAM)
            cr_assert_eq(listen(fd, 1), 0);
        struct duct_janitor *janitor = look();
        size_t index;
        const struct duct_leftover *what = find(janitor, "theirs", &index);
        cr_assert_not_null(what);
        cr_expect_eq(what->state, DUCT_LEFTOVER_LIVE, "type %d: %s", types[i], what->reason);
        cr_expect_eq(duct_janitor_remove(janitor, index, true), DUCT_EINUSE);
        cr_expect(exists("theirs"));
        duct_janitor_close(janitor);
        close(fd);
        cr_assert_eq(unlink(address.sun_path), 0);
    }
}

Test(leftover, owned_by_another)
{
    if (geteuid() != 0)
        cr_skip_test("only root can give files away");
    dead_listener("given");
    cr_assert_eq(chown(path_of("given.lock"), 4242, 4242), 0);
    judged("given", DUCT_LEFTOVER_REFUSED, "uid 4242", DUCT_EDENIED);
    cr_assert_eq(chown(path_of("given.lock"), 0, 0), 0);
    cr_assert_eq(lchown(path_of("given"), 4242, 4242), 0);
    judged("given", DUCT_LEFTOVER_REFUSED, "uid 4242", DUCT_EDENIED);
    cr_expect(exists("given") && exists("given.lock"));
}

/* As root in the directory of another: with that user's rights, and no more. */
Test(leftover, root_in_the_directory_of_another)
{
    if (geteuid() != 0)
        cr_skip_test("only root can give files away");
    dead_listener("theirs");
    cr_assert(chown(path_of("theirs.lock"), 4242, 4242) == 0 &&
              lchown(path_of("theirs"), 4242, 4242) == 0 && chown(base, 4242, 4242) == 0);
    judged("theirs", DUCT_LEFTOVER_EMPTY, "nobody holds", DUCT_OK);
    cr_expect(!exists("theirs") && !exists("theirs.lock"));
    /* Where the user could not remove it, neither do we for them. */
    cr_assert(chown(base, 0, 0) == 0);
    dead_listener("kept");
    cr_assert(chown(path_of("kept.lock"), 4242, 4242) == 0 &&
              lchown(path_of("kept"), 4242, 4242) == 0 && chown(base, 4242, 4242) == 0 &&
              chmod(base, 0500) == 0);
    judged("kept", DUCT_LEFTOVER_EMPTY, "nobody holds", DUCT_EDENIED);
    cr_expect(exists("kept") && exists("kept.lock"));
}

/* ---- Directories ---- */

static enum duct_err look_at(const char *directory)
{
    struct duct_janitor_options options = DUCT_JANITOR_OPTIONS_INIT;
    struct duct_janitor *janitor = NULL;

    options.directory = directory;
    enum duct_err err = duct_janitor_open(&janitor, &options);
    duct_janitor_close(janitor);
    return err;
}

Test(leftover, directories_that_are_not_ours)
{
    cr_expect_eq(look_at(path_of("nowhere")), DUCT_ENOTFOUND);
    cr_assert(symlink(".", path_of("link")) == 0);
    cr_expect_eq(look_at(path_of("link")), DUCT_EDENIED, "a symbolic link");
    close(open(path_of("file"), O_CREAT | O_WRONLY, 0600));
    cr_expect_eq(look_at(path_of("file")), DUCT_EDENIED, "a file");
    cr_assert_eq(chmod(base, 0770), 0);
    cr_expect_eq(look_at(base), DUCT_EDENIED, "open to the group");
    cr_assert_eq(chmod(base, 0701), 0);
    cr_expect_eq(look_at(base), DUCT_OK, "others may look");
    if (geteuid() == 0) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(setuid(4242) == 0 && look_at(base) == DUCT_EDENIED ? 0 : 1);
        int status;
        cr_assert(waitpid(pid, &status, 0) == pid);
        cr_expect_eq(status, 0, "another's");
    }
}

Test(leftover, arguments)
{
    struct duct_janitor *janitor = look();
    struct duct_janitor_options options = {0};

    cr_expect_eq(duct_janitor_open(NULL, NULL), DUCT_EINVAL);
    cr_expect_eq(duct_janitor_open(&janitor, &options), DUCT_EINVAL);
    struct duct_janitor *everywhere;
    cr_expect_eq(duct_janitor_open(&everywhere, NULL), DUCT_OK);
    duct_janitor_close(everywhere);
    cr_expect_eq(duct_janitor_remove(janitor, 0, false), DUCT_EINVAL);
    cr_expect_eq(duct_janitor_remove(NULL, 0, false), DUCT_EINVAL);
    cr_expect_null(duct_janitor_at(janitor, 0));
    cr_expect_null(duct_janitor_unseen(janitor, 0));
    cr_expect_eq(duct_janitor_count(NULL), 0);
    duct_janitor_close(janitor);
    duct_janitor_close(NULL);
    cr_expect_str_eq(duct_leftover_kind_name((enum duct_leftover_kind)99), "unknown");
    cr_expect_str_eq(duct_leftover_state_name((enum duct_leftover_state)0), "unknown");
}
