/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "transports/control.h"

/* H12: whatever descriptors come with a message, and however many, none stays open by accident. */

static int pair[2];

static void open_pair(void)
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
}

TestSuite(control, .init = open_pair);

/* As a peer may send it: in one block of descriptors or in two, as long a message as it likes. */
static void send_raw(size_t size, unsigned fds)
{
    static char bytes[1024];
    char control[CMSG_SPACE(253 * sizeof(int))] = {0};
    struct iovec piece = {bytes, size};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

    if (fds > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(fds * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(fds * sizeof(int));
        int *list = (int *)(void *)CMSG_DATA(cmsg);
        for (unsigned i = 0; i < fds; i++)
            list[i] = pair[0];
    }
    cr_assert_eq(sendmsg(pair[0], &header, 0), (ssize_t)size);
}

static void counts(void)
{
    struct di_control_msg msg;

    for (unsigned fds = 0; fds <= 253; fds++) {
        unsigned before = descriptors_open();
        send_raw(16, fds);
        cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_OK);
        cr_assert_eq(msg.size, 16);
        cr_assert_eq(msg.fd_count, fds < DI_CONTROL_FDS ? fds : DI_CONTROL_FDS);
        cr_assert_eq(msg.surplus, fds > DI_CONTROL_FDS, "%u descriptors", fds);
        for (unsigned i = 0; i < msg.fd_count; i++)
            cr_assert(fcntl(msg.fds[i], F_GETFD) & FD_CLOEXEC);
        di_control_drop(&msg);
        cr_assert_eq(descriptors_open(), before, "%u descriptors", fds);
    }
}

Test(control, any_number_of_descriptors)
{
    counts();
}

/* With credentials and a pidfd beside them, which take room of their own. */
Test(control, with_identity)
{
    struct di_control_msg msg;

    di_control_want_identity(pair[1], true);
    counts();
    send_raw(16, 0);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_OK);
    cr_assert(msg.has_credentials && msg.pid == getpid() && msg.uid == getuid());
    di_control_drop(&msg);
    cr_assert_eq(msg.pidfd, -1);
    di_control_want_identity(pair[1], false);
    send_raw(16, 0);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_OK);
    cr_assert(!msg.has_credentials && msg.pidfd == -1);
}

/* No room for what comes: it is refused, and nothing is left open. */
Test(control, at_the_limit_of_descriptors)
{
    struct di_control_msg msg;

    for (unsigned room = 0; room < 6; room++) {
        unsigned before = descriptors_open();
        struct rlimit limit, old;
        cr_assert_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
        send_raw(16, 4);
        limit = old;
        int next = dup(0);
        close(next);
        limit.rlim_cur = (rlim_t)next + room;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        enum duct_err err = di_control_recv(pair[1], &msg);
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
        cr_assert_eq(err, DUCT_OK);
        cr_assert(msg.surplus, "room for %u", room);
        di_control_drop(&msg);
        cr_assert_eq(descriptors_open(), before, "room for %u", room);
    }
}

Test(control, long_messages)
{
    struct di_control_msg msg;

    send_raw(DI_CONTROL_MAX, 0);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_OK);
    cr_assert(msg.size == DI_CONTROL_MAX && !msg.surplus);
    send_raw(DI_CONTROL_MAX + 1, 2);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_OK);
    cr_assert(msg.surplus, "a message that was cut");
    di_control_drop(&msg);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_EAGAIN);
}

Test(control, ends)
{
    struct di_control_msg msg;

    /* The queue fills, and says so without waiting. */
    enum duct_err err;
    unsigned sent = 0;
    while ((err = di_control_send(pair[0], "0123456789", 10, NULL, 0)) == DUCT_OK && sent < 100000)
        sent++;
    cr_assert_eq(err, DUCT_EAGAIN);
    close(pair[0]);
    /* What was sent before the end is still to be had. */
    for (unsigned i = 0; i < sent; i++)
        cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_OK);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_EPEER);
    cr_assert_eq(di_control_send(pair[1], "x", 1, NULL, 0), DUCT_EPEER);
    cr_assert_eq(di_control_recv(pair[1], &msg), DUCT_EPEER);
}
