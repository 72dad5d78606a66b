/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/conformance/generations.h"

#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- There: a generation of the listener ---- */

void generation(struct side *s, script *run)
{
    int status;
    pid_t pid = fork();

    CHECK(s, pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        run(s);
        _exit(0);
    }
    CHECK(s, waitpid(pid, &status, 0) == pid);
    CHECK(s, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

void serve(struct side *s)
{
    side_listen(s, s->bare);
    tell(s);
    side_accept(s);
    /* From now on nobody listens: not even the backlog of a socket that a dying process still has. */
    duct_listener_close(s->listener);
}

/* ---- Here: what the events say ---- */

void until(struct side *s, enum duct_state state, struct history *history)
{
    struct duct_event event;
    size_t count;

    for (;;) {
        OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
        if (count == 0 || event.type != DUCT_EVENT_STATE)
            continue;
        if (history != NULL && history->count < 64)
            history->event[history->count++] = event;
        if (event.state == state)
            return;
    }
}

void dial_with(struct side *s, const char *query)
{
    char url[512];

    await(s);
    snprintf(url, sizeof(url), "%s%s", s->bare, query);
    side_dial(s, url);
    until(s, DUCT_STATE_CONNECTED, NULL);
}

void lose(struct side *s)
{
    tell(s);
    until(s, DUCT_STATE_DISCONNECTED, NULL);
}
