/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/io/transfer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "lib/base/fork.h"

/* Without a message header where one will do: the kernel reads less. */
int64_t di_transfer_send(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces,
                                   .msg_iovlen = count};
    int64_t done;

    (void)io;
    do {
        done = count == 1
                   ? send(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                   : sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

int64_t di_transfer_recv(struct di_io *io, int fd, const struct iovec *pieces, uint32_t count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = count};
    int64_t done;

    (void)io;
    do {
        done = count == 1 ? recv(fd, pieces[0].iov_base, pieces[0].iov_len, MSG_DONTWAIT)
                          : recvmsg(fd, &message, MSG_DONTWAIT);
    } while (done < 0 && errno == EINTR);
    return done < 0 ? -errno : done;
}

/* A new descriptor, or a negative errno. */
static int listed(int fd)
{
    if (fd < 0)
        return -errno;
    di_fork_close_in_child(fd);
    return fd;
}

int di_transfer_accept(struct di_io *io, int fd)
{
    int taken;

    (void)io;
    do {
        taken = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    } while (taken < 0 && (errno == EINTR || errno == ECONNABORTED));
    return listed(taken);
}

int di_transfer_open(struct di_io *io, int family)
{
    (void)io;
    return listed(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

int di_transfer_dup(struct di_io *io, int fd)
{
    (void)io;
    return listed(fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

void di_transfer_shut(struct di_io *io, int fd)
{
    (void)io;
    shutdown(fd,
             SHUT_WR); /* of a connection that is broken already it fails, which changes nothing */
}

void di_transfer_close(struct di_io *io, int fd)
{
    (void)io;
    di_fork_close(fd);
}

void di_transfer_connected(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

static int64_t connect_now(const struct di_io_op *op, bool connecting)
{
    int errnum = 0;
    socklen_t size = sizeof(errnum);

    if (connecting) {
        if (getsockopt(op->fd, SOL_SOCKET, SO_ERROR, &errnum, &size) != 0)
            return -errno;
        return -errnum;
    }
    while (connect(op->fd, op->address, op->address_size) != 0) {
        if (errno == EINPROGRESS || errno == EALREADY)
            return -EAGAIN;
        /* A Unix socket whose listener's queue is full says so, and nothing tells when it is not. */
        if (errno == EAGAIN)
            return -EPROTO;
        if (errno != EINTR)
            return errno == EISCONN ? 0 : -errno;
    }
    return 0;
}

static int64_t call_now(struct di_io_op *op)
{
    if (op->sent < op->size) {
        const struct iovec rest = {.iov_base = (char *)(uintptr_t)op->data + op->sent,
                                   .iov_len = op->size - op->sent};
        int64_t done = di_transfer_send(NULL, op->fd, &rest, 1);
        if (done < 0)
            return done == -EAGAIN ? -EPROTO : done;
        op->sent += (size_t)done;
        if (op->sent < op->size)
            return -EPROTO;
    }
    if (op->drained)
        return -EAGAIN;
    return di_transfer_recv(NULL, op->fd, op->pieces, op->piece_count);
}

bool di_transfer_ask(struct di_io_op *op)
{
    const struct iovec all = {.iov_base = (char *)(uintptr_t)op->data, .iov_len = op->size};
    int64_t done = di_transfer_send(NULL, op->fd, &all, 1);

    op->sent = done < 0 ? 0 : (size_t)done;
    op->error = done < 0 ? (int)-done : EAGAIN;
    if (op->sent < op->size)
        return false;
    op->error = 0;
    return true;
}

int64_t di_transfer_attempt(struct di_io_op *op, bool connecting)
{
    switch (op->kind) {
    case DI_IO_CONNECT: {
        int64_t result = connect_now(op, connecting);
        if (result == 0)
            di_transfer_connected(op->fd);
        return result;
    }
    case DI_IO_RECV:
        return di_transfer_recv(NULL, op->fd, op->pieces, op->piece_count);
    case DI_IO_CALL:
        return call_now(op);
    case DI_IO_POLL:
    case DI_IO_WORD:
    case DI_IO_TIMER:
    case DI_IO_RECV_ANY:
    case DI_IO_CALL_ANY:
    case DI_IO_ACCEPT:
        break;
    }
    return -EINVAL;
}

uint32_t di_transfer_events(const struct di_io_op *op)
{
    return op->kind == DI_IO_CONNECT ? POLLOUT : POLLIN | POLLRDHUP;
}
