/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/channel.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

bool channel_open_unix(struct channel *channel)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return false;
    *channel = (struct channel){pair[0], pair[0], pair[1], pair[1]};
    return true;
}

bool channel_open_pipe(struct channel *channel)
{
    int there[2];
    int back[2];
    if (pipe2(there, 0) != 0)
        return false;
    if (pipe2(back, 0) != 0) {
        close(there[0]);
        close(there[1]);
        return false;
    }
    *channel = (struct channel){back[0], there[1], there[0], back[1]};
    return true;
}

/* Bound to a free port of the loopback's, which is told; -1 when the OS refuses. */
static int bound_socket(struct sockaddr_in *at)
{
    socklen_t size = sizeof(*at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd >= 0 && (bind(fd, (const struct sockaddr *)at, size) != 0 ||
                    getsockname(fd, (struct sockaddr *)at, &size) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static bool at_once(int fd)
{
    int yes = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0;
}

bool channel_open_tcp(struct channel *channel)
{
    struct sockaddr_in at;
    int listener = bound_socket(&at);
    int dialler = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int accepted = -1;

    /* A connection over loopback is complete once connect() returned; accept() takes it later. */
    if (listener >= 0 && dialler >= 0 && listen(listener, 1) == 0 &&
        connect(dialler, (const struct sockaddr *)&at, sizeof(at)) == 0)
        accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (listener >= 0)
        close(listener);
    if (accepted >= 0 && at_once(accepted) && at_once(dialler)) {
        *channel = (struct channel){accepted, accepted, dialler, dialler};
        return true;
    }
    if (accepted >= 0)
        close(accepted);
    if (dialler >= 0)
        close(dialler);
    return false;
}

static bool spinning(struct channel *channel, channel_opener *open_channel)
{
    return open_channel(channel) && fcntl(channel->first_in, F_SETFL, O_NONBLOCK) == 0 &&
           fcntl(channel->second_in, F_SETFL, O_NONBLOCK) == 0;
}

bool channel_open_unix_spinning(struct channel *channel)
{
    return spinning(channel, channel_open_unix);
}

bool channel_open_tcp_spinning(struct channel *channel)
{
    return spinning(channel, channel_open_tcp);
}

bool channel_setup(struct bench_run *run, channel_opener *open_channel)
{
    static struct channel channel; /* one run at a time */
    run->own = &channel;
    return open_channel(&channel);
}

static void close_ends(int in, int out)
{
    close(in);
    if (out != in)
        close(out);
}

void channel_teardown(struct bench_run *run)
{
    const struct channel *channel = run->own;
    close_ends(channel->first_in, channel->first_out);
    close_ends(channel->second_in, channel->second_out);
}

struct channel_end channel_take(const struct bench_run *run, bool is_first)
{
    const struct channel *channel = run->own;
    if (is_first)
        close_ends(channel->second_in, channel->second_out);
    else
        close_ends(channel->first_in, channel->first_out);
    return (struct channel_end){
        .in = is_first ? channel->first_in : channel->second_in,
        .out = is_first ? channel->first_out : channel->second_out,
    };
}

unsigned channel_free_port(void)
{
    struct sockaddr_in at;
    int fd = bound_socket(&at);
    if (fd < 0)
        return 0;
    close(fd);
    return ntohs(at.sin_port);
}
