/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auto:// against those who dial it: nonces that nobody was told, that were shown before, or that are another's; a
 * move that was not proved, or is not complete; two legs, of which one pipe at most may come; legs that are held
 * open, and floods of them. No program gets a pipe that it should not, nothing is left, and the honest go on.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "tests/hostile/beside.h"
#include "tests/hostile/leg.h"

/* A dialer of ours: its stream, and what it was told over it. */
struct dialer {
    int fd;
    uint64_t session;
    struct leg_offer told;
};

struct stage {
    struct duct_listener *listener;
    char path[108]; /* of the shared leg */
    unsigned port;
    unsigned open; /* descriptors, before anybody came */
};

static void open_stage(struct beside *b, struct stage *stage, const char *query)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[128];

    options.context = b->server;
    snprintf(url, sizeof(url), "auto://both@127.0.0.1:0%s", query);
    GIVES(duct_listen(&stage->listener, url, &options), DUCT_OK);
    const char *path = duct_listener_path(stage->listener);
    const char *at = strrchr(path, '@');
    MUST(at != NULL && (size_t)(at - path) < sizeof(stage->path));
    memcpy(stage->path, path, (size_t)(at - path));
    stage->path[at - path] = '\0';
    MUST(sscanf(strrchr(path, ':'), ":%u", &stage->port) == 1);
    beside_turn(b);
    stage->open = descriptors_open();
}

/* Nothing is left of those who came, and the next honest dial is served. */
static void close_stage(struct beside *b, struct stage *stage)
{
    struct duct_pipe *pipe;

    for (unsigned i = 0; descriptors_open() != stage->open; i++) {
        MUST(i < 1000000);
        beside_turn(b);
    }
    GIVES(duct_accept(stage->listener, &pipe, 0), DUCT_EAGAIN);
    beside_round(b);
    duct_listener_close(stage->listener);
    beside_turn(b);
}

static void until_refused(struct beside *b, const struct stage *stage, uint64_t count)
{
    for (unsigned i = 0; duct_listener_refused(stage->listener) < count; i++) {
        MUST(i < 10000000);
        beside_turn(b);
    }
    MUST(duct_listener_refused(stage->listener) == count);
}

/* One message of the listener's, while its loop runs. */
static size_t hear(struct beside *b, const struct dialer *d, unsigned char *bytes, size_t size)
{
    ssize_t got;

    for (unsigned i = 0; (got = recv(d->fd, bytes, size, MSG_DONTWAIT)) < 0; i++) {
        MUST(i < 10000000);
        beside_turn(b);
    }
    return (size_t)got;
}

