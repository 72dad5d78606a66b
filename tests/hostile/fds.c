/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H12: descriptors that nobody asked for, with every kind of message and in every state, also where this
 * process can have no more of its own: refused, and every one of them closed; and closing them must not
 * hold anybody up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/descriptors.h"
#include "tests/hostile/beside.h"

enum { FDS_MAX = 253 };

/* All that PROTOCOL.md knows, and something that it does not. */
static const struct {
    const char *what;
    uint32_t type;
    unsigned right; /* descriptors it comes with, once the pipe is there; more or fewer: CORRUPT */
} messages[] = {
    {"RING", PEER_RING, 0},
    {"HELLO", PEER_HELLO, FDS_MAX + 1},
    {"SEGMENTS", PEER_SEGMENTS, FDS_MAX + 1},
    {"READY", PEER_READY, FDS_MAX + 1},
    {"REFUSE", PEER_REFUSE, FDS_MAX + 1},
    {"CLOSE", PEER_CLOSE, 0},
    {"BELLS", PEER_BELLS, FDS_MAX + 1},
    {"POOL", PEER_POOL, FDS_MAX + 1},
    {"EVENTFD", PEER_EVENTFD, FDS_MAX + 1},
    {"nonsense", 0x7777, FDS_MAX + 1},
};
enum { MESSAGES = sizeof(messages) / sizeof(messages[0]) };

static void say(struct peer *peer, uint32_t type, unsigned fds)
{
    struct peer_end end = {.type = type, .code = DUCT_EREFUSED};
    const unsigned char byte = PEER_RING;

    if (type == PEER_RING)
        peer_send(peer, &byte, 1, NULL, fds);
    else if (type == PEER_HELLO)
        peer_send(peer, &peer->said, sizeof(peer->said), NULL, fds);
    else if (type == PEER_REFUSE || type == PEER_CLOSE)
        peer_send(peer, &end, sizeof(end), NULL, fds);
    else
        peer_note(peer, type, type == PEER_POOL ? 1 : 0, NULL, fds);
}

/* Every number at first, then some up to the kernel's limit. */
static unsigned next_count(unsigned fds)
{
    return fds < 36 ? fds + 1 : fds < FDS_MAX && fds + 31 > FDS_MAX ? FDS_MAX : fds + 31;
}

/* ---- In the handshake ---- */

static void first(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned m = 0; m < MESSAGES; m++) {
        for (unsigned fds = messages[m].type == PEER_HELLO; fds <= FDS_MAX; fds = next_count(fds)) {
            uint64_t before = duct_listener_refused(b->listener);
            peer_connect(&b->peer, b->path);
            say(&b->peer, messages[m].type, fds);
            beside_refused(b, before);
            beside_part(b);
            MUST(descriptors_open() == open);
        }
    }
    beside_round(b);
}

static void second(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned m = 0; m < MESSAGES; m++) {
        for (unsigned fds = 0; fds <= FDS_MAX; fds = next_count(fds)) {
            uint64_t before = duct_listener_refused(b->listener);
            peer_connect(&b->peer, b->path);
            beside_say_hello(b);
            /* Two are right in number for SEGMENTS, and are sockets. */
            say(&b->peer, messages[m].type, fds);
            beside_refused(b, before);
            beside_part(b);
            MUST(descriptors_open() == open);
        }
    }
    beside_round(b);
}

/* The right two and one more, or one of them: counted before any is looked at. */
static void segments_and_more(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned count = 1; count <= 3; count += 2) {
        uint64_t before = duct_listener_refused(b->listener);
        peer_connect(&b->peer, b->path);
        beside_say_hello(b);
        const int fds[] = {b->peer.outbox_fd, b->peer.pool_fd, b->peer.pool_fd};
        MUST(peer_note(&b->peer, PEER_SEGMENTS, 0, fds, count));
        beside_refused(b, before);
        beside_part(b);
        MUST(descriptors_open() == open);
    }
    beside_round(b);
}

/* ---- On a pipe ---- */

static void later(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned m = 0; m < MESSAGES; m++) {
        for (unsigned fds = 0; fds <= FDS_MAX; fds = next_count(fds)) {
            /* What is right in number is looked at where its play is. */
            if ((messages[m].type == PEER_EVENTFD || messages[m].type == PEER_BELLS) && fds == 1)
                continue;
            beside_meet(b);
            say(&b->peer, messages[m].type, fds);
            beside_turn(b);
            if (fds != messages[m].right)
                beside_ends(b, DUCT_ECORRUPT);
            else
                beside_part(b);
            MUST(descriptors_open() == open);
        }
    }
    beside_round(b);
}

/* ---- Where there is no room ---- */

/* So that as many more can be opened, and none else: returns the limit there was. */
static rlim_t limit_to(unsigned room)
{
    struct rlimit limit;

    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t old = limit.rlim_cur;
    int end = 0;
    for (unsigned free = 0; free < room || fcntl(end, F_GETFD) >= 0; end++)
        free += fcntl(end, F_GETFD) < 0;
    limit.rlim_cur = (rlim_t)end;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    return old;
}

