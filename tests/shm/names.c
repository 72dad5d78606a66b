/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
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

#include "shm/names.h"

static char base[64];

static void in_directory(void)
{
    snprintf(base, sizeof(base), "/tmp/duct-names-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    setenv("XDG_RUNTIME_DIR", base, 1);
}

static void clean_up(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

TestSuite(names, .init = in_directory, .fini = clean_up);

static enum duct_err path_of(const char *address, bool create, char path[128])
{
    struct di_url url;
    enum duct_err err = di_url_parse(&url, address);

    return err != DUCT_OK ? err : di_names_path(path, 128, &url, create);
}

Test(names, paths)
{
    char path[128], expected[128];
    struct stat status;

    snprintf(expected, sizeof(expected), "%s/duct/Name_1-a.b", base);
    cr_assert_eq(path_of("shm://Name_1-a.b", false, path), DUCT_OK);
    cr_assert_str_eq(path, expected);
    snprintf(expected, sizeof(expected), "%s/duct", base);
    cr_assert_neq(stat(expected, &status), 0, "looking makes nothing");
    cr_assert_eq(path_of("shm://x", true, path), DUCT_OK);
    cr_assert(stat(expected, &status) == 0 && (status.st_mode & 0777) == 0700);
    cr_assert_eq(path_of("shm:///run/some/where", false, path), DUCT_OK);
    cr_assert_str_eq(path, "/run/some/where");
    setenv("XDG_RUNTIME_DIR", "not/absolute", 1);
    cr_assert_eq(path_of("shm://x", false, path), DUCT_OK);
    cr_assert_eq(path[0], '/');
}

Test(names, errors_have_positions)
{
    static const struct {
        const char *address, *position;
    } wrong[] = {{"shm://", "position 6"},          {"shm://a b", "position 7"},
                 {"shm://abc!", "position 9"},      {"shm://.a", "position 6"},
                 {"shm://..", "position 6"},        {"shm://a/b", "position 7"},
                 {"shm://a/../../b", "position 7"}, {"shm://a\\b", "position 7"}};
    char path[128] = "untouched", address[400];

    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_expect_eq(path_of(wrong[i].address, false, path), DUCT_EINVAL, "%s", wrong[i].address);
        cr_expect_not_null(strstr(duct_err_detail(), wrong[i].position), "%s: %s", wrong[i].address,
                           duct_err_detail());
    }
    /* The longest name, and one more; the longest path, and one more. */
    for (size_t length = 60; length < 300; length++) {
        snprintf(address, sizeof(address), "shm://%.*s", (int)length,
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                 "aaaaaaaaaaaaa"
                 "aaaaaaaaaaaaaaaaaaaaa");
        enum duct_err err = path_of(address, false, path);
        cr_assert(err == DUCT_OK ? strlen(path) <= DI_SOCKET_PATH_MAX : err == DUCT_EINVAL);
        cr_assert(length < 200 || err == DUCT_EINVAL);
    }
}

/* ---- Directories that are not ours ---- */

Test(names, foreign_directories)
{
    char path[128], directory[80], other[80];

    snprintf(directory, sizeof(directory), "%s/duct", base);
    snprintf(other, sizeof(other), "%s/other", base);
    cr_assert_eq(mkdir(other, 0700), 0);
    cr_assert_eq(symlink(other, directory), 0);
    cr_expect_eq(path_of("shm://x", true, path), DUCT_EDENIED, "a symbolic link");
    cr_assert_eq(unlink(directory), 0);
    cr_assert(mkdir(directory, 0700) == 0 && chmod(directory, 0750) == 0);
    cr_expect_eq(path_of("shm://x", true, path), DUCT_EDENIED, "open to the group");
    cr_expect_eq(path_of("shm://x", false, path), DUCT_EDENIED, "to dial, too");
    cr_assert_eq(chmod(directory, 0701), 0);
    cr_expect_eq(path_of("shm://x", true, path), DUCT_EDENIED, "open to all");
    cr_assert_eq(chmod(directory, 0700), 0);
    cr_expect_eq(path_of("shm://x", true, path), DUCT_OK);
    if (geteuid() == 0) {
        cr_assert_eq(chown(directory, 4242, 4242), 0);
        cr_expect_eq(path_of("shm://x", true, path), DUCT_EDENIED, "another's");
    }
    cr_assert_eq(rmdir(directory), 0);
    int file = open(directory, O_CREAT | O_WRONLY, 0600);
    cr_expect_eq(path_of("shm://x", true, path), DUCT_EDENIED, "a file");
    close(file);
}

/* ---- Owning a path ---- */

Test(names, things_in_the_way)
{
    struct di_bound bound;
    char path[128], lock[140], elsewhere[140];

    cr_assert_eq(path_of("shm://x", true, path), DUCT_OK);
    snprintf(lock, sizeof(lock), "%s.lock", path);
    snprintf(elsewhere, sizeof(elsewhere), "%s.elsewhere", path);
    int file = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_eq(write(file, "precious", 8), 8);
    close(file);
    cr_assert_eq(di_names_bind(&bound, path, false, 8), DUCT_EINUSE);
    struct stat status;
    cr_assert(stat(path, &status) == 0 && status.st_size == 8, "it is not ours to remove");
    cr_assert_eq(unlink(path), 0);
    unlink(lock);
    cr_assert_eq(symlink("/etc/passwd", lock), 0);
    cr_assert_neq(di_names_bind(&bound, path, false, 8), DUCT_OK, "no link is followed");
    cr_assert_eq(unlink(lock), 0);
    cr_assert_eq(symlink(elsewhere, lock), 0);
    cr_assert_neq(di_names_bind(&bound, path, false, 8), DUCT_OK);
    cr_assert(stat(elsewhere, &status) != 0, "nor is a file made through one");
    cr_assert_eq(di_names_bind(&bound, "/nowhere/at/all", false, 8), DUCT_ENOTFOUND);
    cr_expect_not_null(strstr(duct_err_detail(), "directory"), "%s", duct_err_detail());
    cr_assert_eq(unlink(lock), 0);
    cr_assert_eq(di_names_bind(&bound, path, false, 8), DUCT_OK, "%s", duct_err_detail());
    cr_assert(stat(path, &status) == 0 && (status.st_mode & 0777) == 0600);
    cr_assert(stat(lock, &status) == 0 && (status.st_mode & 0777) == 0600);
    di_names_unbind(&bound);
    cr_assert(stat(path, &status) != 0 && stat(lock, &status) != 0);
}

/* Many processes at once, after an owner was killed: one wins each round, the others are told. */
enum { RACERS = 12 };

static void race(const char *path, int go, int results, int stay)
{
    struct di_bound bound;
    char byte;

    if (read(go, &byte, 1) < 0)
        _exit(2);
    enum duct_err err = di_names_bind(&bound, path, false, 8);
    byte = err == DUCT_OK ? 'w' : err == DUCT_EINUSE ? 'l' : 'x';
    if (write(results, &byte, 1) != 1)
        _exit(2);
    /* The winner stays until it is killed, socket and lock and all. */
    while (read(stay, &byte, 1) > 0)
        continue;
    _exit(0);
}

static void races(int count, int rounds)
{
    char path[128];

    cr_assert_eq(path_of("shm://x", true, path), DUCT_OK);
    for (int round = 0; round < rounds; round++) {
        /* The last winner's, which was killed. */
        cr_assert_eq(access(path, F_OK) == 0, round > 0);
        int go[2], results[2], stay[2], winners = 0, losers = 0;
        pid_t racers[RACERS];
        cr_assert(pipe(go) == 0 && pipe(results) == 0 && pipe(stay) == 0);
        for (int i = 0; i < count; i++) {
            racers[i] = fork();
            cr_assert_geq(racers[i], 0);
            if (racers[i] == 0) {
                close(go[1]);
                close(stay[1]);
                race(path, go[0], results[1], stay[0]);
            }
        }
        close(go[1]);
        for (int i = 0; i < count; i++) {
            char byte;
            cr_assert_eq(read(results[0], &byte, 1), 1);
            winners += byte == 'w';
            losers += byte == 'l';
        }
        cr_assert_eq(winners, 1, "%d own %s", winners, path);
        cr_assert_eq(losers, count - 1);
        for (int i = 0; i < count; i++) {
            kill(racers[i], SIGKILL);
            waitpid(racers[i], NULL, 0);
        }
        close(go[0]);
        close(results[0]);
        close(results[1]);
        close(stay[0]);
        close(stay[1]);
    }
}

Test(names, one_of_many_takes_over, .timeout = 60)
{
    races(RACERS, 15);
}

Test(names, one_of_two_takes_over, .timeout = 60)
{
    races(2, 200);
}

/* ---- Sockets of programs that keep other rules ---- */

/* Bound at path by this process, for connections to be taken from a queue of that length. */
static int stranger(const char *path, int type, int queue)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(address.sun_path, path);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert(type == SOCK_DGRAM || listen(fd, queue) == 0);
    return fd;
}

