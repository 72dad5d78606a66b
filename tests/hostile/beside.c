/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/hostile/beside.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/core/context.h"
#include "tests/descriptors.h"

const char *playing = "";

enum { ROUNDS = 20 };

/* Turns in which something comes that takes time: a hang, that is. */
enum { TURNS_MAX = 10000000 };

/* And in which every honest pipe is answered, whose messages are there: a busy loop asks the kernel after 1024 turns
 * at the latest, and each look of that may bring one of them. */
enum { ANSWER_TURNS_MAX = (HONEST + 1) * 1024 };

/* ---- Opening ---- */

static void *dial_all(void *arg)
{
    struct beside *b = arg;
    struct duct_options options = DUCT_OPTIONS_INIT;

    MUST(duct_context_adopt(b->clients) == DUCT_OK);
    options.context = b->clients;
    options.dial_ns = SOON;
    for (unsigned i = 0; i < HONEST; i++)
        GIVES(duct_dial(&b->there[i], b->url, &options), DUCT_OK);
    return NULL;
}

static struct duct_context *open_context(enum duct_io io)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    options.io = io;
    GIVES(duct_context_open(&context, &options), DUCT_OK);
    return context;
}

/* The kinds of address; the query of a play follows. */
static const struct variant {
    unsigned how;
    const char *scheme, *place, *query;
} variants[] = {
    {PLAY_DEFAULT, "shm", "hostile", "wait=park"},
    {PLAY_UNTRUSTED, "shm", "hostile", "wait=park&untrusted=1"},
    {PLAY_UDS, "uds", NULL, "wait=park"}, /* a name with our number */
    {PLAY_TCP, "tcp", "127.0.0.1:0", "wait=park"},
};

/* The address, at the place where a listener is or shall be. */
static void address(struct beside *b, const struct variant *variant, const char *place,
                    const char *more)
{
    snprintf(b->url, sizeof(b->url), "%s://%s?%s%s%s", variant->scheme, place, variant->query,
             more != NULL ? "&" : "", more != NULL ? more : "");
}

static void open_all(struct beside *b, enum duct_io io, const struct variant *variant,
                     const char *more)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    pthread_t thread;
    char place[64];

    memset(b, 0, sizeof(*b));
    b->peer.socket = b->peer.outbox_fd = b->peer.pool_fd = -1;
    b->peer.their_fds[0] = b->peer.their_fds[1] = -1;
    if (variant->how == PLAY_UDS)
        snprintf(place, sizeof(place), "@duct-hostile-%d", (int)getpid());
    else
        snprintf(place, sizeof(place), "%s", variant->place);
    address(b, variant, place, more);
    b->server = open_context(io);
    b->clients = open_context(io);
    options.context = b->server;
    GIVES(duct_listen(&b->listener, b->url, &options), DUCT_OK);
    snprintf(b->path, sizeof(b->path), "%s", duct_listener_path(b->listener));
    if (variant->how & PLAY_STREAMS)
        address(b, variant, b->path, more);
    MUST(pthread_create(&thread, NULL, dial_all, b) == 0);
    for (unsigned i = 0; i < HONEST; i++)
        GIVES(duct_accept(b->listener, &b->here[i], SOON), DUCT_OK);
    MUST(pthread_join(thread, NULL) == 0);
    MUST(duct_context_adopt(b->clients) == DUCT_OK);
    /* From here on this thread turns both loops. */
    meter_context(b->server);
    meter_context(b->clients);
    for (unsigned i = 0; i < HONEST; i++)
        duct_pipe_set_user(b->here[i], &b->here[i]);
}

/* ---- The honest ---- */

static void answer(struct duct_pipe *pipe)
{
    uint64_t bytes;
    size_t size;

    GIVES(duct_read(pipe, &bytes, sizeof(bytes), &size, NULL, 0), DUCT_OK);
    MUST(size == sizeof(bytes));
    GIVES(duct_write(pipe, &bytes, size, 0, 0), DUCT_OK);
}

