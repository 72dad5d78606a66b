/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_NAMES_H
#define DI_SHM_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include <duct/error.h>

#include "lib/base/url.h"

/*
 * Where things live: from the name in an address to a socket in the file system, and who owns it.
 *
 * shm://name is NAME under $XDG_RUNTIME_DIR/duct, else /run/user/UID/duct, else /tmp/duct-UID: a
 * directory of mode 0700 whose owner is checked. shm:///path is that path. A listener holds a write
 * lock (OFD) on PATH.lock for as long as it lives; whoever gets the lock knows that a socket found
 * at PATH has no owner, and may replace it. The lock's descriptor is never passed on.
 */
#define DI_SOCKET_PATH_MAX 107 /* of sockaddr_un, less the NUL */
#define DI_LOCK_SUFFIX     ".lock"

struct di_bound {
    int socket; /* listening; -1: none */
    int lock;
    bool open; /* others may connect; their credentials decide */
    char path[DI_SOCKET_PATH_MAX + 1];
};

/* The socket's path. create: makes the directory if it is not there. Errors: INVALID (the name,
 * with the position), DENIED (a directory that is not ours), OS. */
enum duct_err di_names_path(char *path, size_t capacity, const struct di_url *url,
                            bool create) DUCT_NODISCARD;

/*
 * Whether somebody is behind the socket at path, of whatever type it is. *pid: who; 0 where the kernel does not
 * say. A process that was killed just now is nobody: the kernel takes down an io_uring some ten milliseconds after
 * its process, and a poll in it keeps the socket open so long. Waits for that, a second at most, only where there is
 * no pid, as of other pid namespaces. Errors: it cannot be told, and so may live: DENIED, LIMIT, OS.
 */
enum duct_err di_names_ask(const char *path, bool *answers, int *pid) DUCT_NODISCARD;

/* Binds and listens; takes over what a dead owner left, and nothing else. INUSE names the owner's pid, where
 * there is one to be had; NOTFOUND: the path has no directory. */
enum duct_err di_names_bind(struct di_bound *bound, const char *path, bool open,
                            int backlog) DUCT_NODISCARD;

/* The same for a socket that carries a stream of bytes. */
enum duct_err di_names_bind_stream(struct di_bound *bound, const char *path, bool open,
                                   int backlog) DUCT_NODISCARD;

/* Removes socket and lock from the file system, if they are still ours, and closes them. */
void di_names_unbind(struct di_bound *bound);

/* Connects, without waiting. NOTFOUND names the path, AGAIN: the listener's queue is full, REFUSED: the
 * socket there is of another type. */
enum duct_err di_names_connect(int *socket, const char *path) DUCT_NODISCARD;

#endif
