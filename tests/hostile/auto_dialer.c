/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auto:// against what it dials: a listener that offers shared memory and lies about it, with the nonce, with another's,
 * by silence, by standing on a name that is somebody else's. Each costs the dial the shared way, and the pipe comes
 * over TCP; where that fails, too, the error names both.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hostile/beside.h"
#include "tests/hostile/leg.h"

/* What the liar does on the shared leg, or says over the stream. */
enum lie {
    WRONG_NONCE,   /* shows one that it made up */
    REFLECTED,     /* shows the dialer what the dialer showed it */
    NO_PROOF,      /* goes on as if none were due */
    TWO_PROOFS,    /* shows a wrong one, then the right one */
    OTHER_SESSION, /* the right nonce, of another session */
    SILENT,        /* takes HELLO and PROOF, and says nothing */
    NO_PATIENCE,   /* likewise, and leaves the dialer no time for it */
    GARBAGE,
    HANGS_UP,
    OTHER_BOOT, /* offers memory on another machine: nothing must be tried */
    NO_ENDPOINT,
    STREAM_ONLY /* an honest offer, of a name that is not its own */
};

/* What the dialer says last is the liar's exit. */
enum { SAID_NOTHING = 40, SAID_READY, SAID_MOVED };

struct liar {
    enum lie lie;
    int stream; /* both listen */
    int shared;
    bool hangs_up; /* on the stream, after its HELLO */
};

static bool hears(int fd, void *bytes, size_t size, ssize_t *got)
{
    struct pollfd ask = {.fd = fd, .events = POLLIN};

    if (poll(&ask, 1, (int)(SOON / DUCT_MILLISECOND)) != 1)
        return false;
    *got = recv(fd, bytes, size, 0);
    return *got > 0;
}

static void tell(int fd, const void *bytes, size_t size)
{
    /* Who is hung up on knows why. */
    if (send(fd, bytes, size, MSG_NOSIGNAL) < 0)
        return;
}

/* The shared leg; returns when the dialer has ended it. */
static void lie_shared(const struct liar *liar, const struct leg_offer *dialers)
{
    unsigned char bytes[512];
    struct peer_proof proof = {.type = PEER_PROOF}, shown;
    struct peer_hello hello;
    ssize_t got;
    int fd = accept(liar->shared, NULL, NULL);

    if (!hears(fd, &hello, sizeof(hello), &got) || hello.type != PEER_HELLO ||
        !hears(fd, &shown, sizeof(shown), &got) || shown.type != PEER_PROOF)
        _exit(1);
    proof.session = hello.session + (liar->lie == OTHER_SESSION);
    memcpy(proof.nonce, dialers->nonce, sizeof(proof.nonce));
    if (liar->lie == WRONG_NONCE || liar->lie == TWO_PROOFS)
        proof.nonce[LEG_NONCE - 1] ^= 1;
    if (liar->lie == REFLECTED)
        memcpy(proof.nonce, shown.nonce, sizeof(proof.nonce));
    if (liar->lie == GARBAGE)
        tell(fd, "garbage", 7);
    else if (liar->lie == NO_PROOF)
        tell(fd, &hello, sizeof(hello));
    else if (liar->lie <= OTHER_SESSION)
        tell(fd, &proof, sizeof(proof));
    proof.nonce[LEG_NONCE - 1] ^= 1;
    if (liar->lie == TWO_PROOFS)
        tell(fd, &proof, sizeof(proof));
    while (liar->lie != HANGS_UP && hears(fd, bytes, sizeof(bytes), &got))
        continue;
    close(fd);
}

static void lie_once(const struct liar *liar)
{
    struct leg_offer own = leg_offer(99), dialers;
    unsigned char bytes[512];
    uint64_t session;
    ssize_t got;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = accept(liar->stream, NULL, NULL);
    if (!hears(fd, bytes, sizeof(bytes), &got) ||
        !leg_offered(bytes, (size_t)got, &session, &dialers))
        _exit(2);
    own.boot[0] ^= liar->lie == OTHER_BOOT;
    own.flags = liar->lie == NO_ENDPOINT ? 0 : LEG_ENDPOINT;
    own.patience_ms = liar->lie == NO_PATIENCE ? 0 : liar->lie == SILENT ? 200 : 20000;
    tell(fd, bytes, leg_hello(bytes, session, &own));
    if (liar->hangs_up)
        close(fd);
    if (liar->lie < OTHER_BOOT)
        lie_shared(liar, &dialers);
    if (liar->hangs_up || !hears(fd, bytes, sizeof(bytes), &got) || got < 16)
        _exit(SAID_NOTHING);
    /* Nobody has tried what was not worth it. */
    struct pollfd ask = {.fd = liar->shared, .events = POLLIN};
    if ((liar->lie == OTHER_BOOT || liar->lie == NO_ENDPOINT) && poll(&ask, 1, 0) != 0)
        _exit(3);
    _exit(leg_kind(bytes) == LEG_MOVED ? SAID_MOVED : SAID_READY);
}

