/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/suite.h"

/*
 * auto:// that comes back (reconnect=1): each session chooses anew. The listener is one that knows only TCP, then one
 * that shares memory, then the first again; each dies without a word.
 */

static void serves_at(struct side *s, const char *url)
{
    int status;
    pid_t pid = fork();

    CHECK(s, pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        side_listen(s, url);
        tell(s);
        side_accept(s);
        duct_listener_close(s->listener);
        await(s);
        _exit(0);
    }
    CHECK(s, waitpid(pid, &status, 0) == pid);
    CHECK(s, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void comes_and_goes(struct side *s)
{
    char tcp[256];

    snprintf(tcp, sizeof(tcp), "tcp://%.200s", strchr(s->bare, '@') + 1);
    serves_at(s, tcp);
    await(s);
    serves_at(s, s->bare);
    await(s);
    serves_at(s, tcp);
}

static void until_connected(struct side *s)
{
    struct duct_event event;
    size_t count;

    do {
        OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
    } while (count == 0 || event.type != DUCT_EVENT_STATE || event.state != DUCT_STATE_CONNECTED);
}

/* The session there is: its scheme and why, and how often either was taken so far. */
static void is_now(struct side *s, const char *scheme, const char *why, uint64_t shared,
                   uint64_t streams)
{
    struct duct_pipe_info info = info_of(s, s->pipe);
    struct duct_pipe_stats stats = stats_of(s, s->pipe);

    CHECK(s, strcmp(info.scheme, scheme) == 0);
    CHECK(s, strstr(info.choice, why) != NULL);
    CHECK(s, stats.chose_shared == shared && stats.chose_stream == streams);
    /* Dies; the next one may begin. */
    tell(s);
}

static void chooses_each_time(struct side *s)
{
    char url[300];

    await(s);
    snprintf(url, sizeof(url), "%s?reconnect=1&pause=2ms&pause_max=20ms", s->bare);
    side_dial(s, url);
    until_connected(s);
    is_now(s, "tcp", "does not offer", 0, 1);
    tell(s);
    await(s);
    until_connected(s);
    is_now(s, "shm", "both ways", 1, 1);
    tell(s);
    await(s);
    until_connected(s);
    is_now(s, "tcp", "does not offer", 1, 2);
}

CONFORMS_SCHEME(auto, process, true, chooses_each_time, 0, BARE, "", chooses_each_time,
                comes_and_goes)
