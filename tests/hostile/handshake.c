/* SPDX-License-Identifier: Apache-2.0 */
/*
 * H13: dialers that take their time push out their own kind, and an honest dial succeeds beside a thousand of
 * them. H17: versions and capabilities that nobody knows are refused, with a reason. H22: dialers that announce
 * more than they show do not make the listener hold much. H23: text of a peer's reaches a log, a detail or a
 * terminal without its control characters.
 */
#include <dirent.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/hostile/beside.h"

/* ---- H13 ---- */

enum { SLOW = 1000, CAP = 64 };

/* One slow dialer of a process of its own, which is over when it has connected: its socket stays with us,
 * since it had its descriptors from us. */
static void connect_from_elsewhere(struct peer *peer, const char *path)
{
    long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    int status;

    MUST(pid >= 0);
    if (pid == 0) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        memcpy(address.sun_path, path, strlen(path) + 1);
        _exit(connect(peer->socket, (struct sockaddr *)&address, sizeof(address)) != 0);
    }
    MUST(waitpid((pid_t)pid, &status, 0) == pid);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A thousand silent dialers. elsewhere: each of a process of its own, else all of this one. */
static void crowd(struct beside *b, int *sockets, bool elsewhere)
{
    for (unsigned i = 0; i < SLOW; i++) {
        struct peer peer;
        if (elsewhere) {
            peer.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
            MUST(peer.socket >= 0);
            connect_from_elsewhere(&peer, b->path);
        } else {
            peer_connect(&peer, b->path);
        }
        sockets[i] = peer.socket;
        if (i % 32 == 0)
            beside_turn(b);
    }
    beside_turn(b);
}

static void disperse(struct beside *b, const int *sockets)
{
    for (unsigned i = 0; i < SLOW; i++)
        close(sockets[i]);
    for (unsigned i = 0; i < 3 * CAP; i++)
        beside_turn(b);
}

/* All of one process: what another has half open is not touched by them, however many come. */
static void flood_of_one(struct beside *b)
{
    int *sockets = malloc(SLOW * sizeof(*sockets));
    struct peer_message message;
    struct peer early = {0};

    MUST(sockets != NULL);
    beside_raise_limit();
    peer_connect(&b->peer, b->path); /* for its HELLO; connected by this process, which floods */
    early.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    connect_from_elsewhere(&early, b->path);
    uint64_t before = duct_listener_refused(b->listener);
    crowd(b, sockets, false);
    /* All but as many as may be half open at a time were pushed out, and the two that came first: the one of
     * this process among them, the other not. */
    for (unsigned i = 0; i < 3 * CAP && duct_listener_refused(b->listener) - before < SLOW - CAP;
         i++)
        beside_turn(b); /* the last of them may still be queued */
    MUST(duct_listener_refused(b->listener) - before >= SLOW - CAP);
    MUST(peer_sees_end(&b->peer));
    early.session = b->peer.session;
    MUST(peer_send(&early, &b->peer.said, sizeof(b->peer.said), NULL, 0));
    for (unsigned i = 0; !peer_take(&early, &message); i++) {
        MUST(i < 1000);
        beside_turn(b);
    }
    MUST(message.size == sizeof(struct peer_hello) && message.fd_count == 2);
    peer_drop(&message);
    beside_honest_dial(b);
    close(early.socket);
    beside_round(b);
    disperse(b, sockets);
    beside_part(b);
    free(sockets);
}

/* Each of a process of its own. */
static void flood_of_many(struct beside *b)
{
    int *sockets = malloc(SLOW * sizeof(*sockets));

    MUST(sockets != NULL);
    beside_raise_limit();
    crowd(b, sockets, true);
    beside_honest_dial(b);
    beside_round(b);
    disperse(b, sockets);
    free(sockets);
}

/* ---- H22 ---- */

enum { ASKERS = 24, ASKED_BLOCKS = 1 << 20, RING_BYTES = 8 * ASKED_BLOCKS, RINGS_MAX = 4 };

/* Outboxes this process holds that have room for the return of so many blocks. */
static unsigned large_outboxes(void)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *entry;
    unsigned count = 0;

    MUST(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        char target[64] = "";
        struct stat status;
        if (readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1) > 0 &&
            strncmp(target, "/memfd:duct-outbox", 18) == 0 &&
            fstatat(dirfd(dir), entry->d_name, &status, 0) == 0)
            count += status.st_size >= RING_BYTES;
    }
    closedir(dir);
    return count;
}