static void left_alone(const char *path, const char *what)
{
    struct di_bound bound;
    struct stat before, after;

    cr_assert_eq(stat(path, &before), 0);
    for (int stream = 0; stream < 2; stream++) {
        enum duct_err err = stream ? di_names_bind_stream(&bound, path, false, 8)
                                   : di_names_bind(&bound, path, false, 8);
        cr_expect_eq(err, DUCT_EINUSE, "%s: %s", what, duct_err_name(err));
        cr_assert_eq(stat(path, &after), 0, "%s was removed under its program", what);
        cr_expect_eq(before.st_ino, after.st_ino, "%s was replaced", what);
        cr_expect_not_null(strstr(duct_err_detail(), path), "%s: %s", what, duct_err_detail());
    }
}

Test(names, live_sockets_of_any_type_stay)
{
    static const struct {
        int type;
        const char *name;
    } types[] = {{SOCK_SEQPACKET, "seqpacket"}, {SOCK_STREAM, "stream"}, {SOCK_DGRAM, "dgram"}};
    char path[128];
    struct di_bound bound;

    cr_assert_eq(path_of("shm://x", true, path), DUCT_OK);
    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        int fd = stranger(path, types[i].type, 8);
        left_alone(path, types[i].name);
        int dialled = -1;
        enum duct_err err = di_names_connect(&dialled, path);
        cr_expect_eq(err, types[i].type == SOCK_SEQPACKET ? DUCT_OK : DUCT_EREFUSED, "%s: %s",
                     types[i].name, duct_err_name(err));
        cr_expect(err == DUCT_OK || strstr(duct_err_detail(), "another kind") != NULL, "%s",
                  duct_err_detail());
        close(dialled);
        close(fd);
        /* Once nobody is behind it, it goes. */
        cr_expect_eq(di_names_bind_stream(&bound, path, false, 8), DUCT_OK, "%s: %s", types[i].name,
                     duct_err_detail());
        di_names_unbind(&bound);
    }
}

/* A program that is too busy to accept is not dead. */
Test(names, a_full_queue_is_no_stale_socket)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char path[128];

    cr_assert_eq(path_of("shm://x", true, path), DUCT_OK);
    strcpy(address.sun_path, path);
    for (int type = SOCK_STREAM; type != 0; type = type == SOCK_STREAM ? SOCK_SEQPACKET : 0) {
        int listener = stranger(path, type, 0);
        int waiting[3];
        int refused = 0;
        for (int i = 0; i < 3; i++) {
            waiting[i] = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
            refused += connect(waiting[i], (struct sockaddr *)&address, sizeof(address)) != 0 &&
                       errno == EAGAIN;
        }
        cr_assert_gt(refused, 0, "its queue is full");
        left_alone(path, type == SOCK_STREAM ? "a busy stream" : "a busy seqpacket socket");
        for (int i = 0; i < 3; i++)
            close(waiting[i]);
        close(listener);
        cr_assert_eq(unlink(path), 0);
    }
}