void beside_round(struct beside *b)
{
    struct duct_event events[HONEST + 2];
    unsigned open = HONEST;
    size_t count;

    for (unsigned i = 0; i < HONEST; i++) {
        uint64_t bytes = b->sent + i;
        GIVES(duct_write(b->there[i], &bytes, sizeof(bytes), 0, SOON), DUCT_OK);
    }
    for (unsigned turn = 0; open > 0; turn++) {
        MUST(turn < ANSWER_TURNS_MAX);
        GIVES(duct_context_wait(b->server, events, HONEST + 2, &count, SOON), DUCT_OK);
        for (size_t i = 0; i < count; i++) {
            if (events[i].user == NULL)
                continue;
            MUST(events[i].type == DUCT_EVENT_READABLE || events[i].type == DUCT_EVENT_STATE);
            if (events[i].type != DUCT_EVENT_READABLE)
                continue;
            answer(events[i].pipe);
            open--;
        }
    }
    for (unsigned i = 0; i < HONEST; i++) {
        uint64_t bytes;
        size_t size;
        GIVES(duct_read(b->there[i], &bytes, sizeof(bytes), &size, NULL, SOON), DUCT_OK);
        MUST(size == sizeof(bytes) && bytes == b->sent + i);
    }
    b->sent += HONEST;
    beside_turn(b);
}

unsigned beside_turn(struct beside *b)
{
    struct duct_event events[HONEST + 2];
    unsigned seen = 0;
    size_t count;

    enum duct_err err = duct_context_wait(b->server, events, HONEST + 2, &count, 0);
    MUST(err == DUCT_OK || err == DUCT_EAGAIN);
    for (size_t i = 0; err == DUCT_OK && i < count; i++) {
        MUST(events[i].user == NULL || events[i].type == DUCT_EVENT_STATE);
        if (events[i].user == NULL)
            seen |= 1u << events[i].type;
    }
    return seen;
}

/* What some rounds cost. Nobody looks at the kernel only because a millisecond is over: that would count
 * time. */
static void weigh_once(struct beside *b, struct cost *cost)
{
    b->server->looked_at = b->clients->looked_at = INT64_MAX / 2;
    meter_begin();
    for (unsigned i = 0; i < ROUNDS; i++)
        beside_round(b);
    meter_end(cost);
    b->server->looked_at = b->clients->looked_at = 0;
}

/* The first rounds allocate, and settle who is armed, and how: until twice the same. */
static void weigh(struct beside *b, struct cost *cost)
{
    struct duct_event events[HONEST];
    struct cost last;
    size_t count;

    weigh_once(b, cost);
    /* The clients, which find every answer there already, take the server's news, too. */
    enum duct_err err = duct_context_wait(b->clients, events, HONEST, &count, 0);
    MUST(err == DUCT_OK || err == DUCT_EAGAIN);
    for (unsigned i = 0; i < 20; i++) {
        last = *cost;
        weigh_once(b, cost);
        if (last.steps == cost->steps && last.calls == cost->calls)
            return;
    }
    bool settles = false;
    MUST(settles);
}

/* ---- The peer ---- */

void beside_refused(struct beside *b, uint64_t before)
{
    for (unsigned i = 0; duct_listener_refused(b->listener) == before; i++) {
        MUST(i < TURNS_MAX);
        beside_turn(b);
    }
    MUST(duct_listener_refused(b->listener) == before + 1);
}

static void next_message(struct beside *b, struct peer_message *message)
{
    for (unsigned i = 0; !peer_take(&b->peer, message); i++) {
        MUST(i < TURNS_MAX);
        beside_turn(b);
    }
}

void beside_say_hello(struct beside *b)
{
    struct peer_message message;
    struct peer_hello hello;

    MUST(peer_send(&b->peer, &b->peer.said, sizeof(b->peer.said), NULL, 0));
    next_message(b, &message);
    memcpy(&hello, message.bytes, sizeof(hello));
    MUST(message.size == sizeof(hello) && hello.type == PEER_HELLO);
    MUST(hello.magic == PEER_MAGIC && hello.session == b->peer.session);
    MUST(peer_map(&b->peer, &message));
    peer_make(&b->peer, hello.blocks);
}

void beside_share(struct beside *b)
{
    const int fds[] = {b->peer.outbox_fd, b->peer.pool_fd};
    struct peer_message message;

    MUST(peer_note(&b->peer, PEER_SEGMENTS, 0, fds, 2));
    next_message(b, &message);
    MUST(message.size == sizeof(struct peer_note) && message.bytes[0] == PEER_READY);
}

void beside_meet(struct beside *b)
{
    beside_meet_able(b, 0);
}

