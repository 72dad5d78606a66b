/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/suite.h"
#include "tests/descriptors.h"

/* Growth, many pipes, and what fork() leaves in a child. */

/* ---- Pools that grow ---- */

static void grows(struct side *s)
{
    struct duct_msg msgs[64];
    size_t count = 0;

    uint64_t before = info_of(s, s->pipe).shared_bytes;
    while (count < 64 && duct_msg_loan(s->pipe, 4000, &msgs[count]) == DUCT_OK)
        count++;
    /* All of it sent at once: the receiver meets blocks of segments it has not heard of. */
    CHECK(s, count >= 8 && count < 64);
    CHECK(s, stats_of(s, s->pipe).pool_grown == 7);
    CHECK(s, info_of(s, s->pipe).shared_bytes > before);
    for (size_t i = 0; i < count; i++) {
        fill(msgs[i].data, 4000, i);
        msgs[i].tag = i;
        OK(s, duct_send(s->pipe, &msgs[i], SOON));
    }
    tell(s);
    await(s);
    for (size_t i = 0; i < 500; i++)
        put(s, 4000, i);
    CHECK(s, stats_of(s, s->pipe).pool_grown == 7);
    await(s);
}

static void takes_grown(struct side *s)
{
    struct duct_msg msgs[64];
    size_t count = 0;

    await(s);
    while (duct_recv(s->pipe, &msgs[count], count < 8 ? SOON : 0) == DUCT_OK) {
        CHECK(s, msgs[count].tag == count && filled(msgs[count].data, 4000, count));
        count++;
    }
    CHECK(s, count >= 8);
    for (size_t i = 0; i < count; i++) {
        CHECK(s, filled(msgs[i].data, 4000, i));
        OK(s, duct_msg_release(&msgs[i]));
    }
    tell(s);
    for (size_t i = 0; i < 500; i++)
        take(s, 4000, i);
    tell(s);
}

CONFORMS(grows, CAN_SHARE, 0, "max_msg=4096&pool=8k&pool_max=64k", grows, takes_grown)
CONFORMS(grows_parked, CAN_SHARE, 0, "max_msg=4096&pool=8k&pool_max=64k&wait=park", grows,
         takes_grown)

/* The announcement is read although the pipe has ended meanwhile. */
static void grows_and_goes(struct side *s)
{
    for (uint64_t i = 0; i < 8; i++)
        put(s, 4000, i);
    duct_pipe_close(s->pipe);
    tell(s);
}

static void takes_after_the_end(struct side *s)
{
    struct duct_msg msg;

    await(s);
    for (uint64_t i = 0; i < 8; i++)
        take(s, 4000, i);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_ECLOSED);
}

CONFORMS(grows_and_goes, CAN_SHARE, 0, "max_msg=4096&pool=8k&pool_max=64k", takes_after_the_end,
         grows_and_goes)

static void huge_pages(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe = NULL;
    char url[300];

    await(s);
    options.context = side_context(s);
    snprintf(url, sizeof(url), "%s?huge=1", s->bare);
    enum duct_err err = duct_dial(&pipe, url, &options);
    if (err == DUCT_OK) {
        s->pipe = pipe;
        put(s, 60000, 1);
    } else {
        CHECK(s, err == DUCT_ENOSPACE || err == DUCT_ENOTSUP);
        CHECK(s, says("hugepages") && says("huge=1"));
        side_dial(s, s->bare);
        put(s, 60000, 1);
    }
    await(s);
}

static void accepts_huge(struct side *s)
{
    struct duct_event event;
    size_t count;

    side_listen(s, s->bare);
    tell(s);
    enum duct_err err = duct_accept(s->listener, &s->pipe, SOON);
    OK(s, err);
    take(s, 60000, 1);
    GIVES(s, duct_context_wait(s->context, &event, 1, &count, 0), DUCT_OK);
    tell(s);
}

CONFORMS(huge_pages, CAN_SHARE, BARE, "", accepts_huge, huge_pages)

/* ---- Many ---- */

enum { MANY = 1000 };