static void say_last(const struct dialer *d, uint16_t kind)
{
    unsigned char bytes[16];
    size_t size = leg_last(bytes, kind, d->session);

    MUST(send(d->fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
}

/* The stream, up to the listener's offer. */
static struct dialer dial_stream(struct beside *b, const struct stage *stage, unsigned char tag)
{
    const struct leg_offer own = leg_offer(tag);
    unsigned char bytes[512];
    struct dialer d = {.fd = leg_connect(stage->port), .session = 1000u + tag};
    uint64_t session;

    size_t size = leg_hello(bytes, d.session, &own);
    MUST(send(d.fd, bytes, size, MSG_NOSIGNAL) == (ssize_t)size);
    size = hear(b, &d, bytes, sizeof(bytes));
    MUST(leg_offered(bytes, size, &session, &d.told) && session == d.session);
    MUST(d.told.flags == LEG_ENDPOINT && memcmp(d.told.boot, own.boot, 16) == 0);
    return d;
}

/* The shared leg's first words: HELLO, and PROOF with that nonce. */
static void show(struct peer *peer, const struct stage *stage, const unsigned char *nonce)
{
    peer_connect(peer, stage->path);
    peer->said.has |= PEER_CAN_PROVE;
    peer->said.needs |= PEER_CAN_PROVE;
    MUST(peer_send(peer, &peer->said, sizeof(peer->said), NULL, 0));
    struct peer_proof proof = {.type = PEER_PROOF, .session = peer->session};
    memcpy(proof.nonce, nonce, sizeof(proof.nonce));
    MUST(peer_send(peer, &proof, sizeof(proof), NULL, 0));
}

static void next_message(struct beside *b, struct peer *peer, struct peer_message *message)
{
    for (unsigned i = 0; !peer_take(peer, message); i++) {
        MUST(i < 10000000);
        beside_turn(b);
    }
}

static void is_denied(struct beside *b, struct peer *peer)
{
    struct peer_message message;
    struct peer_end end;

    next_message(b, peer, &message);
    memcpy(&end, message.bytes, sizeof(end));
    MUST(message.size == sizeof(end) && message.fd_count == 0);
    MUST(end.type == PEER_REFUSE && end.code == DUCT_EDENIED);
    peer_close(peer);
}

/* PROOF of what the listener was told by tag, then its HELLO; and the rest, if it is to be complete. */
static void prove(struct beside *b, struct peer *peer, const struct stage *stage,
                  const struct dialer *d, unsigned char tag, bool complete)
{
    struct peer_message message;
    struct peer_proof proof;
    struct peer_hello hello;

    show(peer, stage, d->told.nonce);
    next_message(b, peer, &message);
    memcpy(&proof, message.bytes, sizeof(proof));
    MUST(message.size == sizeof(proof) && proof.type == PEER_PROOF && message.fd_count == 0);
    MUST(proof.session == peer->session && proof.nonce[0] == tag);
    next_message(b, peer, &message);
    memcpy(&hello, message.bytes, sizeof(hello));
    MUST(message.size == sizeof(hello) && hello.type == PEER_HELLO);
    MUST(peer_map(peer, &message));
    if (!complete)
        return;
    peer_make(peer, hello.blocks);
    const int fds[] = {peer->outbox_fd, peer->pool_fd};
    MUST(peer_note(peer, PEER_SEGMENTS, 0, fds, 2));
    next_message(b, peer, &message);
    MUST(message.bytes[0] == PEER_READY);
}

/* Whether the listener has ended that leg, now or soon. */
static void sees_end(struct beside *b, struct peer *peer)
{
    for (unsigned i = 0; !peer_sees_end(peer); i++) {
        MUST(i < 10000000);
        beside_turn(b);
    }
    peer_close(peer);
}

static void is_closed(struct beside *b, struct dialer *d)
{
    unsigned char bytes[512];

    while (hear(b, d, bytes, sizeof(bytes)) != 0)
        continue;
    close(d->fd);
}

/* The one pipe of a dial, and no second. */
static void comes(const struct stage *stage, const char *scheme)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe *pipe, *second;

    GIVES(duct_accept(stage->listener, &pipe, SOON), DUCT_OK);
    GIVES(duct_pipe_info(pipe, &info), DUCT_OK);
    MUST(strcmp(info.scheme, scheme) == 0 && info.choice[0] != '\0');
    GIVES(duct_accept(stage->listener, &second, 0), DUCT_EAGAIN);
    duct_pipe_close(pipe);
}

static void wrong_nonces(struct beside *b)
{
    static const unsigned char none[LEG_NONCE];
    unsigned char near[LEG_NONCE];
    struct stage stage;
    struct peer peer;

    open_stage(b, &stage, "");
    struct dialer d = dial_stream(b, &stage, 7);
    show(&peer, &stage, none);
    is_denied(b, &peer);
    memcpy(near, d.told.nonce, sizeof(near));
    near[LEG_NONCE - 1] ^= 1;
    show(&peer, &stage, near);
    is_denied(b, &peer);
    /* Its own offer is no proof that it was told one. */
    show(&peer, &stage, leg_offer(7).nonce);
    is_denied(b, &peer);
    MUST(duct_listener_refused(stage.listener) == 3);
    /* The stream is what is left, and good. */
    say_last(&d, LEG_READY);
    comes(&stage, "tcp");
    is_closed(b, &d);
    /* What was told to one who has gone on is nobody's any more. */
    show(&peer, &stage, d.told.nonce);
    is_denied(b, &peer);
    close_stage(b, &stage);
}

static void shown_twice(struct beside *b)
{
    struct peer first, second;
    struct stage stage;

    open_stage(b, &stage, "");
    struct dialer d = dial_stream(b, &stage, 7), other = dial_stream(b, &stage, 8);
    MUST(memcmp(d.told.nonce, other.told.nonce, LEG_NONCE) != 0);
    prove(b, &first, &stage, &d, 7, true);
    show(&second, &stage, d.told.nonce);
    is_denied(b, &second);
    say_last(&d, LEG_MOVED);
    comes(&stage, "shm");
    is_closed(b, &d);
    show(&second, &stage, d.told.nonce);
    is_denied(b, &second);
    sees_end(b, &first);
    close(other.fd);
    until_refused(b, &stage, 3);
    close_stage(b, &stage);
}

static void unproved_moves(struct beside *b)
{
    struct stage stage;
    struct peer peer;

    open_stage(b, &stage, "");
    struct dialer d = dial_stream(b, &stage, 7);
    say_last(&d, LEG_MOVED);
    until_refused(b, &stage, 1);
    is_closed(b, &d);
    /* Proved, and not complete: there is no pipe to move to. */
    d = dial_stream(b, &stage, 8);
    prove(b, &peer, &stage, &d, 8, false);
    say_last(&d, LEG_MOVED);
    until_refused(b, &stage, 2);
    is_closed(b, &d);
    sees_end(b, &peer);
    /* Somebody else's proof is not one's own. */
    d = dial_stream(b, &stage, 9);
    struct dialer liar = dial_stream(b, &stage, 10);
    prove(b, &peer, &stage, &d, 9, true);
    say_last(&liar, LEG_MOVED);
    until_refused(b, &stage, 3);
    is_closed(b, &liar);
    say_last(&d, LEG_MOVED);
    comes(&stage, "shm");
    is_closed(b, &d);
    sees_end(b, &peer);
    close_stage(b, &stage);
}

/* Both legs are complete: what the stream says holds, and if it says nothing, nothing. */
static void two_legs(struct beside *b)
{
    struct stage stage;
    struct peer peer;

    open_stage(b, &stage, "?handshake=200ms");
    struct dialer d = dial_stream(b, &stage, 7);
    prove(b, &peer, &stage, &d, 7, true);
    say_last(&d, LEG_READY);
    comes(&stage, "tcp");
    sees_end(b, &peer);
    is_closed(b, &d);
    /* It hangs up. */
    d = dial_stream(b, &stage, 8);
    prove(b, &peer, &stage, &d, 8, true);
    close(d.fd);
    sees_end(b, &peer);
    until_refused(b, &stage, 1);
    /* It is held open, with a leg at each step. */
    for (unsigned char held = 0; held < 3; held++) {
        d = dial_stream(b, &stage, 9);
        if (held > 0)
            prove(b, &peer, &stage, &d, 9, held == 2);
        is_closed(b, &d);
        if (held > 0)
            sees_end(b, &peer);
    }
    /* The shared one goes away, and the stream goes on. */
    d = dial_stream(b, &stage, 10);
    prove(b, &peer, &stage, &d, 10, false);
    peer_close(&peer);
    say_last(&d, LEG_READY);
    comes(&stage, "tcp");
    is_closed(b, &d);
    close_stage(b, &stage);
}

/* ---- Floods ---- */

enum { FLOOD = 300 };

static pid_t honest(const struct stage *stage)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe *pipe;
    char url[128];
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    snprintf(url, sizeof(url), "auto://both@127.0.0.1:%u", stage->port);
    options.dial_ns = SOON;
    if (duct_dial(&pipe, url, &options) != DUCT_OK || duct_pipe_info(pipe, &info) != DUCT_OK)
        _exit(1);
    _exit(strcmp(info.scheme, "shm") != 0);
}