void beside_meet_able(struct beside *b, uint32_t has)
{
    peer_connect(&b->peer, b->path);
    b->peer.said.has = has;
    beside_say_hello(b);
    beside_share(b);
    GIVES(duct_accept(b->listener, &b->victim, SOON), DUCT_OK);
}

void beside_ends(struct beside *b, enum duct_err expected)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    beside_turn(b);
    GIVES(duct_pipe_info(b->victim, &info), DUCT_OK);
    if (info.end != expected) {
        fprintf(stderr, "%s: the pipe's end is %s, expected %s (%s)\n", playing,
                duct_err_name(info.end), duct_err_name(expected), duct_err_detail());
        abort();
    }
    beside_part(b);
}

void beside_part(struct beside *b)
{
    if (b->victim != NULL)
        duct_pipe_close(b->victim);
    b->victim = NULL;
    if (b->peer.socket >= 0)
        peer_close(&b->peer);
    beside_turn(b);
}

enum { HONEST_TRIES = 10 };

void beside_honest_dial(struct beside *b)
{
    struct duct_pipe *pipe;
    int status;
    pid_t pid = fork();

    MUST(pid >= 0);
    if (pid == 0) {
        struct duct_options options = DUCT_OPTIONS_INIT;
        enum duct_err err = DUCT_EAGAIN;
        /* On a busy machine it may be later than a short handshake allows, which is no fault of the listener's. */
        options.dial_ns = SOON / HONEST_TRIES;
        for (unsigned i = 0; i < HONEST_TRIES && err != DUCT_OK; i++)
            err = duct_dial(&pipe, b->url, &options);
        _exit(err != DUCT_OK);
    }
    GIVES(duct_accept(b->listener, &pipe, SOON), DUCT_OK);
    MUST(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    duct_pipe_close(pipe);
}

void beside_raise_limit(void)
{
    struct rlimit limit;

    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
    MUST(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

size_t beside_heap(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

/* ---- All plays ---- */

static void play_one(const struct play *play, enum duct_io io, const struct variant *variant)
{
    struct cost before, after;
    struct beside b;
    char name[160];

    snprintf(name, sizeof(name), "%s, %s%s on %s", play->name, variant->scheme,
             variant->how == PLAY_UNTRUSTED ? " untrusted" : "",
             io == DUCT_IO_URING ? "uring" : "epoll");
    playing = name;
    unsigned open = descriptors_open();
    open_all(&b, io, variant, play->more);
    weigh(&b, &before);
    play->run(&b);
    weigh(&b, &after);
    printf("%-56s %lu turns and %lu calls for %d rounds, before %lu and %lu\n", name, after.steps,
           after.calls, ROUNDS, before.steps, before.calls);
    MUST(after.steps <= before.steps);
    MUST(after.calls <= before.calls);
    beside_part(&b);
    duct_context_close(b.clients);
    duct_context_close(b.server);
    MUST(descriptors_open() == open);
    playing = "";
}

static bool have(enum duct_io io)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;
    const char *only = getenv("DUCT_IO");

    if (only != NULL && strcmp(only, io == DUCT_IO_URING ? "uring" : "epoll") != 0)
        return false;
    options.io = io;
    enum duct_err err = duct_context_open(&context, &options);
    MUST(err == DUCT_OK || err == DUCT_ENOTSUP);
    if (err == DUCT_OK)
        duct_context_close(context);
    return err == DUCT_OK;
}

int play_all(const struct play *plays, size_t count)
{
    static const enum duct_io backends[] = {DUCT_IO_URING, DUCT_IO_EPOLL};
    char directory[] = "/tmp/duct-hostile-XXXXXX";
    char below[sizeof(directory) + 8];

    setvbuf(stdout, NULL, _IOLBF, 0);
    MUST(mkdtemp(directory) != NULL);
    setenv("XDG_RUNTIME_DIR", directory, 1);
    for (unsigned k = 0; k < 2; k++) {
        for (size_t i = 0; have(backends[k]) && i < count; i++) {
            for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
                if (plays[i].how & variants[v].how)
                    play_one(&plays[i], backends[k], &variants[v]);
            }
        }
    }
    snprintf(below, sizeof(below), "%s/duct", directory);
    MUST((rmdir(below) == 0 || errno == ENOENT) && rmdir(directory) == 0);
    return 0;
}
