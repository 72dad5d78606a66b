/* SPDX-License-Identifier: Apache-2.0 */
/* nng: the pair protocol over ipc and tcp, messages built in and read from its own buffers. */
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "bench/peer.h"

static nng_socket socket_of_process;

static bool pair_open(struct peer *peer)
{
    peer_roam();
    if (nng_pair0_open(&socket_of_process) != 0)
        return false;
    nng_socket_set_ms(socket_of_process, NNG_OPT_RECVTIMEO, PEER_WAIT_MS);
    nng_socket_set_ms(socket_of_process, NNG_OPT_SENDTIMEO, PEER_WAIT_MS);
    nng_socket_set_size(socket_of_process, NNG_OPT_RECVMAXSZ, 0);
    nng_socket_set_int(socket_of_process, NNG_OPT_SENDBUF, 128);
    nng_socket_set_int(socket_of_process, NNG_OPT_RECVBUF, 128);
    nng_socket_set_ms(socket_of_process, NNG_OPT_RECONNMINT, 1);
    nng_socket_set_ms(socket_of_process, NNG_OPT_RECONNMAXT, 10);
    return (peer->is_first ? nng_listen(socket_of_process, peer->url, NULL, 0)
                           : nng_dial(socket_of_process, peer->url, NULL, NNG_FLAG_NONBLOCK)) == 0;
}

static bool pair_put(struct peer *peer)
{
    nng_msg *msg;
    if (nng_msg_alloc(&msg, peer->size) != 0)
        return false;
    payload_fill_any(nng_msg_body(msg), peer->size, ++peer->sent);
    return nng_sendmsg(socket_of_process, msg, 0) == 0;
}

static bool pair_get(struct peer *peer)
{
    nng_msg *msg;
    if (nng_recvmsg(socket_of_process, &msg, 0) != 0)
        return false;
    bool well = nng_msg_len(msg) == peer->size;
    if (well)
        peer->sum += payload_consume(nng_msg_body(msg), peer->size);
    nng_msg_free(msg);
    return well;
}

void peer_nng_cases(struct cases *cases)
{
    static const struct peer_ops ops = {
        .pingpong = "nng.pingpong",
        .stream = "nng.stream",
        .tcp_pingpong = "nng.tcp.pingpong",
        .tcp_stream = "nng.tcp.stream",
        .about = "nng pair",
        .open = pair_open,
        .put = pair_put,
        .get = pair_get,
    };
    peer_add(cases, &ops);
}