static void unlimit(rlim_t old)
{
    struct rlimit limit;

    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = old;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

/* Five descriptors where none may come, or one: the peer's fault, if they can be seen at all. Where there is
 * no room for them, nobody can tell them from the one: a doorbell is then done without, a segment cannot be. */
static enum duct_err expected_of(uint32_t type, unsigned room)
{
    if (room < 5 && (type == PEER_EVENTFD || type == PEER_BELLS))
        return DUCT_OK;
    return room < 5 && type == PEER_POOL ? DUCT_ELIMIT : DUCT_ECORRUPT;
}

static void at_the_limit(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned room = 0; room < 6; room++) {
        for (unsigned m = 0; m < MESSAGES; m++) {
            beside_meet(b);
            rlim_t old = limit_to(room);
            say(&b->peer, messages[m].type, 5);
            beside_turn(b);
            /* The honest need no new descriptor, and go on. */
            beside_round(b);
            unlimit(old);
            beside_ends(b, expected_of(messages[m].type, room));
            MUST(descriptors_open() == open);
        }
    }
}

/* A handshake needs descriptors of its own: what does not get them ends in order, one that comes later is
 * served, and a dialer that cannot even be accepted is turned away instead of spinning the loop. */
static void handshake_at_the_limit(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned room = 0; room < 12; room++) {
        struct peer_message message;
        peer_connect(&b->peer, b->path);
        MUST(peer_send(&b->peer, &b->peer.said, sizeof(b->peer.said), NULL, 0));
        rlim_t old = limit_to(room);
        for (unsigned i = 0; i < 20; i++)
            beside_turn(b);
        beside_round(b);
        unlimit(old);
        while (peer_take(&b->peer, &message) && message.size > 0)
            peer_drop(&message);
        beside_part(b);
        for (unsigned i = 0; i < 20; i++)
            beside_turn(b);
        MUST(descriptors_open() == open);
        beside_meet(b);
        beside_part(b);
    }
}

/* ---- Descriptors that are slow to close ---- */

/* A TCP socket with more to send than its peer takes, whose close waits an hour for that. */
static int lingering(int *other, int *listener)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const struct linger linger = {.l_onoff = 1, .l_linger = 3600};
    socklen_t size = sizeof(address);
    static char bytes[65536];

    *listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(bind(*listener, (struct sockaddr *)&address, sizeof(address)) == 0);
    MUST(listen(*listener, 1) == 0);
    MUST(getsockname(*listener, (struct sockaddr *)&address, &size) == 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    MUST(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    *other = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
    MUST(*other >= 0);
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        continue;
    MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) == 0);
    return fd;
}

/* Message m with one lingering socket, or five, which nobody holds but the message. */
static void send_lingering(struct beside *b, unsigned m, unsigned count, bool read)
{
    const unsigned char byte = PEER_RING;
    const struct peer_note note = {
        .type = messages[m].type, .value = 1, .session = b->peer.session};
    int fds[5], others[5], listeners[5];

    for (unsigned i = 0; i < count; i++)
        fds[i] = lingering(&others[i], &listeners[i]);
    if (messages[m].type == PEER_RING)
        peer_send(&b->peer, &byte, 1, fds, count);
    else
        peer_send(&b->peer, &note, sizeof(note), fds, count);
    /* The last reference is the message's: its receiver closes it, and would wait for the hour. */
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
    if (read) {
        beside_turn(b);
        beside_turn(b);
        beside_round(b);
    } else {
        /* Closed with the message still in the queue. */
        duct_pipe_close(b->victim);
        b->victim = NULL;
    }
    for (unsigned i = 0; i < count; i++) {
        close(others[i]);
        close(listeners[i]);
    }
}

static void slow_to_close(struct beside *b)
{
    unsigned open = descriptors_open();

    for (unsigned m = 0; m < MESSAGES; m++) {
        uint64_t before = duct_listener_refused(b->listener);
        if (messages[m].type == PEER_REFUSE || messages[m].type == PEER_CLOSE)
            continue;
        peer_connect(&b->peer, b->path);
        send_lingering(b, m, 1 + m % 5, true);
        beside_refused(b, before);
        beside_part(b);
        beside_meet(b);
        send_lingering(b, m, 1 + m % 5, true);
        beside_ends(b, DUCT_ECORRUPT);
        beside_meet(b);
        send_lingering(b, m, 1 + m % 5, false);
        beside_part(b);
        MUST(descriptors_open() == open);
    }
}

int main(void)
{
    static const struct play plays[] = {
        {"H12 descriptors with the first message", PLAY_DEFAULT, first, NULL},
        {"H12 descriptors with the second message", PLAY_DEFAULT, second, NULL},
        {"H12 segments and more", PLAY_DEFAULT, segments_and_more, NULL},
        {"H12 descriptors on a pipe", PLAY_DEFAULT | PLAY_UNTRUSTED, later, NULL},
        {"H12 at the limit of descriptors", PLAY_DEFAULT, at_the_limit, NULL},
        {"H12 a handshake at the limit", PLAY_DEFAULT, handshake_at_the_limit, NULL},
        {"H12 descriptors that are slow to close", PLAY_DEFAULT, slow_to_close, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