static void raise_limit(struct side *s)
{
    struct rlimit limit;

    CHECK(s, getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 16 * MANY && s->here)
        cr_skip_test("no room for so many descriptors");
    limit.rlim_cur = limit.rlim_max;
    CHECK(s, setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

static void many_here(struct side *s)
{
    static struct duct_pipe *pipes[MANY];
    struct duct_event events[64];
    size_t count, received = 0;

    raise_limit(s);
    unsigned before = descriptors_open();
    side_listen(s, s->url);
    tell(s);
    for (int i = 0; i < MANY; i++) {
        OK(s, duct_accept(s->listener, &pipes[i], SOON));
        OK(s, duct_pipe_watch(pipes[i], DUCT_WATCH_READABLE));
    }
    /* Each says its word, in any order; every one is heard. */
    while (received < MANY) {
        OK(s, duct_context_wait(s->context, events, 64, &count, SOON));
        for (size_t i = 0; i < count; i++) {
            if (events[i].type != DUCT_EVENT_READABLE)
                continue;
            s->pipe = events[i].pipe;
            take(s, 8, 9);
            put(s, 8, 10);
            received++;
        }
    }
    await(s);
    duct_listener_close(s->listener);
    for (int i = 0; i < MANY; i++)
        duct_pipe_close(pipes[i]);
    duct_context_close(s->context);
    s->context = NULL;
    if (s->process)
        CHECK(s, descriptors_open() == before);
    tell(s);
}

static void many_there(struct side *s)
{
    static struct duct_pipe *pipes[MANY];

    raise_limit(s);
    await(s);
    for (int i = 0; i < MANY; i++) {
        side_dial(s, s->url);
        pipes[i] = s->pipe;
    }
    for (int i = 0; i < MANY; i++) {
        s->pipe = pipes[(i * 7 + 3) % MANY];
        put(s, 8, 9);
    }
    for (int i = 0; i < MANY; i++) {
        s->pipe = pipes[i];
        take(s, 8, 10);
    }
    tell(s);
    await(s);
}

CONFORMS(many, 0, BARE, "slots=8&max_msg=64&pool=16k", many_here, many_there)

/* Opening and closing leaves nothing: descriptors, maps, files. */
static unsigned long map_lines(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long lines = 0;

    for (int c; (c = getc(maps)) != EOF;)
        lines += c == '\n';
    fclose(maps);
    return lines;
}

static void comes_and_goes_here(struct side *s)
{
    unsigned fds = 0;
    unsigned long maps = 0;

    duct_pipe_close(s->pipe);
    for (int i = 0; i < 60; i++) {
        tell(s);
        side_accept(s);
        take(s, 3000, 1);
        put(s, 100, 2);
        await(s);
        duct_pipe_close(s->pipe);
        if (i == 10) {
            fds = descriptors_open();
            maps = map_lines();
        }
    }
    if (s->process) {
        CHECK(s, descriptors_open() <= fds + 2);
        /* Debug builds keep a page of each handle. */
        CHECK(s, map_lines() <= maps + 60);
    }
    tell(s);
}

static void comes_and_goes_there(struct side *s)
{
    duct_pipe_close(s->pipe);
    for (int i = 0; i < 60; i++) {
        await(s);
        side_dial(s, s->url);
        put(s, 3000, 1);
        take(s, 100, 2);
        tell(s);
        duct_pipe_close(s->pipe);
    }
    await(s);
}

CONFORMS(comes_and_goes, 0, 0, "", comes_and_goes_here, comes_and_goes_there)

/* ---- fork() ---- */

static const char *closed_in_child(struct side *s)
{
    struct duct_msg msg;
    struct duct_event event;
    size_t count, size;
    char byte;
    int fd;

    if (duct_recv(s->pipe, &msg, SOON) != DUCT_ECLOSED ||
        duct_write(s->pipe, "x", 1, 0, SOON) != DUCT_ECLOSED ||
        duct_read(s->pipe, &byte, 1, &size, NULL, SOON) != DUCT_ECLOSED ||
        duct_msg_loan(s->pipe, 1, &msg) != DUCT_ECLOSED || duct_flush(s->pipe) != DUCT_ECLOSED)
        return "a pipe's";
    if (duct_pipe_fd(s->pipe, &fd) != DUCT_ECLOSED || duct_pipe_watch(s->pipe, 0) != DUCT_ECLOSED)
        return "a pipe's descriptor";
    if (duct_context_wait(s->context, &event, 1, &count, 0) != DUCT_ECLOSED)
        return "the context's";
    duct_pipe_close(s->pipe);
    duct_context_close(s->context);
    return NULL;
}

static void forks(struct side *s)
{
    struct duct_msg held;
    int status, go[2];
    pid_t child;

    OK(s, duct_recv(s->pipe, &held, SOON));
    CHECK(s, pipe(go) == 0);
    for (int round = 0; round < 2; round++) {
        child = fork();
        CHECK(s, child >= 0);
        if (child == 0) {
            const char *wrong = closed_in_child(s);
            if (wrong != NULL)
                fprintf(stderr, "in the child: a call of %s does not give CLOSED\n", wrong);
            _exit(wrong != NULL);
        }
        CHECK(s, waitpid(child, &status, 0) == child);
        CHECK(s, WIFEXITED(status) && WEXITSTATUS(status) == 0);
        /* The parent goes on. */
        put(s, 100, 1);
        put(s, 3000, 2);
        take(s, 8, 3);
    }
    CHECK(s, filled(held.data, held.size, 0));
    OK(s, duct_msg_release(&held));
    tell(s);
    /* A child that lives on does not keep the pipe open when its parent dies. */
    if (s->process) {
        await(s);
        child = fork();
        CHECK(s, child >= 0);
        if (child == 0) {
            char byte;
            close(go[1]);
            close(s->sync);
            alarm(30);
            _exit(read(go[0], &byte, 1) != 0);
        }
        tell(s);
        await(s);
    }
}

static void sees_the_parent(struct side *s)
{
    put(s, 3000, 0);
    for (int round = 0; round < 2; round++) {
        take(s, 100, 1);
        take(s, 3000, 2);
        put(s, 8, 3);
    }
    await(s);
}

static void kills_the_parent(struct side *s)
{
    struct duct_msg msg;

    sees_the_parent(s);
    tell(s);
    await(s);
    CHECK(s, kill(s->other_pid, SIGKILL) == 0);
    GIVES(s, duct_recv(s->pipe, &msg, SOON), DUCT_EPEER);
    siginfo_t info;
    CHECK(s, waitid(P_PID, (id_t)s->other_pid, &info, WEXITED | WNOWAIT) == 0);
    s->other_pid = 0;
}

CONFORMS_PROCESS(forks, 0, 0, "", kills_the_parent, forks)
