/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/descriptors.h"
#include "transports/bootstrap.h"

/*
 * A dialer that is no dialer, to a real listener: messages that are wrong, out of turn, or come with
 * the wrong number of descriptors. Each is turned away, counted, and leaves nothing behind; the next
 * honest dialer is served.
 */

static struct duct_context *context;
static struct duct_listener *listener;
static char base[64];

static void open_listener(void)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    snprintf(base, sizeof(base), "/tmp/duct-handshake-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    setenv("XDG_RUNTIME_DIR", base, 1);
    cr_assert_eq(duct_context_open(&context, NULL), DUCT_OK);
    options.context = context;
    cr_assert_eq(duct_listen(&listener, "shm://handshake?handshake=300ms", &options), DUCT_OK);
}

static void close_listener(void)
{
    char below[80];

    duct_context_close(context);
    snprintf(below, sizeof(below), "%s/duct", base);
    cr_assert_eq(rmdir(below), 0);
    cr_assert_eq(rmdir(base), 0);
}

TestSuite(handshake, .init = open_listener, .fini = close_listener);

static int connect_raw(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", duct_listener_path(listener));
    cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static void send_raw(int fd, const void *bytes, size_t size, unsigned fds)
{
    char control[CMSG_SPACE(253 * sizeof(int))] = {0};
    struct iovec piece = {(void *)(uintptr_t)bytes, size};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

    if (fds > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
        for (unsigned i = 0; i < fds; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
    }
    cr_assert_eq(sendmsg(fd, &header, MSG_NOSIGNAL), (ssize_t)size);
}

/* Runs the loop until the listener has turned away one more. */
static void turned_away(uint64_t before, const char *what)
{
    struct duct_event event;
    size_t count;

    for (int i = 0; i < 500 && duct_listener_refused(listener) == before; i++) {
        enum duct_err err = duct_context_wait(context, &event, 1, &count, 10 * DUCT_MILLISECOND);
        cr_assert(err == DUCT_OK || err == DUCT_ETIMEOUT);
    }
    cr_assert_eq(duct_listener_refused(listener), before + 1, "%s was not turned away", what);
}

/* Until the listener answered a HELLO. */
static void get_hello(int fd)
{
    struct duct_event event;
    struct di_boot_hello hello;
    size_t count;

    for (int i = 0; i < 500; i++) {
        enum duct_err err = duct_context_wait(context, &event, 1, &count, DUCT_MILLISECOND);
        cr_assert(err == DUCT_OK || err == DUCT_ETIMEOUT);
        if (recv(fd, &hello, sizeof(hello), MSG_DONTWAIT) == (ssize_t)sizeof(hello))
            return;
    }
    cr_assert_fail("no HELLO came back");
}

/* For the reason it deserves, and not because its time was over. */
static void told_why(int fd, const char *what)
{
    struct di_boot_end told;

    while (recv(fd, &told, sizeof(told), MSG_DONTWAIT) == (ssize_t)sizeof(told)) {
        if (told.type == DI_BOOT_REFUSE) {
            cr_assert_neq(told.err, DUCT_ETIMEOUT, "%s was only timed out", what);
            return;
        }
    }
    cr_assert_fail("%s was not told why", what);
}

/* What was turned away is closed when the loop has taken its operations back: a turn or two later. */
static void settled(unsigned open, const char *what)
{
    struct duct_event event;
    size_t count;

    for (int i = 0; i < 500 && descriptors_open() != open; i++) {
        enum duct_err err = duct_context_wait(context, &event, 1, &count, 0);
        cr_assert(err == DUCT_OK || err == DUCT_EAGAIN);
    }
    cr_assert_eq(descriptors_open(), open, "%s left a descriptor", what);
}

static void refused_first(const void *bytes, size_t size, unsigned fds, const char *what)
{
    uint64_t before = duct_listener_refused(listener);
    unsigned open = descriptors_open();
    int fd = connect_raw();

    send_raw(fd, bytes, size, fds);
    turned_away(before, what);
    told_why(fd, what);
    close(fd);
    settled(open, what);
}

Test(handshake, descriptors_with_hello)
{
    struct di_boot_hello hello;

    di_boot_make_hello(&hello, 5, 0, 10, 64);
    for (unsigned fds = 1; fds <= 253; fds += fds < 6 ? 1 : 41)
        refused_first(&hello, sizeof(hello), fds, "a HELLO with descriptors");
}

Test(handshake, wrong_hello)
{
    struct di_boot_hello hello;
    unsigned char bytes[300] = {0};

    refused_first("x", 1, 0, "a byte");
    refused_first(bytes, sizeof(bytes), 0, "zeros");
    di_boot_make_hello(&hello, 5, 0, 10, 64);
    hello.version_min = hello.version_max = 99;
    refused_first(&hello, sizeof(hello), 0, "another version");
    di_boot_make_hello(&hello, 5, 1u << 31, 10, 64);
    refused_first(&hello, sizeof(hello), 0, "an unknown capability");
    di_boot_make_hello(&hello, 5, 0, 1u << 30, 64);
    refused_first(&hello, sizeof(hello), 0, "too many blocks");
    struct di_boot_note note = {.type = DI_BOOT_SEGMENTS, .session = 5};
    refused_first(&note, sizeof(note), 2, "segments out of turn");
}

static void refused_second(const void *bytes, size_t size, unsigned fds, const char *what)
{
    uint64_t before = duct_listener_refused(listener);
    unsigned open = descriptors_open();
    int fd = connect_raw();
    struct di_boot_hello hello;

    di_boot_make_hello(&hello, 5, 0, 10, 64);
    send_raw(fd, &hello, sizeof(hello), 0);
    get_hello(fd);
    send_raw(fd, bytes, size, fds);
    turned_away(before, what);
    told_why(fd, what);
    close(fd);
    settled(open, what);
}

Test(handshake, descriptors_with_segments)
{
    struct di_boot_note note = {.type = DI_BOOT_SEGMENTS, .session = 5};

    /* Two are right in number, but no segments. */
    for (unsigned fds = 0; fds <= 253; fds += fds < 6 ? 1 : 41)
        refused_second(&note, sizeof(note), fds, "SEGMENTS");
    note.session = 6;
    refused_second(&note, sizeof(note), 2, "another session's SEGMENTS");
    note.type = DI_BOOT_READY;
    refused_second(&note, sizeof(note), 0, "READY");
}

/* H13: silence has a deadline, at either step. */
Test(handshake, silence)
{
    struct di_boot_hello hello;
    int first = connect_raw();

    turned_away(0, "silence");
    int second = connect_raw();
    di_boot_make_hello(&hello, 5, 0, 10, 64);
    send_raw(second, &hello, sizeof(hello), 0);
    get_hello(second);
    turned_away(1, "silence after HELLO");
    int third = connect_raw();
    close(third);
    turned_away(2, "one who hung up");
    close(first);
    close(second);
}

/* A flood of silent dialers pushes out itself: the honest one is served, well before their deadline. */
Test(handshake, flood)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *accepted, *dialled;
    int silent[120];
    pid_t child;

    for (int i = 0; i < 120; i++)
        silent[i] = connect_raw();
    if ((child = fork()) == 0)
        _exit(duct_dial(&dialled, "shm://handshake", &options) != DUCT_OK);
    cr_assert_gt(child, 0);
    cr_assert_eq(duct_accept(listener, &accepted, 10 * DUCT_SECOND), DUCT_OK);
    cr_assert_geq(duct_listener_refused(listener), 120 - 64);
    duct_pipe_close(accepted);
    for (int i = 0; i < 120; i++)
        close(silent[i]);
}