static int shared_socket(struct beside *b, char *path, size_t capacity)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    MUST(fd >= 0);
    snprintf(path, capacity, "%s", b->path);
    snprintf(strrchr(path, '/'), 6, "/liar");
    memcpy(address.sun_path, path, strlen(path) + 1);
    MUST(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 4) == 0);
    return fd;
}

/* Dials the liar at that name, in the context of the honest; what it heard last is *said. */
static enum duct_err dial_liar(struct beside *b, struct liar *liar, const char *name,
                               struct duct_pipe **pipe, int *said)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[128], path[sizeof(b->path)];
    unsigned port;
    int status;

    liar->stream = leg_listen(&port);
    liar->shared = shared_socket(b, path, sizeof(path));
    pid_t pid = fork();
    MUST(pid >= 0);
    if (pid == 0)
        lie_once(liar);
    close(liar->stream);
    close(liar->shared);
    snprintf(url, sizeof(url), "auto://%s@127.0.0.1:%u", name, port);
    options.context = b->server;
    options.dial_ns = SOON;
    enum duct_err err = duct_dial(pipe, url, &options);
    /* What the dial has given up is closed when the loop turns. */
    while (waitpid(pid, &status, WNOHANG) == 0)
        beside_turn(b);
    MUST(WIFEXITED(status));
    *said = WEXITSTATUS(status);
    MUST(unlink(path) == 0);
    return err;
}

/* The pipe comes over TCP, for that reason. */
static void falls_back(struct beside *b, enum lie lie, const char *name, const char *reason)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;
    struct liar liar = {.lie = lie};
    struct duct_pipe *pipe;
    int said;

    GIVES(dial_liar(b, &liar, name, &pipe, &said), DUCT_OK);
    GIVES(duct_pipe_info(pipe, &info), DUCT_OK);
    GIVES(duct_pipe_stats(pipe, &stats), DUCT_OK);
    if (strstr(info.choice, reason) == NULL)
        fprintf(stderr, "%s: lie %d: \"%s\", expected \"%s\"\n", playing, lie, info.choice, reason);
    MUST(strstr(info.choice, reason) != NULL && strcmp(info.scheme, "tcp") == 0);
    MUST(stats.chose_stream == 1 && stats.chose_shared == 0);
    MUST(said == SAID_READY);
    duct_pipe_close(pipe);
    beside_round(b);
}

static void lies(struct beside *b)
{
    static const struct {
        enum lie lie;
        const char *reason;
    } all[] = {{WRONG_NONCE, "another nonce"},
               {REFLECTED, "another nonce"},
               {NO_PROOF, "something else than PROOF"},
               {TWO_PROOFS, "another nonce"},
               {OTHER_SESSION, "something else than PROOF"},
               {SILENT, "within its time"},
               {NO_PATIENCE, "within its time"},
               {GARBAGE, "something else than PROOF"},
               {HANGS_UP, "hung up"},
               {OTHER_BOOT, "another machine"},
               {NO_ENDPOINT, "shares no memory"}};

    for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        falls_back(b, all[i].lie, "liar", all[i].reason);
}

/* The name that was dialled is an honest listener's, who has told nobody a nonce, or has told it to others: who lies
 * over TCP cannot have the pipe made to it. */
static void names_of_others(struct beside *b)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *other;
    struct duct_pipe *pipe;

    uint64_t before = duct_listener_refused(b->listener);
    falls_back(b, STREAM_ONLY, "hostile", "has told nobody a nonce");
    falls_back(b, STREAM_ONLY, "nobody", "nobody listens at");
    options.context = b->server;
    GIVES(duct_listen(&other, "auto://other@127.0.0.1:0", &options), DUCT_OK);
    falls_back(b, STREAM_ONLY, "other", "nobody was told");
    beside_turn(b);
    MUST(duct_listener_refused(other) == 1 && duct_listener_refused(b->listener) > before);
    GIVES(duct_accept(other, &pipe, 0), DUCT_EAGAIN);
    GIVES(duct_accept(b->listener, &pipe, 0), DUCT_EAGAIN);
    duct_listener_close(other);
}

static void neither_way(struct beside *b)
{
    struct liar liar = {.lie = WRONG_NONCE, .hangs_up = true};
    struct duct_pipe *pipe = NULL;
    int said;

    enum duct_err err = dial_liar(b, &liar, "liar", &pipe, &said);
    MUST(err != DUCT_OK && pipe == NULL && said == SAID_NOTHING);
    MUST(strstr(duct_err_detail(), "another nonce") != NULL);
    MUST(strstr(duct_err_detail(), "127.0.0.1") != NULL ||
         strstr(duct_err_detail(), "hung up") != NULL);
    beside_round(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"auto: lies of a listener", PLAY_DEFAULT, lies, NULL},
        {"auto: names of others", PLAY_DEFAULT, names_of_others, NULL},
        {"auto: neither way", PLAY_DEFAULT, neither_way, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
