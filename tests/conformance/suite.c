/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/suite.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const struct scheme scheme_shm = {.name = "shm",
                                  .can = CAN_SHARE | CAN_PATH | CAN_DOORBELL | CAN_ONE_WAY};
const struct scheme scheme_uds = {.name = "uds"};
const struct scheme scheme_tcp = {.name = "tcp"};
const struct scheme scheme_auto = {.name = "shm", .can = CAN_SHARE | CAN_DOORBELL};
const struct scheme scheme_apart = {.name = "tcp"};
const struct scheme scheme_durable = {.name = "shm"};

/* What the far side of the test in progress is to do. */
struct far {
    struct side side;
    script *run;
    unsigned mode;
    int failed;
};

void side_fail(struct side *s, const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s: %s\n    detail: %s\n", file, line, s->here ? "here" : "there", what,
            duct_err_detail());
    if (s->here) {
        cr_assert_fail("%s:%d: %s (detail: %s)", file, line, what, duct_err_detail());
        abort(); /* not reached */
    }
    if (s->process)
        _exit(1);
    ((struct far *)s)->failed = 1;
    shutdown(s->sync, SHUT_RDWR);
    pthread_exit(NULL);
}

void side_gives(struct side *s, const char *file, int line, const char *call, enum duct_err got,
                enum duct_err expected)
{
    char what[512];

    if (got == expected)
        return;
    snprintf(what, sizeof(what), "%s gives %s, expected %s", call, duct_err_name(got),
             duct_err_name(expected));
    side_fail(s, file, line, what);
}

void tell(struct side *s)
{
    const char byte = 1;

    CHECK(s, send(s->sync, &byte, 1, MSG_NOSIGNAL) == 1);
}

void await(struct side *s)
{
    struct pollfd ask = {.fd = s->sync, .events = POLLIN};
    char byte;
    int ready;

    do {
        ready = poll(&ask, 1, (int)(SOON / DUCT_MILLISECOND));
    } while (ready < 0 && errno == EINTR);
    CHECK(s, ready == 1);
    CHECK(s, read(s->sync, &byte, 1) == 1);
}

struct duct_context *side_context(struct side *s)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;

    options.io = s->io;
    if (s->context == NULL)
        OK(s, duct_context_open(&s->context, &options));
    return s->context;
}

void side_listen(struct side *s, const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = side_context(s);
    OK(s, duct_listen(&s->listener, url, &options));
}

void side_accept(struct side *s)
{
    struct duct_event events[4];
    size_t count;

    OK(s, duct_accept(s->listener, &s->pipe, SOON));
    /* Others are given when somebody has dialled. */
    while (s->scheme == &scheme_durable && info_of(s, s->pipe).state != DUCT_STATE_CONNECTED)
        OK(s, duct_context_wait(s->context, events, 4, &count, SOON));
}

void side_dial(struct side *s, const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = side_context(s);
    options.dial_ns = SOON;
    OK(s, duct_dial(&s->pipe, url, &options));
}

static void close_side(struct side *s)
{
    duct_context_close(s->context);
    s->context = NULL;
}

static void run_far(struct far *far)
{
    struct side *s = &far->side;

    if (!(far->mode & BARE)) {
        await(s);
        side_dial(s, s->url);
    }
    far->run(s);
    close_side(s);
}

static void *far_thread(void *arg)
{
    run_far(arg);
    return NULL;
}

static void run_near(struct side *s, unsigned mode, script *here)
{
    if (!(mode & BARE)) {
        side_listen(s, s->url);
        tell(s);
        side_accept(s);
    }
    here(s);
    close_side(s);
}

static void in_processes(struct side *s, struct far *far, script *here, int sync[2])
{
    int status;
    pid_t pid = fork();

    cr_assert_geq(pid, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(sync[0]);
        run_far(far);
        _exit(0);
    }
    close(sync[1]);
    s->other_pid = pid;
    run_near(s, far->mode, here);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    /* A test that kills its peer says so by forgetting its pid. */
    if (s->other_pid != 0)
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the other side failed: %#x",
                  status);
}

static void in_threads(struct side *s, struct far *far, script *here)
{
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, far_thread, far), 0);
    run_near(s, far->mode, here);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(far->failed, 0, "the other side failed");
}

/* Each test has addresses of its own: the loopback's network is as large as the space of pids. name: of shared
 * memory. */
static void set_addresses(struct side *s, const char *query, const char *name)
{
    bool both = s->scheme == &scheme_auto || s->scheme == &scheme_apart;
    unsigned pid = (unsigned)getpid();
    char host[64];

    snprintf(host, sizeof(host), "127.%u.%u.%u:4711", 1 + (pid >> 16), pid >> 8 & 255, pid & 255);
    if (both)
        snprintf(s->bare, sizeof(s->bare), "auto://%s@%s", name, host);
    else if (s->scheme == &scheme_tcp)
        snprintf(s->bare, sizeof(s->bare), "tcp://%s", host);
    else if (s->scheme == &scheme_uds)
        snprintf(s->bare, sizeof(s->bare), "uds://@duct-conform-%u", pid);
    else if (s->scheme == &scheme_durable)
        snprintf(s->bare, sizeof(s->bare), "shm://%s?durable=1&dir=%s", name,
                 getenv("XDG_RUNTIME_DIR"));
    else
        snprintf(s->bare, sizeof(s->bare), "shm://%s", name);
    snprintf(s->nowhere, sizeof(s->nowhere), "%.200s%s", s->bare,
             both || s->scheme == &scheme_tcp ? "2" : "-not-there");
    const char *more = strchr(s->bare, '?') != NULL ? "&" : "?";
    snprintf(s->url, sizeof(s->url), "%s%s%s", s->bare, *query ? more : "", query);
}

