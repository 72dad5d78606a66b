/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may be a peer, on either side, by what the kernel says of it: nobody of another uid, unless it is named;
 * the overflow uid never, though it be named; and nothing is passed to, or mapped from, who may not. Needs root,
 * to become others.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hostile/beside.h"

enum { OTHER = 4242, STRANGER = 4343, OVERFLOW = 65534, SKIP = 77 };

/* A directory that everybody can pass, since sockets for others are not kept in one's own. */
static char directory[] = "/tmp/duct-identity-XXXXXX";
static char path[64];

static void become(uid_t uid)
{
    MUST(setgid(uid) == 0 && setuid(uid) == 0 && geteuid() == uid);
}

/* Blocks until a message, or the end, is there. */
static void next(struct peer *peer, struct peer_message *message)
{
    struct pollfd ask = {.fd = peer->socket, .events = POLLIN};

    MUST(poll(&ask, 1, (int)(SOON / DUCT_MILLISECOND)) == 1);
    MUST(peer_take(peer, message));
}

/* A dialer of that uid says HELLO: how it is answered is its exit, 0 as expected. */
static int dialer(uid_t uid, bool welcome)
{
    struct peer_message message;
    struct peer_end end;
    struct peer peer;

    become(uid);
    peer_connect(&peer, path);
    MUST(peer_send(&peer, &peer.said, sizeof(peer.said), NULL, 0));
    next(&peer, &message);
    if (welcome)
        return !(message.size == sizeof(struct peer_hello) && message.fd_count == 2);
    memcpy(&end, message.bytes, sizeof(end));
    return !(message.size == sizeof(end) && end.type == PEER_REFUSE && end.code == DUCT_EDENIED &&
             message.fd_count == 0);
}

static void dialled_by(struct beside *b, uid_t uid, bool welcome)
{
    int status;
    pid_t pid = fork();

    MUST(pid >= 0);
    if (pid == 0)
        _exit(dialer(uid, welcome));
    while (waitpid(pid, &status, WNOHANG) == 0)
        beside_turn(b);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void listening(struct beside *b)
{
    static const char *const allowed[] = {"allow=0", "allow=0,4242", "allow=0,4242,65534"};
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[128];

    options.context = b->server;
    for (unsigned i = 0; i < 3; i++) {
        struct duct_listener *listener;
        snprintf(url, sizeof(url), "shm://%s?%s", path, allowed[i]);
        GIVES(duct_listen(&listener, url, &options), DUCT_OK);
        /* Reachable by all: then it is the credentials that decide, and not the file's mode. */
        MUST(chmod(path, 0666) == 0);
        dialled_by(b, OTHER, i > 0);
        dialled_by(b, STRANGER, false);
        dialled_by(b, OVERFLOW, false);
        MUST(duct_listener_refused(listener) >= 2);
        duct_listener_close(listener);
    }
    beside_round(b);
}

/* A listener of that uid, which is none: answers every HELLO with one of its own, segments and all. */
static void answer(int listening, uid_t uid)
{
    struct peer_hello hello;
    struct peer peer;

    become(uid);
    for (;;) {
        int fd = accept(listening, NULL, NULL);
        MUST(fd >= 0);
        memset(&peer, 0, sizeof(peer));
        peer.socket = fd;
        if (recv(fd, &hello, sizeof(hello), 0) != (ssize_t)sizeof(hello)) {
            close(fd);
            continue;
        }
        peer_begin(&peer, hello.session);
        peer_make(&peer, hello.blocks);
        const int fds[2] = {peer.outbox_fd, peer.pool_fd};
        peer_send(&peer, &peer.said, sizeof(peer.said), fds, 2);
        peer_note(&peer, PEER_READY, 0, NULL, 0);
        /* Until the dialer has hung up. */
        char byte;
        while (recv(fd, &byte, 1, 0) > 0)
            continue;
        close(fd);
    }
}

static void dialling(struct beside *b)
{
    static const struct {
        uid_t uid;
        const char *query;
        enum duct_err expected;
    } dials[] = {
        {OTHER, "", DUCT_EDENIED},
        {OTHER, "?allow=0,4343", DUCT_EDENIED},
        {OTHER, "?allow=0,4242", DUCT_OK},
        {OVERFLOW, "?allow=0,65534", DUCT_EDENIED},
    };
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char url[128];
    int status;

    memcpy(address.sun_path, path, strlen(path) + 1);
    options.context = b->server;
    options.dial_ns = SOON;
    for (unsigned i = 0; i < sizeof(dials) / sizeof(dials[0]); i++) {
        struct duct_pipe *pipe;
        /* Made by us, answered by another: who called listen() is not who accepts. */
        int listening = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        MUST(bind(listening, (struct sockaddr *)&address, sizeof(address)) == 0);
        MUST(listen(listening, 4) == 0);
        pid_t pid = fork();
        MUST(pid >= 0);
        if (pid == 0)
            answer(listening, dials[i].uid);
        close(listening);
        snprintf(url, sizeof(url), "shm://%s%s", path, dials[i].query);
        enum duct_err err = duct_dial(&pipe, url, &options);
        GIVES(err, dials[i].expected);
        if (err == DUCT_OK) {
            struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
            GIVES(duct_pipe_info(pipe, &info), DUCT_OK);
            MUST(info.peer_uid == dials[i].uid);
            duct_pipe_close(pipe);
        }
        MUST(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
        MUST(unlink(path) == 0);
        beside_round(b);
    }
}

int main(void)
{
    static const struct play plays[] = {
        {"H13 who dials", PLAY_DEFAULT, listening, NULL},
        {"H13 who listens", PLAY_DEFAULT, dialling, NULL},
    };

    if (geteuid() != 0) {
        printf("needs root, to become another user\n");
        return SKIP;
    }
    meter_start();
    MUST(mkdtemp(directory) != NULL && chmod(directory, 0755) == 0);
    snprintf(path, sizeof(path), "%s/socket", directory);
    int result = play_all(plays, sizeof(plays) / sizeof(plays[0]));
    MUST(rmdir(directory) == 0);
    return result;
}
