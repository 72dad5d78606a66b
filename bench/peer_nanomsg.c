/* SPDX-License-Identifier: Apache-2.0 */
/* nanomsg: a PAIR over ipc and tcp, messages built in and read from its own buffers. */
#include <nanomsg/nn.h>
#include <nanomsg/pair.h>

#include "bench/peer.h"

static int socket_of_process;

static bool set(int level, int option, int value)
{
    return nn_setsockopt(socket_of_process, level, option, &value, sizeof(value)) == 0;
}

static bool pair_open(struct peer *peer)
{
    peer_roam();
    socket_of_process = nn_socket(AF_SP, NN_PAIR);
    if (socket_of_process < 0)
        return false;
    return set(NN_SOL_SOCKET, NN_RCVTIMEO, PEER_WAIT_MS) &&
           set(NN_SOL_SOCKET, NN_SNDTIMEO, PEER_WAIT_MS) && set(NN_SOL_SOCKET, NN_RCVMAXSIZE, -1) &&
           set(NN_SOL_SOCKET, NN_RECONNECT_IVL, 1) && set(NN_SOL_SOCKET, NN_SNDBUF, 4 << 20) &&
           set(NN_SOL_SOCKET, NN_RCVBUF, 4 << 20) &&
           (peer->is_first ? nn_bind(socket_of_process, peer->url)
                           : nn_connect(socket_of_process, peer->url)) >= 0;
}

static bool pair_put(struct peer *peer)
{
    void *msg = nn_allocmsg(peer->size, 0);
    if (msg == NULL)
        return false;
    payload_fill_any(msg, peer->size, ++peer->sent);
    return nn_send(socket_of_process, &msg, NN_MSG, 0) >= 0;
}

static bool pair_get(struct peer *peer)
{
    void *msg;
    int length = nn_recv(socket_of_process, &msg, NN_MSG, 0);
    if (length < 0)
        return false;
    bool well = (size_t)length == peer->size;
    if (well)
        peer->sum += payload_consume(msg, peer->size);
    nn_freemsg(msg);
    return well;
}

void peer_nanomsg_cases(struct cases *cases)
{
    static const struct peer_ops ops = {
        .pingpong = "nanomsg.pingpong",
        .stream = "nanomsg.stream",
        .tcp_pingpong = "nanomsg.tcp.pingpong",
        .tcp_stream = "nanomsg.tcp.stream",
        .about = "nanomsg PAIR",
        .open = pair_open,
        .put = pair_put,
        .get = pair_get,
    };
    peer_add(cases, &ops);
}