/* A durable pipe's files are meant to stay. */
static void remove_files(const struct side *s, const char *directory)
{
    static const char *const names[] = {"listen", "listen.pool0", "dial", "dial.pool0"};
    char path[128];

    for (size_t i = 0; s->scheme == &scheme_durable && i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/conformance.%s", directory, names[i]);
        cr_assert_eq(unlink(path), 0, "%s is not there", path);
    }
}

void conform(const struct scheme *scheme, enum duct_io io, bool process, unsigned needs,
             unsigned mode, const char *query, script *here, script *there)
{
    char directory[] = "/tmp/duct-conform-XXXXXX";
    char below[sizeof(directory) + 8];
    int sync[2];

    if ((scheme->can & needs) != needs)
        cr_skip_test("not for %s://", scheme->name);
    cr_assert_not_null(mkdtemp(directory));
    setenv("XDG_RUNTIME_DIR", directory, 1);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sync), 0);
    struct side near = {
        .scheme = scheme, .io = io, .process = process, .here = true, .sync = sync[0]};
    set_addresses(&near, query, "conformance");
    struct far far = {.side = near, .run = there, .mode = mode};
    if (scheme == &scheme_apart)
        set_addresses(&far.side, query, "not-conformance");
    far.side.here = false;
    far.side.sync = sync[1];
    if (process)
        in_processes(&near, &far, here, sync);
    else
        in_threads(&near, &far, here);
    snprintf(below, sizeof(below), "%s/duct", directory);
    remove_files(&near, directory);
    /* Nothing may be left behind. */
    cr_assert(rmdir(below) == 0 || errno == ENOENT, "%s is not empty", below);
    cr_assert_eq(rmdir(directory), 0);
}

/* ---- Payload ---- */

static uint64_t mix(uint64_t value)
{
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9ull;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebull;
    return value ^ value >> 31;
}

void fill(void *data, size_t size, uint64_t seed)
{
    unsigned char *bytes = data;

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = mix(seed * 0x9e3779b97f4a7c15ull + i);
        memcpy(bytes + i, &word, size - i < 8 ? size - i : 8);
    }
}

bool filled(const void *data, size_t size, uint64_t seed)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < size; i += 8) {
        uint64_t word = mix(seed * 0x9e3779b97f4a7c15ull + i);
        if (memcmp(bytes + i, &word, size - i < 8 ? size - i : 8) != 0)
            return false;
    }
    return true;
}

void put(struct side *s, size_t size, uint64_t seed)
{
    struct duct_msg msg;

    OK(s, duct_msg_loan_aligned(s->pipe, size, DUCT_ALIGN_LINE, SOON, &msg));
    CHECK(s, msg.size == size);
    fill(msg.data, size, seed);
    msg.tag = seed;
    OK(s, duct_send(s->pipe, &msg, SOON));
    CHECK(s, msg.data == NULL && msg.size == 0);
}

void take(struct side *s, size_t size, uint64_t seed)
{
    struct duct_msg msg;

    OK(s, duct_recv(s->pipe, &msg, SOON));
    CHECK(s, msg.size == size);
    CHECK(s, msg.tag == seed);
    CHECK(s, msg.flags == 0 && msg.channel == 0);
    CHECK(s, filled(msg.data, size, seed));
    OK(s, duct_msg_release(&msg));
}

struct duct_pipe_stats stats_of(struct side *s, struct duct_pipe *pipe)
{
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;

    OK(s, duct_pipe_stats(pipe, &stats));
    return stats;
}

struct duct_pipe_info info_of(struct side *s, struct duct_pipe *pipe)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    OK(s, duct_pipe_info(pipe, &info));
    return info;
}

bool says(const char *words)
{
    return strstr(duct_err_detail(), words) != NULL;
}

/* ---- Common scripts ---- */

/* The next message, or how the pipe ended. */
static enum duct_err next(struct side *s, struct duct_msg *msg)
{
    if (s->scheme != &scheme_durable)
        return duct_recv(s->pipe, msg, SOON);
    for (int64_t waited = 0; waited < SOON; waited += A_BIT) {
        /* Asked before: what was sent ahead of the close is there then. */
        bool closed = info_of(s, s->pipe).peer_closed;
        enum duct_err err = duct_recv(s->pipe, msg, closed ? 0 : A_BIT);
        if (err != DUCT_ETIMEOUT)
            return closed && err == DUCT_EAGAIN ? DUCT_ECLOSED : err;
    }
    return DUCT_ETIMEOUT;
}

void there_echoes(struct side *s)
{
    struct duct_msg in, out;
    enum duct_err err;

    while ((err = next(s, &in)) == DUCT_OK) {
        OK(s, duct_msg_loan_aligned(s->pipe, in.size, DUCT_ALIGN_LINE, SOON, &out));
        if (in.size > 0)
            memcpy(out.data, in.data, in.size);
        out.tag = in.tag;
        OK(s, duct_msg_release(&in));
        OK(s, duct_send(s->pipe, &out, SOON));
    }
    GIVES(s, err, DUCT_ECLOSED);
}

void there_waits(struct side *s)
{
    await(s);
}

void there_nothing(struct side *s)
{
    (void)s;
}