/* Half-open on both legs, by the hundred: the shared ones push out their own kind, and an honest dial from another
 * process gets its shared pipe. */
static void flood(struct beside *b)
{
    static struct dialer dialers[FLOOD];
    static struct peer peers[FLOOD];
    struct rlimit limit = {0};
    struct duct_pipe *pipe;
    struct stage stage;
    int status;

    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    open_stage(b, &stage, "");
    for (unsigned i = 0; i < FLOOD; i++) {
        dialers[i] = dial_stream(b, &stage, (unsigned char)i);
        show(&peers[i], &stage, dialers[i].told.nonce);
        if (i % 16 == 0)
            beside_turn(b);
    }
    pid_t pid = honest(&stage);
    GIVES(duct_accept(stage.listener, &pipe, SOON), DUCT_OK);
    MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    duct_pipe_close(pipe);
    beside_round(b);
    for (unsigned i = 0; i < FLOOD; i++) {
        close(dialers[i].fd);
        peer_close(&peers[i]);
    }
    close_stage(b, &stage);
}

int main(void)
{
    static const struct play plays[] = {
        {"auto: nonces nobody was told", PLAY_DEFAULT, wrong_nonces, NULL},
        {"auto: a nonce shown twice", PLAY_DEFAULT, shown_twice, NULL},
        {"auto: moves that are not proved", PLAY_DEFAULT, unproved_moves, NULL},
        {"auto: two legs, one pipe", PLAY_DEFAULT, two_legs, NULL},
        {"auto: a flood on both legs", PLAY_DEFAULT, flood, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