/* Dialers announce as many blocks as there can be, show none of them, and hold on. */
static void ask_for_much(struct beside *b)
{
    struct peer askers[ASKERS];
    struct peer_message message;
    struct peer_end end;
    unsigned most = 0;

    for (unsigned i = 0; i < ASKERS; i++) {
        peer_connect(&askers[i], b->path);
        askers[i].said.blocks = ASKED_BLOCKS;
        MUST(peer_send(&askers[i], &askers[i].said, sizeof(askers[i].said), NULL, 0));
        for (unsigned turn = 0; turn < CAP; turn++)
            beside_turn(b);
        unsigned now = large_outboxes();
        most = now > most ? now : most;
    }
    MUST(most == RINGS_MAX);
    beside_honest_dial(b);
    beside_round(b);
    /* Who was pushed out is told that there may be room later. */
    MUST(peer_take(&askers[0], &message) && message.fd_count == 2);
    peer_drop(&message);
    MUST(peer_take(&askers[0], &message) && message.size == sizeof(end));
    memcpy(&end, message.bytes, sizeof(end));
    MUST(end.type == PEER_REFUSE && end.code == DUCT_EAGAIN);
    for (unsigned i = 0; i < ASKERS; i++)
        close(askers[i].socket);
    for (unsigned i = 0; i < 3 * CAP; i++)
        beside_turn(b);
    MUST(large_outboxes() == 0);
}

/* ---- H17 ---- */

static void refused_hello(struct beside *b, const struct peer_hello *hello, uint32_t code)
{
    uint64_t before = duct_listener_refused(b->listener);
    struct peer_message message;
    struct peer_end end;

    MUST(peer_send(&b->peer, hello, sizeof(*hello), NULL, 0));
    beside_refused(b, before);
    MUST(peer_take(&b->peer, &message) && message.size == sizeof(end) && message.fd_count == 0);
    memcpy(&end, message.bytes, sizeof(end));
    MUST(end.type == PEER_REFUSE && end.code == code);
    MUST(strnlen(end.text, sizeof(end.text)) > 10);
    beside_part(b);
}

static void unknown(struct beside *b)
{
    static const struct {
        uint16_t min, max;
        uint32_t layout, code;
    } versions[] = {
        {2, 2, 1, DUCT_EVERSION}, {2, 65535, 1, DUCT_EVERSION}, {65535, 65535, 1, DUCT_EVERSION},
        {0, 1, 1, DUCT_ECORRUPT}, {0, 0, 1, DUCT_ECORRUPT},     {2, 1, 1, DUCT_ECORRUPT},
        {1, 1, 0, DUCT_EVERSION}, {1, 1, 2, DUCT_EVERSION},     {1, 1, UINT32_MAX, DUCT_EVERSION},
    };

    for (unsigned bit = 0; bit < 64; bit++) {
        struct peer_hello hello;
        /* Membarrier, eventfds, bells pages, huge pages; and to be durable, which is needed, too, or not had. */
        if (bit < 5 || bit == 32 + 4)
            continue;
        peer_connect(&b->peer, b->path);
        hello = b->peer.said;
        *(bit < 32 ? &hello.has : &hello.needs) = 1u << bit % 32;
        /* To show a nonce and to want one go together. */
        refused_hello(b, &hello, bit % 32 == 5 ? DUCT_ECORRUPT : DUCT_ENOTSUP);
    }
    /* Here nobody was told one. */
    peer_connect(&b->peer, b->path);
    struct peer_hello proving = b->peer.said;
    proving.has = proving.needs = PEER_CAN_PROVE;
    refused_hello(b, &proving, DUCT_EREFUSED);
    for (unsigned i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        peer_connect(&b->peer, b->path);
        struct peer_hello hello = b->peer.said;
        hello.version_min = versions[i].min;
        hello.version_max = versions[i].max;
        hello.layout = versions[i].layout;
        refused_hello(b, &hello, versions[i].code);
    }
    for (unsigned i = 0; i < 2; i++) {
        peer_connect(&b->peer, b->path);
        struct peer_hello hello = b->peer.said;
        hello.magic ^= i == 0;
        hello.session = i == 1 ? 0 : hello.session;
        refused_hello(b, &hello, DUCT_ECORRUPT);
    }
    beside_round(b);
}

/* ---- H23 ---- */

static const struct {
    const char *said;
    size_t size;
    const char *heard; /* what must be in it */
} texts[] = {
    {"plain", 5, "plain"},
    {"", 0, ""},
    {"gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f"},
    {"\x1b]0;title\a", 10, "\\x1b]0;title\\x07"},
    {"\x1b[2J", 4, "\\x1b[2J"},
    {"two\nlines\r", 10, "two\\x0alines\\x0d"},
    {"\x7f", 1, "\\x7f"},
    {"\xc2\x9b"
     "31m",
     5, "\\xc2\\x9b31m"},
    {"\xff\xfe", 2, "\\xff\\xfe"},
    {"\xc0\xaf", 2, "\\xc0\\xaf"},
    {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},
    {"cut \xe2\x82", 6, "cut \\xe2\\x82"},
};
enum { TEXTS = sizeof(texts) / sizeof(texts[0]) };

