/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/duct.h>

/*
 * A listener that goes away in the middle of a handshake is, to a dial that waits for its listener, one
 * that is not there yet; to any other it is a peer that hung up.
 */

enum { WAITS = 10 };

static char base[64], path[96];
static int fake;

static void open_fake(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(base, sizeof(base), "/tmp/duct-waits-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    setenv("XDG_RUNTIME_DIR", base, 1);
    snprintf(path, sizeof(path), "%s/duct", base);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/duct/waits", base);
    memcpy(address.sun_path, path, strlen(path) + 1);
    fake = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fake, (struct sockaddr *)&address, sizeof(address)), 0);
    cr_assert_eq(listen(fake, 1), 0);
}

static void remove_all(void)
{
    unlink(path);
    snprintf(path, sizeof(path), "%s/duct", base);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(rmdir(base), 0);
}

TestSuite(wait_listener, .init = open_fake, .fini = remove_all, .timeout = 40);

/* Dials in a process of its own; ends with the error. */
static pid_t dial(const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;
    pid_t child = fork();

    cr_assert_geq(child, 0);
    if (child > 0)
        return child;
    close(fake);
    enum duct_err err = duct_dial(&pipe, url, &options);
    if (err == DUCT_OK)
        duct_pipe_close(pipe);
    _exit((int)err);
}

static int ended(pid_t child)
{
    int status;

    cr_assert_eq(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Takes a dialer, its HELLO too or not, and hangs up. */
static void hang_up(bool after_hello)
{
    char bytes[256];
    int socket = accept(fake, NULL, NULL);

    cr_assert_geq(socket, 0);
    if (after_hello)
        cr_assert_gt(recv(socket, bytes, sizeof(bytes), 0), 0);
    close(socket);
}

Test(wait_listener, goes_on)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    pid_t child = dial("shm://waits?wait_listener=1&timeout=30s");

    for (int i = 0; i < WAITS; i++)
        hang_up(i % 2 == 0);
    close(fake);
    unlink(path);
    cr_assert_eq(duct_listen(&listener, "shm://waits", NULL), DUCT_OK, "%s", duct_err_detail());
    cr_assert_eq(duct_accept(listener, &pipe, 30 * DUCT_SECOND), DUCT_OK);
    cr_assert_eq(ended(child), DUCT_OK);
    duct_pipe_close(pipe);
    duct_listener_close(listener);
}

Test(wait_listener, is_not_asked_for)
{
    pid_t child = dial("shm://waits?timeout=30s");

    hang_up(true);
    cr_assert_eq(ended(child), DUCT_EPEER);
    close(fake);
}

/* Its time is bounded all the same. */
Test(wait_listener, in_vain)
{
    pid_t child = dial("shm://waits?wait_listener=1&timeout=300ms");

    hang_up(true);
    close(fake);
    cr_assert_eq(ended(child), DUCT_ETIMEOUT);
}
