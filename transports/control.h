/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_CONTROL_H
#define DI_TRANSPORTS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <duct/error.h>

/*
 * The control socket: a SOCK_SEQPACKET Unix socket that carries the bootstrap, and afterwards news
 * of the pipe; its end is the pipe's. Nothing here waits.
 */
#define DI_CONTROL_MAX 256 /* bytes of a message */
#define DI_CONTROL_FDS 2   /* descriptors with a message, at most */

struct di_control_msg {
    unsigned char bytes[DI_CONTROL_MAX];
    size_t size;
    int fds[DI_CONTROL_FDS]; /* the receiver's, to close */
    unsigned fd_count;
    bool surplus; /* more descriptors came than fit, or the message was cut: refuse it */
    bool starved; /* also: this process has no number left for what came */
    bool has_credentials;
    pid_t pid;
    uid_t uid;
    gid_t gid;
    int pidfd; /* of the sender, where the kernel passes it; else -1 */
};

/* Sends one message. AGAIN: the socket is full. PEER: the other end is gone. */
enum duct_err di_control_send(int socket, const void *bytes, size_t size, const int *fds,
                              unsigned fd_count) DUCT_NODISCARD;

/* Receives one message. AGAIN: none there. PEER: the end. Descriptors are always either in fds or
 * closed. */
enum duct_err di_control_recv(int socket, struct di_control_msg *msg) DUCT_NODISCARD;

/* Ends the connection for both sides, and takes out, and closes, what nobody has read: left to the
 * kernel, what came with it would be closed by it, at its leisure. The socket stays the caller's. */
void di_control_hang_up(int socket);

/* Closes what the message brought. */
void di_control_drop(struct di_control_msg *msg);

/* Whether messages shall bring the sender's credentials and, where the kernel can (6.5), its pidfd.
 * Only for the handshake: every pidfd is a descriptor. */
void di_control_want_identity(int socket, bool want);

#endif
