/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "lib/base/fork.h"
#include "transports/stream.h"

/* The descriptor of a pipe that a program watches: readable exactly while there is something. */

void stream_signal(struct stream_pipe *sp)
{
    const uint64_t one = 1;
    uint64_t count;

    if (!sp->ops[STREAM_OP_IN].op.in_flight)
        di_pipe_activate(&sp->pipe); /* to be armed before its context sleeps */
    if (sp->exported < 0)
        return;
    bool up = stream_parse(sp) || sp->pipe.end != DUCT_OK;
    if (up == sp->bell_up)
        return;
    sp->bell_up = up;
    if ((up ? write(sp->bell, &one, sizeof(one)) : read(sp->bell, &count, sizeof(count))) < 0)
        return; /* it was so before */
}

enum duct_err stream_pipe_fd(struct duct_pipe *pipe, int *fd)
{
    struct stream_pipe *sp = stream_of(pipe);

    if (sp->exported < 0) {
        struct epoll_event event = {.events = EPOLLIN};
        stream_stop_taking(sp); /* what is in the socket is to be seen there */
        int bell = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
        int made = epoll_create1(EPOLL_CLOEXEC);
        if (bell < 0 || made < 0 || epoll_ctl(made, EPOLL_CTL_ADD, bell, &event) != 0 ||
            epoll_ctl(made, EPOLL_CTL_ADD, sp->stream->fd, &event) != 0) {
            enum duct_err err = di_fail_os(errno, "duct_pipe_fd: no descriptor for the pipe");
            di_fork_close(bell);
            di_fork_close(made);
            return err;
        }
        di_fork_close_in_child(made);
        di_fork_close_in_child(bell);
        sp->bell = bell;
        sp->bell_up = true;
        sp->exported = made;
        pipe->exported = true;
    }
    *fd = sp->exported;
    return DUCT_OK;
}
