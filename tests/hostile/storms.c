/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H10: a storm of wakes costs the pipe that storms, and keeps nobody's wait from its end. H21: a peer that
 * clears flags, fills and drains, with untrusted=1: no call of ours blocks. H11: a peer that never reads,
 * and never gives back, meets bounded memory and bounded waits.
 */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/core/context.h"
#include "tests/hostile/beside.h"

/* ---- Storms between the turns ---- */

enum { STORM = 200 };

static void ring_words(struct peer *peer)
{
    _Atomic uint32_t *bells[] = {&peer_sender_page(peer)->data_bell,
                                 &peer_receiver_page(peer)->space_bell};

    for (unsigned i = 0; i < 2; i++) {
        atomic_fetch_add_explicit(bells[i], 1, memory_order_release);
        syscall(SYS_futex, bells[i], FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    }
}

/* All the bells there are, many times; what is sent fills the socket. */
static void storm(struct peer *peer)
{
    for (unsigned i = 0; i < STORM; i++) {
        ring_words(peer);
        peer_park(peer, i % 4);
        if (!peer_ring(peer))
            break;
    }
}

/*
 * What the honest cost while it storms: with all that the storm brought waiting at every turn, a round
 * takes the turns it took before. What is spent on the pipe that storms is bounded for each turn: at most
 * 16 messages are taken from its socket, one call each, and the next wait of either doorbell.
 */
enum { ROUNDS = 10, STORM_CALLS = 16 + 8 };

static void between_turns(struct beside *b)
{
    struct cost quiet, stormy;

    beside_meet(b);
    for (unsigned i = 0; i < 3; i++)
        beside_round(b);
    b->server->looked_at = b->clients->looked_at = INT64_MAX / 2;
    meter_begin();
    for (unsigned i = 0; i < ROUNDS; i++)
        beside_round(b);
    meter_end(&quiet);
    stormy = (struct cost){0};
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct cost one;
        storm(&b->peer);
        meter_begin();
        beside_round(b);
        meter_end(&one);
        stormy.steps += one.steps;
        stormy.calls += one.calls;
    }
    b->server->looked_at = b->clients->looked_at = 0;
    printf("    in the storm %lu turns and %lu calls, in quiet %lu and %lu\n", stormy.steps,
           stormy.calls, quiet.steps, quiet.calls);
    MUST(stormy.steps <= quiet.steps);
    MUST(stormy.calls <= quiet.calls + quiet.steps * STORM_CALLS);
    beside_part(b);
}

/* ---- A storm while the victim sleeps ---- */

static void ring_once(void *arg)
{
    struct peer *peer = arg;

    ring_words(peer);
    peer_ring(peer);
}

/* Every wait of the context ends in its time, though there is something new at every turn: on the pipe that
 * storms, on an honest one, for events, for a pipe to accept, and when closing lingers. A dial, too, which
 * meets a listener that never answers. */
static void waits_end(struct beside *b)
{
    const int64_t timeout = 2 * DUCT_MILLISECOND;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_event event;
    struct duct_pipe *none;
    struct duct_msg msg;
    size_t count;

    beside_meet(b);
    meter_before_turns(ring_once, &b->peer);
    for (unsigned i = 0; i < 3; i++) {
        GIVES(duct_recv(b->victim, &msg, timeout), DUCT_ETIMEOUT);
        GIVES(duct_recv(b->here[0], &msg, timeout), DUCT_ETIMEOUT);
        GIVES(duct_accept(b->listener, &none, timeout), DUCT_ETIMEOUT);
        /* Its own pipe has nothing to report; what is said of it is that it is there, at most. */
        enum duct_err err;
        while ((err = duct_context_wait(b->server, &event, 1, &count, timeout)) == DUCT_OK)
            MUST(count == 1 && event.type == DUCT_EVENT_STATE);
        GIVES(err, DUCT_ETIMEOUT);
        options.context = b->server;
        options.dial_ns = timeout;
        options.wait_for_listener = DUCT_YES;
        GIVES(duct_dial(&none, "shm://nobody", &options), DUCT_ETIMEOUT);
        beside_round(b);
    }
    /* Something sent, which the peer never takes. */
    GIVES(duct_write(b->victim, "x", 1, 0, 0), DUCT_OK);
    duct_pipe_close_with(b->victim, 0, NULL, timeout);
    b->victim = NULL;
    meter_before_turns(NULL, NULL);
    beside_part(b);
}

/* ---- H21 ---- */

/* A call that blocks is not to be waited for: the alarm ends the program, and names the play. */
static void too_long(int signal)
{
    static const char text[] = "a call blocked\n";

    (void)signal;
    if (write(2, text, sizeof(text) - 1) < 0) {
    }
    _exit(1);
}

