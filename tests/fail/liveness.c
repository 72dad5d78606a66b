/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shm/liveness.h"
#include "tests/fail/fail.h"
#include "tests/race/lane.h"

/*
 * Locks of owners and of janitors, asked for and taken, while the kernel refuses an answer: what is not known is an
 * error, and never "nobody".
 */
static char path[] = "/tmp/duct-liveness-XXXXXX";

static int open_again(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    MUST(fd >= 0);
    return fd;
}

static void an_owner_is_told_from_a_janitor(void)
{
    int first = open_again(), second = open_again();
    enum di_holder holder;
    bool taken, held, gone;

    FAIL_CHECK(di_lock_ask(second, &holder) == DUCT_OK && holder == DI_HELD_BY_NOBODY);
    FAIL_CHECK(di_lock_held(second, &held) == DUCT_OK && !held);
    FAIL_CHECK(di_lock_take(first, &taken) == DUCT_OK && taken);
    FAIL_CHECK(di_lock_ask(second, &holder) == DUCT_OK && holder == DI_HELD_BY_OWNER);
    FAIL_CHECK(di_lock_held(second, &held) == DUCT_OK && held);
    FAIL_CHECK(di_lock_take(second, &taken) == DUCT_OK && !taken);
    FAIL_CHECK(di_lock_take_as_janitor(second, &taken) == DUCT_OK && !taken);
    FAIL_CHECK(di_lock_outlast_janitor(second, &gone) == DUCT_OK && gone);
    close(first);
    first = open_again();
    FAIL_CHECK(di_lock_take_as_janitor(first, &taken) == DUCT_OK && taken);
    FAIL_CHECK(di_lock_ask(second, &holder) == DUCT_OK && holder == DI_HELD_BY_JANITOR);
    /* It stays: whoever waits for it gives up. */
    FAIL_CHECK(di_lock_take(second, &taken) == DUCT_OK && !taken);
    FAIL_CHECK(di_lock_outlast_janitor(second, &gone) == DUCT_OK && !gone);
    close(first);
    FAIL_CHECK(di_lock_take(second, &taken) == DUCT_OK && taken);
    close(second);
}

/* A janitor that holds the lock when `told` says so, and dies as soon as `go` does. */
static pid_t janitor(int told, int go)
{
    pid_t pid = fork();
    bool taken;
    char byte;

    MUST(pid >= 0);
    if (pid == 0) {
        MUST(di_lock_take_as_janitor(open_again(), &taken) == DUCT_OK && taken);
        MUST(write(told, "", 1) == 1 && read(go, &byte, 1) == 1);
        _exit(0);
    }
    return pid;
}

static void a_janitor_is_outlasted(bool to_take)
{
    int told[2], go[2], status, fd = open_again();
    bool done;
    char byte;

    MUST(pipe2(told, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
    pid_t pid = janitor(told[1], go[0]);
    MUST(read(told[0], &byte, 1) == 1 && write(go[1], "", 1) == 1);
    /* It may hold it for a while yet; under a load for longer than anybody waits. */
    for (done = false; !done;) {
        enum duct_err err = to_take ? di_lock_take(fd, &done) : di_lock_outlast_janitor(fd, &done);
        FAIL_CHECK(err == DUCT_OK);
    }
    MUST(waitpid(pid, &status, 0) == pid && status == 0);
    close(told[0]);
    close(told[1]);
    close(go[0]);
    close(go[1]);
    close(fd);
}

/* The n-th question to the kernel ends so. */
static void not_knowing_is_an_error(unsigned n, int error)
{
    int owner = open_again(), fd = open_again();
    enum di_holder holder;
    enum duct_err err;
    bool answer;

    MUST(di_lock_take(owner, &answer) == DUCT_OK && answer);
    fail_at(n, error);
    err = di_lock_take(fd, &answer);
    FAIL_CHECK(fail_calls() < n || err != DUCT_OK || (n == 1 && !answer));
    fail_at(n, error);
    err = di_lock_take_as_janitor(fd, &answer);
    FAIL_CHECK(fail_calls() < n || err != DUCT_OK || !answer);
    fail_at(n, error);
    err = di_lock_ask(fd, &holder);
    FAIL_CHECK(fail_calls() < n || err != DUCT_OK);
    fail_at(n, error);
    err = di_lock_held(fd, &answer);
    FAIL_CHECK(fail_calls() < n || err != DUCT_OK);
    fail_at(n, error);
    err = di_lock_outlast_janitor(fd, &answer);
    FAIL_CHECK(fail_calls() < n || (err != DUCT_OK && !answer));
    close(fd);
    close(owner);
}

static void a_name_is_compared_with_what_is_open(void)
{
    static const int errors[] = {ENOENT, EIO};
    int fd = open_again(), other = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    FAIL_CHECK(di_names_this(AT_FDCWD, path, fd));
    FAIL_CHECK(!di_names_this(AT_FDCWD, path, other));
    FAIL_CHECK(!di_names_this(AT_FDCWD, "/tmp", fd) && !di_names_this(AT_FDCWD, "/proc", fd));
    FAIL_CHECK(!di_names_this(AT_FDCWD, "/tmp/duct-no-such-file", fd));
    for (unsigned n = 1; n <= 2; n++) {
        fail_at(n, errors[n - 1]);
        bool same = di_names_this(AT_FDCWD, path, fd);
        FAIL_CHECK(fail_calls() >= n && !same);
    }
    close(other);
    close(fd);
}

int main(void)
{
    static const int errors[] = {EAGAIN, EACCES, EINVAL, EIO};

    MUST(close(mkstemp(path)) == 0);
    an_owner_is_told_from_a_janitor();
    a_janitor_is_outlasted(true);
    a_janitor_is_outlasted(false);
    for (unsigned n = 1; n <= 3; n++) {
        for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
            not_knowing_is_an_error(n, errors[i]);
    }
    a_name_is_compared_with_what_is_open();
    MUST(unlink(path) == 0);
    return 0;
}
