/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/faultproxy/address.h"

/*
 * usage: faultproxy_own FAULTPROXY
 *
 * Each fault of the proxy does what it says, and no more: bytes go through it over both kinds of socket, and are counted
 * at the other end. What a fault delays is only ever too late here, never too early: no bound above.
 */

enum { UP, DOWN, HUNG_MS = 20000 };

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            fprintf(stderr, "FAILED: %s, %s: %s (line %d; %s)\n", scheme, playing, #condition, \
                    __LINE__, strerror(errno));                                                \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static const char *program, *scheme, *playing;

/* A proxy with one connection through it: its two ends here. */
struct line {
    int ends[2]; /* who dialled, and who listens */
    pid_t proxy;
};

static int64_t now_ms(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * INT64_C(1000) + at.tv_nsec / 1000000;
}

static pid_t start(const char *const *options, const char *front, const char *target, char *name,
                   size_t capacity)
{
    char *argv[16] = {(char *)(uintptr_t)program};
    int count = 1, out[2];

    while (*options != NULL)
        argv[count++] = (char *)(uintptr_t)*options++;
    argv[count++] = (char *)(uintptr_t)front;
    argv[count] = (char *)(uintptr_t)target;
    CHECK(pipe2(out, O_CLOEXEC) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out[1], STDOUT_FILENO);
        execv(program, argv);
        _exit(127);
    }
    CHECK(pid > 0);
    close(out[1]);
    FILE *said = fdopen(out[0], "r");
    CHECK(said != NULL && fgets(name, (int)capacity, said) != NULL);
    name[strcspn(name, "\n")] = '\0';
    fclose(said);
    return pid;
}