static unsigned log_lines;

/* Readable, as <duct/log.h> promises. */
static void must_be_clean(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at != 0; at++)
        MUST(*at >= 0x20 && *at != 0x7f && !(at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) &&
             *at != 0xff && *at != 0xfe && *at != 0xc0);
}

static void look_at_line(void *user, enum duct_log_level level, const char *line)
{
    (void)user;
    (void)level;
    must_be_clean(line);
    log_lines++;
}

static void close_texts(struct beside *b)
{
    char full[192];

    memset(full, '\x1b', sizeof(full));
    duct_log_set(look_at_line, NULL, DUCT_LOG_DEBUG);
    for (unsigned i = 0; i <= TEXTS; i++) {
        struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
        beside_meet(b);
        peer_end(&b->peer, PEER_CLOSE, 0, i < TEXTS ? texts[i].said : full,
                 i < TEXTS ? texts[i].size : sizeof(full));
        beside_turn(b);
        GIVES(duct_pipe_info(b->victim, &info), DUCT_OK);
        MUST(info.end == DUCT_ECLOSED);
        MUST(strnlen(info.close_text, sizeof(info.close_text)) < sizeof(info.close_text));
        must_be_clean(info.close_text);
        MUST(i == TEXTS || strcmp(info.close_text, texts[i].heard) == 0);
        beside_part(b);
    }
    duct_log_set(NULL, NULL, DUCT_LOG_ERROR);
    beside_round(b);
}

/* A listener that is no listener, for one dial: answers the HELLO with a REFUSE. */
struct refuser {
    int socket;
    unsigned which;
};

static void *refuse_one(void *arg)
{
    struct refuser *r = arg;
    struct peer_end end = {.type = PEER_REFUSE, .code = DUCT_EREFUSED, .err = DUCT_EREFUSED};
    struct peer_hello hello;
    int fd = accept4(r->socket, NULL, NULL, SOCK_CLOEXEC);

    MUST(fd >= 0 && recv(fd, &hello, sizeof(hello), 0) == (ssize_t)sizeof(hello));
    memcpy(end.text, texts[r->which].said, texts[r->which].size);
    MUST(send(fd, &end, sizeof(end), MSG_NOSIGNAL) == (ssize_t)sizeof(end));
    close(fd);
    return NULL;
}

static void refuse_texts(struct beside *b)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct refuser refuser;
    char url[160];

    snprintf(address.sun_path, sizeof(address.sun_path), "%.90s.false", b->path);
    snprintf(url, sizeof(url), "shm://%s", address.sun_path);
    refuser.socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    MUST(bind(refuser.socket, (struct sockaddr *)&address, sizeof(address)) == 0);
    MUST(listen(refuser.socket, 4) == 0);
    options.context = b->server;
    options.dial_ns = SOON;
    for (refuser.which = 0; refuser.which < TEXTS; refuser.which++) {
        struct duct_pipe *pipe;
        pthread_t thread;
        MUST(pthread_create(&thread, NULL, refuse_one, &refuser) == 0);
        GIVES(duct_dial(&pipe, url, &options), DUCT_EREFUSED);
        MUST(pthread_join(thread, NULL) == 0);
        must_be_clean(duct_err_detail());
        MUST(strstr(duct_err_detail(), texts[refuser.which].heard) != NULL);
    }
    close(refuser.socket);
    unlink(address.sun_path);
    beside_round(b);
}

int main(void)
{
    static const struct play plays[] = {
        {"H13 a thousand slow dialers of one process", PLAY_DEFAULT, flood_of_one,
         "handshake=3600s"},
        {"H13 of a thousand processes", PLAY_DEFAULT, flood_of_many, "handshake=3600s"},
        {"H22 dialers that ask for much", PLAY_DEFAULT, ask_for_much, "handshake=3600s"},
        {"H17 what nobody knows", PLAY_DEFAULT, unknown, NULL},
        {"H23 reasons to close", PLAY_DEFAULT, close_texts, NULL},
        {"H23 reasons to refuse", PLAY_DEFAULT, refuse_texts, NULL},
    };

    meter_start();
    return play_all(plays, sizeof(plays) / sizeof(plays[0]));
}
