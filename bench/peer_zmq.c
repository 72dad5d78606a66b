/* SPDX-License-Identifier: Apache-2.0 */
/* ZeroMQ: a PAIR of sockets over ipc and tcp, messages built in and read from its own buffers. */
#include <zmq.h>

#include "bench/peer.h"

static bool zmq_open(struct peer *peer)
{
    const int wait_ms = PEER_WAIT_MS;
    const int unlimited = 0;

    peer_roam();
    void *context = zmq_ctx_new();
    void *socket = context != NULL ? zmq_socket(context, ZMQ_PAIR) : NULL;
    if (socket == NULL)
        return false;
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(socket, ZMQ_SNDTIMEO, &wait_ms, sizeof(wait_ms));
    zmq_setsockopt(socket, ZMQ_LINGER, &unlimited, sizeof(unlimited));
    peer->handle = socket;
    return (peer->is_first ? zmq_bind(socket, peer->url) : zmq_connect(socket, peer->url)) == 0;
}

static bool zmq_put(struct peer *peer)
{
    zmq_msg_t msg;
    if (zmq_msg_init_size(&msg, peer->size) != 0)
        return false;
    payload_fill_any(zmq_msg_data(&msg), peer->size, ++peer->sent);
    return zmq_msg_send(&msg, peer->handle, 0) >= 0;
}

static bool zmq_get(struct peer *peer)
{
    zmq_msg_t msg;
    zmq_msg_init(&msg);
    bool well = zmq_msg_recv(&msg, peer->handle, 0) == (int)peer->size;
    if (well)
        peer->sum += payload_consume(zmq_msg_data(&msg), peer->size);
    zmq_msg_close(&msg);
    return well;
}

void peer_zmq_cases(struct cases *cases)
{
    static const struct peer_ops ops = {
        .pingpong = "zmq.pingpong",
        .stream = "zmq.stream",
        .tcp_pingpong = "zmq.tcp.pingpong",
        .tcp_stream = "zmq.tcp.stream",
        .about = "ZeroMQ PAIR",
        .open = zmq_open,
        .put = zmq_put,
        .get = zmq_get,
    };
    peer_add(cases, &ops);
}
