/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the system has no room for a connection and none to hang up with, a listener of streams pauses: it neither spins
 * on a socket that stays readable nor gives up. The linker puts the accept4() of this file in the place of the C
 * library's, and has the entries with which a ring's kernel would accept by itself pass through it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <duct/duct.h>

#include "lib/io/uring.h"

#define MUST(condition)                                                         \
    do {                                                                        \
        if (!(condition)) {                                                     \
            fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, \
                    duct_err_detail());                                         \
            exit(1);                                                            \
        }                                                                       \
    } while (0)

/* More looks than pauses of a tenth of a second leave room for in what is turned below. */
enum { TURNS = 20000, LOOKS_MAX = 200 };

int __real_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);
int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags);

static int failing; /* errno that accepting fails with; 0: it does not */
static unsigned looks;

int __wrap_accept4(int fd, struct sockaddr *address, socklen_t *size, int flags)
{
    looks++;
    if (failing == 0)
        return __real_accept4(fd, address, size, flags);
    errno = failing;
    return -1;
}

void __real_di_uring_prep_accept(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op);
void __wrap_di_uring_prep_accept(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op);

/* The kernel fails too: any error will do, as what is wrong is asked by accept4(). */
void __wrap_di_uring_prep_accept(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op)
{
    __real_di_uring_prep_accept(u, sqe, op);
    if (failing != 0 && sqe->opcode == IORING_OP_ACCEPT)
        sqe->accept_flags = UINT32_MAX;
}

static int connect_to(const char *name)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(at.sun_path + 1, name + 1, strlen(name + 1));
    MUST(connect(fd, (struct sockaddr *)&at,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))) == 0);
    return fd;
}

static void pauses(enum duct_io io, int error)
{
    struct duct_context_options context_options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_context *context;
    struct duct_listener *listener;
    struct duct_event event;
    char name[64], url[80];
    size_t count;

    context_options.io = io;
    if (duct_context_open(&context, &context_options) == DUCT_ENOTSUP)
        return;
    snprintf(name, sizeof(name), "@duct-short-%d", (int)getpid());
    snprintf(url, sizeof(url), "uds://%s", name);
    options.context = context;
    failing = error;
    MUST(duct_listen(&listener, url, &options) == DUCT_OK);
    looks = 0;
    int fd = connect_to(name);
    for (unsigned i = 0; i < TURNS; i++) {
        enum duct_err err = duct_context_wait(context, &event, 1, &count, 0);
        MUST(err == DUCT_EAGAIN || err == DUCT_OK);
    }
    MUST(looks > 0 && looks < LOOKS_MAX);
    MUST(duct_listener_refused(listener) == 0);
    /* Room again: the connection that waited is taken, and is no duct peer. */
    failing = 0;
    MUST(send(fd, "x", 1, MSG_NOSIGNAL) == 1);
    while (duct_listener_refused(listener) == 0) {
        enum duct_err err = duct_context_wait(context, &event, 1, &count, DUCT_SECOND / 10);
        MUST(err == DUCT_ETIMEOUT || err == DUCT_OK);
    }
    close(fd);
    duct_context_close(context);
}

int main(void)
{
    static const int errors[] = {ENOMEM, ENOBUFS, ENFILE, EMFILE};

    for (unsigned i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        pauses(DUCT_IO_URING, errors[i]);
        pauses(DUCT_IO_EPOLL, errors[i]);
    }
    return 0;
}
