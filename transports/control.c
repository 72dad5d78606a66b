/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/control.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/error.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* Linux 6.5 */
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* Room for as many descriptors as the kernel lets a message bring (SCM_MAX_FD), so that a surplus is seen,
 * and closed, by us: see close_foreign(). What this process has no numbers left for the kernel closes. */
#define FDS_ROOM 253u

union control_buffer {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) +
               CMSG_SPACE(FDS_ROOM * sizeof(int))];
};

enum duct_err di_control_send(int socket, const void *bytes, size_t size, const int *fds,
                              unsigned fd_count)
{
    union control_buffer control;
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = size};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};

    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        header.msg_control = control.bytes;
        header.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(cmsg), fds, fd_count * sizeof(int));
    }
    for (;;) {
        if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            return DUCT_OK;
        if (errno == EAGAIN)
            return DUCT_EAGAIN;
        if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN)
            return di_fail(DUCT_EPEER, "the peer's end of the control socket is closed");
        if (errno != EINTR)
            return di_fail_os(errno, "sending on the control socket");
    }
}

/*
 * Closes a descriptor of the peer's that we have no use for. If it is a socket, and ours is its last
 * reference, close() would wait for what it still has to send as long as its maker chose: for ever.
 */
static void close_foreign(int fd)
{
    const struct linger none = {.l_onoff = 0};

    /* Of anything but a socket it is refused, and nothing is lost. */
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
}

static void take_fds(struct di_control_msg *msg, const struct cmsghdr *cmsg)
{
    size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);

    for (size_t i = 0; i < count; i++) {
        int fd;
        memcpy(&fd, CMSG_DATA(cmsg) + i * sizeof(int), sizeof(fd));
        if (msg->fd_count < DI_CONTROL_FDS) {
            msg->fds[msg->fd_count++] = fd;
        } else {
            close_foreign(fd);
            msg->surplus = true;
        }
    }
}

static void take_ancillary(struct di_control_msg *msg, struct msghdr *header)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(header); cmsg != NULL;
         cmsg = CMSG_NXTHDR(header, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET)
            continue;
        if (cmsg->cmsg_type == SCM_RIGHTS) {
            take_fds(msg, cmsg);
        } else if (cmsg->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(cmsg), sizeof(credentials));
            msg->has_credentials = true;
            msg->pid = credentials.pid;
            msg->uid = credentials.uid;
            msg->gid = credentials.gid;
        } else if (cmsg->cmsg_type == SCM_PIDFD && msg->pidfd < 0) {
            memcpy(&msg->pidfd, CMSG_DATA(cmsg), sizeof(msg->pidfd));
        }
    }
}

enum duct_err di_control_recv(int socket, struct di_control_msg *msg)
{
    union control_buffer control;
    struct iovec piece = {.iov_base = msg->bytes, .iov_len = sizeof(msg->bytes)};
    struct msghdr header = {.msg_iov = &piece,
                            .msg_iovlen = 1,
                            .msg_control = control.bytes,
                            .msg_controllen = sizeof(control.bytes)};
    ssize_t size;

    msg->fd_count = 0;
    msg->surplus = false;
    msg->starved = false;
    msg->has_credentials = false;
    msg->pidfd = -1;
    /* ECONNRESET is said once, when the peer closed with something of ours unread; what it sent
     * before, its CLOSE for one, is still to be had. */
    do {
        size = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (size < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size < 0 && errno == EAGAIN)
        return DUCT_EAGAIN;
    if (size < 0)
        return di_fail_os(errno, "receiving on the control socket");
    if (size == 0)
        return DUCT_EPEER;
    msg->size = (size_t)size;
    take_ancillary(msg, &header);
    if (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        msg->surplus = true;
    /* There is room for the most that can come, so it is not the peer who sent too many. */
    if (header.msg_flags & MSG_CTRUNC)
        msg->starved = true;
    return DUCT_OK;
}

void di_control_drop(struct di_control_msg *msg)
{
    for (unsigned i = 0; i < msg->fd_count; i++)
        close_foreign(msg->fds[i]);
    msg->fd_count = 0;
    if (msg->pidfd >= 0)
        close(msg->pidfd);
    msg->pidfd = -1;
}

void di_control_hang_up(int socket)
{
    struct di_control_msg msg;

    shutdown(socket, SHUT_RDWR);
    /* Nothing can be added any more: what is there is bounded by the socket's buffer. */
    while (di_control_recv(socket, &msg) == DUCT_OK)
        di_control_drop(&msg);
}

void di_control_want_identity(int socket, bool want)
{
    const int value = want ? 1 : 0;

    setsockopt(socket, SOL_SOCKET, SO_PASSCRED, &value, sizeof(value));
    /* Older kernels refuse this one; then pidfd_open() has to do. */
    setsockopt(socket, SOL_SOCKET, SO_PASSPIDFD, &value, sizeof(value));
}