/* An eventfd as full as it can be, that waits where others would say EAGAIN. */
static int full_eventfd(void)
{
    const uint64_t most = UINT64_MAX - 1;
    int fd = eventfd(0, EFD_CLOEXEC);

    MUST(fd >= 0 && write(fd, &most, sizeof(most)) == sizeof(most));
    return fd;
}

static void blocking_eventfds(struct beside *b)
{
    signal(SIGALRM, too_long);
    beside_meet(b);
    int fds[2] = {full_eventfd(), full_eventfd()};
    for (uint32_t half = 0; half < 2; half++)
        MUST(peer_note(&b->peer, PEER_EVENTFD, half, &fds[half], 1));
    beside_turn(b);
    alarm(20);
    /* It says that it sleeps on them, for everything, again and again: it is rung, and nobody waits. */
    for (unsigned i = 0; i < 40; i++) {
        unsigned char bytes[8];
        size_t size;
        peer_park(&b->peer, 2);
        GIVES(duct_write(b->victim, "x", 1, 0, 0), DUCT_OK);
        peer_put_bytes(&b->peer, "y", 1, 0);
        GIVES(duct_read(b->victim, bytes, sizeof(bytes), &size, NULL, 0), DUCT_OK);
        beside_turn(b);
    }
    beside_round(b);
    alarm(0);
    close(fds[0]);
    close(fds[1]);
    beside_part(b);
}

/* Its end of the control socket is full, and it never reads: rung or not, nobody waits for it. */
static void full_socket(struct beside *b)
{
    unsigned sent = 0;

    beside_meet(b);
    alarm(20);
    for (unsigned i = 0; i < 3000; i++) {
        peer_park(&b->peer, 3);
        sent += duct_write(b->victim, "x", 1, 0, 0) == DUCT_OK;
        peer_set_consumed(&b->peer, sent);
    }
    MUST(sent == 3000);
    beside_round(b);
    alarm(0);
    beside_part(b);
}

/* With untrusted=1 no eventfd of ours is passed on, whatever is asked for, to a peer that says it can ring one: nothing it
 * could fill or drain. */
static void none_of_ours(struct beside *b)
{
    struct duct_waiting waiting = {.wait = DUCT_WAIT_PARK, .bell = DUCT_BELL_EVENTFD};
    struct peer_message message;
    struct duct_msg msg;
    int fd;

    beside_meet_able(b, PEER_CAN_RING);
    GIVES(duct_pipe_set_waiting(b->victim, &waiting), DUCT_EDENIED);
    GIVES(duct_pipe_fd(b->victim, &fd), DUCT_ENOTSUP);
    GIVES(duct_recv(b->victim, &msg, DUCT_MILLISECOND), DUCT_ETIMEOUT);
    while (peer_take(&b->peer, &message))
        MUST(message.fd_count == 0 && message.size == 1);
    beside_round(b);
    beside_part(b);
}

/* Something else by the name of an eventfd, from a peer that is trusted: a pipe without a reader would end
 * us by a signal, a full socket would hold us up. */
static void false_eventfds(struct beside *b)
{
    int ends[2], pair[2];

    MUST(pipe2(ends, O_CLOEXEC) == 0);
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    close(ends[0]);
    const int fds[] = {ends[1], pair[0]};
    for (unsigned i = 0; i < 2; i++) {
        beside_meet(b);
        MUST(peer_note(&b->peer, PEER_EVENTFD, 0, &fds[i], 1));
        beside_turn(b);
        beside_round(b);
        beside_ends(b, DUCT_ECORRUPT);
    }
    /* Nor twice the same half, nor a half that there is not. */
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned half = 0; half < 3; half += 2) {
        beside_meet(b);
        MUST(peer_note(&b->peer, PEER_EVENTFD, half, &fd, 1));
        MUST(peer_note(&b->peer, PEER_EVENTFD, half, &fd, 1));
        beside_turn(b);
        beside_ends(b, DUCT_ECORRUPT);
    }
    close(fd);
    close(ends[1]);
    close(pair[0]);
    close(pair[1]);
}

int main(void)
{
    static const struct play plays[] = {
        {"H10 a storm between turns", PLAY_DEFAULT | PLAY_UNTRUSTED, between_turns, NULL},
        {"H10 a storm during waits", PLAY_DEFAULT | PLAY_UNTRUSTED, waits_end, NULL},
        {"H21 eventfds that block", PLAY_UNTRUSTED, blocking_eventfds, NULL},
        {"H21 a socket that is full", PLAY_DEFAULT | PLAY_UNTRUSTED, full_socket, NULL},
        {"H21 no eventfd of ours", PLAY_UNTRUSTED, none_of_ours, NULL},
        {"H21 eventfds that are none", PLAY_DEFAULT, false_eventfds, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