static void open_line(struct line *line, const char *const *options)
{
    bool tcp = strcmp(scheme, "tcp") == 0;
    char front[64] = "127.0.0.1:0", target[64] = "127.0.0.1:0", name[160], at[160];

    if (!tcp) {
        snprintf(front, sizeof(front), "@faultproxy-%d-front", getpid());
        snprintf(target, sizeof(target), "@faultproxy-%d-target", getpid());
    }
    int listener = address_listen(target, at, sizeof(at));
    CHECK(listener >= 0);
    line->proxy = start(options, front, at, name, sizeof(name));
    line->ends[0] = address_connect(name);
    CHECK(line->ends[0] >= 0);
    line->ends[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    CHECK(line->ends[1] >= 0);
    close(listener);
}

/* It ends by itself once both ends are closed, unless it swallows or stalls. */
static void close_line(struct line *line)
{
    close(line->ends[0]);
    close(line->ends[1]);
    kill(line->proxy, SIGKILL);
    CHECK(waitpid(line->proxy, NULL, 0) == line->proxy);
}

static unsigned char byte_at(size_t at)
{
    return (unsigned char)(at * 131 >> 3);
}

/* What became of bytes on their way. */
struct carried {
    size_t sent, got;
    size_t largest; /* of what came at once */
    int end;        /* 0: none seen; EOF; or an errno */
};

static void send_some(int fd, size_t size, struct carried *c)
{
    unsigned char bytes[65536];
    size_t part = size - c->sent < sizeof(bytes) ? size - c->sent : sizeof(bytes);

    for (size_t i = 0; i < part; i++)
        bytes[i] = byte_at(c->sent + i);
    ssize_t done = send(fd, bytes, part, MSG_DONTWAIT | MSG_NOSIGNAL);
    CHECK(done > 0 || errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
    /* Whoever cannot send any more has sent all it can. */
    c->sent = done > 0 ? c->sent + (size_t)done : errno == EAGAIN ? c->sent : size;
}

static void take_some(int fd, struct carried *c)
{
    unsigned char bytes[65536];
    ssize_t done = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (done <= 0) {
        CHECK(done == 0 || errno != EAGAIN);
        c->end = done == 0 ? EOF : errno;
        return;
    }
    for (ssize_t i = 0; i < done; i++)
        CHECK(bytes[i] == byte_at(c->got + (size_t)i));
    c->got += (size_t)done;
    c->largest = (size_t)done > c->largest ? (size_t)done : c->largest;
}

/* Sends size bytes one way, all of them, and takes what comes until it is `expected`, or the end. */
static struct carried carry(const struct line *line, int way, size_t size, size_t expected)
{
    struct carried c = {.sent = 0};
    int from = line->ends[way], to = line->ends[1 - way];

    while (c.sent < size || (c.got < expected && c.end == 0)) {
        struct pollfd fds[2] = {{.fd = c.sent < size ? from : -1, .events = POLLOUT},
                                {.fd = c.end == 0 ? to : -1, .events = POLLIN}};
        CHECK(poll(fds, 2, HUNG_MS) > 0);
        if (fds[0].revents != 0)
            send_some(from, size, &c);
        if (fds[1].revents != 0)
            take_some(to, &c);
    }
    return c;
}

static bool is_quiet(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    return poll(&one, 1, 0) == 0;
}

static bool all_came(struct carried c, size_t size)
{
    return c.got == size && c.end == 0;
}

/* ---- What only delays or divides ---- */

static void plain(void)
{
    struct line line;

    open_line(&line, (const char *const[]){NULL});
    CHECK(all_came(carry(&line, UP, 1000000, 1000000), 1000000));
    struct carried c = carry(&line, DOWN, 1000000, 1000000);
    CHECK(all_came(c, 1000000));
    CHECK(c.largest > 4096); /* or what follows about pieces says nothing */
    /* The end of one direction goes through, too, and leaves the other open. */
    CHECK(shutdown(line.ends[0], SHUT_WR) == 0);
    CHECK(carry(&line, UP, 0, 1).end == EOF);
    CHECK(all_came(carry(&line, DOWN, 1000, 1000), 1000));
    close_line(&line);
}

static void latency(void)
{
    struct line line;

    open_line(&line, (const char *const[]){"--latency", "60", NULL});
    for (int way = UP; way <= DOWN; way++) {
        int64_t began = now_ms();
        CHECK(all_came(carry(&line, way, 100, 100), 100));
        CHECK(now_ms() - began >= 59);
    }
    close_line(&line);
}

/* Ten draws of up to 100 ms: that seed's come to more than a fifth of that. */
static void jitter(void)
{
    struct line line;
    int64_t began = now_ms();

    open_line(&line, (const char *const[]){"--jitter", "100", "--seed", "9", NULL});
    for (unsigned i = 0; i < 10; i++)
        CHECK(all_came(carry(&line, UP, 1, 1), 1));
    CHECK(now_ms() - began >= 200);
    close_line(&line);
}

static void bandwidth(void)
{
    struct line line;

    open_line(&line, (const char *const[]){"--bandwidth", "200000", NULL});
    int64_t began = now_ms();
    CHECK(all_came(carry(&line, UP, 60000, 60000), 60000));
    /* Three tenths of a second, but for the first piece. */
    CHECK(now_ms() - began >= 250);
    close_line(&line);
}

/* A Unix socket holds some hundred pieces, whatever their size: no more of them can be there at once. */
static void partial(void)
{
    struct line line;

    open_line(&line, (const char *const[]){"--partial", "7", NULL});
    struct carried c = carry(&line, UP, 60000, 60000);
    CHECK(all_came(c, 60000));
    CHECK(strcmp(scheme, "uds") != 0 || c.largest <= 4096);
    close_line(&line);
}

/* ---- What breaks ---- */

enum { AT = 5000, MUCH = 20000000 };
#define AT_TEXT "5000"

/* Both directions end; what came before is there. */
static void cut(void)
{
    struct line line;

    open_line(&line, (const char *const[]){"--cut", AT_TEXT, "--direction", "up", NULL});
    CHECK(all_came(carry(&line, DOWN, 2 * AT, 2 * AT), 2 * AT)); /* that way it does not count */
    struct carried c = carry(&line, UP, AT, AT + 1);
    CHECK(c.got == AT && c.end == EOF);
    CHECK(carry(&line, DOWN, 0, 1).end == EOF);
    close_line(&line);
}

/* Both ends are told ECONNRESET, where there is such a thing. */
static void reset(void)
{
    bool tcp = strcmp(scheme, "tcp") == 0;
    struct line line;

    open_line(&line, (const char *const[]){"--reset", AT_TEXT, "--direction", "up", NULL});
    struct carried c = carry(&line, UP, AT, AT + 1);
    CHECK(c.got <= AT && c.end == (tcp ? ECONNRESET : EOF));
    CHECK(carry(&line, DOWN, 0, 1).end == (tcp ? ECONNRESET : EOF));
    close_line(&line);
}

/* Swallowed: the sender is rid of everything, also of its end, and the receiver is told nothing. */
static void truncated(void)
{
    struct line line;

    open_line(&line, (const char *const[]){"--truncate", AT_TEXT, "--direction", "up", NULL});
    struct carried c = carry(&line, UP, MUCH, AT);
    CHECK(c.sent == MUCH && all_came(c, AT));
    CHECK(shutdown(line.ends[0], SHUT_WR) == 0);
    CHECK(all_came(carry(&line, DOWN, AT, AT), AT));
    CHECK(is_quiet(line.ends[1]));
    close_line(&line);
}

/* Not even taken: the sender is held up. */
static void stall(void)
{
    struct line line;
    struct carried c = {.sent = 0};

    open_line(&line, (const char *const[]){"--stall", AT_TEXT, "--direction", "up", NULL});
    CHECK(all_came(carry(&line, UP, AT, AT), AT));
    for (size_t before = 1; c.sent != before;) {
        before = c.sent;
        send_some(line.ends[0], MUCH, &c);
        CHECK(c.sent < MUCH);
        /* What goes the other way shows that the proxy has looked. */
        CHECK(all_came(carry(&line, DOWN, 100, 100), 100));
    }
    CHECK(c.sent > 0 && is_quiet(line.ends[1]));
    close_line(&line);
}

/* Who has said its last word and closes is heard, though the other one was sending in that moment: only that way is
 * dead. */
static void parting(int way, const char *const *options)
{
    struct line line;
    struct carried last = {.sent = 0}, vain = {.sent = 0};

    open_line(&line, options);
    /* Whatever happens while it stands still, it finds at once. */
    CHECK(kill(line.proxy, SIGSTOP) == 0);
    CHECK(waitpid(line.proxy, NULL, WUNTRACED) == line.proxy);
    send_some(line.ends[1 - way], 100, &vain);
    send_some(line.ends[way], 3, &last);
    close(line.ends[way]);
    line.ends[way] = -1;
    CHECK(kill(line.proxy, SIGCONT) == 0);
    struct carried c = carry(&line, way, 0, 4);
    CHECK(c.got == 3 && c.end == EOF);
    close_line(&line);
}

static void partings(void)
{
    for (int way = UP; way <= DOWN; way++) {
        parting(way, (const char *const[]){NULL});
        parting(way, (const char *const[]){"--latency", "20", NULL});
        /* Of the two, one is held up for longer, and by another seed the other one. */
        parting(way, (const char *const[]){"--jitter", "20", "--seed", "1", NULL});
        parting(way, (const char *const[]){"--jitter", "20", "--seed", "2", NULL});
    }
}

/* After as many connections as were asked for it ends, and not before. */
static void connections(void)
{
    struct line line;

    open_line(&line, (const char *const[]){NULL});
    CHECK(waitpid(line.proxy, NULL, WNOHANG) == 0);
    close(line.ends[0]);
    close(line.ends[1]);
    int status;
    CHECK(waitpid(line.proxy, &status, 0) == line.proxy && status == 0);
}

int main(int argc, char **argv)
{
    static const char *const schemes[] = {"tcp", "uds"};
    static const struct {
        const char *name;
        void (*play)(void);
    } plays[] = {
        {"nothing", plain},       {"latency", latency},         {"jitter", jitter},
        {"bandwidth", bandwidth}, {"partial", partial},         {"cut", cut},
        {"reset", reset},         {"truncate", truncated},      {"stall", stall},
        {"parting", partings},    {"connections", connections},
    };

    if (argc != 2)
        return 2;
    program = argv[1];
    for (unsigned s = 0; s < 2; s++) {
        scheme = schemes[s];
        for (unsigned i = 0; i < sizeof(plays) / sizeof(plays[0]); i++) {
            playing = plays[i].name;
            plays[i].play();
            printf("%s, %s\n", scheme, playing);
        }
    }
    return 0;
}
