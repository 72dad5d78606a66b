/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/conformance/suite.h"

/* Listening, accepting, dialling; and what goes wrong before there is a pipe. */

static struct duct_options options_of(struct side *s, int64_t dial_ns)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = side_context(s);
    options.dial_ns = dial_ns;
    return options;
}

static void meets_here(struct side *s)
{
    static const char *const io_names[] = {
        [DUCT_IO_URING] = "uring", [DUCT_IO_SQPOLL] = "sqpoll", [DUCT_IO_EPOLL] = "epoll"};
    struct duct_pipe_info info = info_of(s, s->pipe);
    char dir[128];

    snprintf(dir, sizeof(dir), "%s/duct/conformance", getenv("XDG_RUNTIME_DIR"));
    CHECK(s, strcmp(duct_listener_url(s->listener), s->bare) == 0);
    CHECK(s, strcmp(duct_listener_path(s->listener), dir) == 0);
    CHECK(s, duct_listener_context(s->listener) == s->context);
    CHECK(s, duct_listener_refused(s->listener) == 0);
    CHECK(s, strcmp(duct_context_io(s->context), io_names[s->io]) == 0);
    CHECK(s, info.size == sizeof(info) && info.state == DUCT_STATE_CONNECTED);
    CHECK(s, info.end == DUCT_OK && info.session_id != 0 && info.peer_uid == getuid());
    CHECK(s, info.peer_pid == (s->process ? s->other_pid : getpid()));
    CHECK(s, strcmp(info.scheme, s->scheme->name) == 0);
    CHECK(s, info.max_send == 1000 && info.max_recv == 3000);
    CHECK(s, info.slots_send == 64 && info.slots_recv == 32);
    put(s, 8, info.session_id);
    GIVES(s, duct_accept(s->listener, &s->pipe, 0), DUCT_EAGAIN);
    GIVES(s, duct_accept(s->listener, &s->pipe, A_BIT), DUCT_ETIMEOUT);
    GIVES(s, duct_accept(s->listener, &s->pipe, -1), DUCT_EINVAL);
    GIVES(s, duct_accept(s->listener, NULL, 0), DUCT_EINVAL);
    await(s);
    /* What is open goes on without its listener. */
    duct_listener_close(s->listener);
    put(s, 9, 1);
    await(s);
}

static void listens_1000(struct side *s)
{
    char url[300];

    snprintf(url, sizeof(url), "%s?max_msg=1000&slots=64", s->bare);
    side_listen(s, url);
    tell(s);
    side_accept(s);
    meets_here(s);
}

static void dials_3000(struct side *s)
{
    char url[300];
    struct duct_msg msg;

    await(s);
    snprintf(url, sizeof(url), "%s?max_msg=3000&slots=32", s->bare);
    side_dial(s, url);
    struct duct_pipe_info info = info_of(s, s->pipe);
    CHECK(s, info.max_send == 3000 && info.max_recv == 1000 && info.peer_shared_bytes > 0);
    OK(s, duct_recv(s->pipe, &msg, SOON));
    CHECK(s, msg.tag == info.session_id);
    OK(s, duct_msg_release(&msg));
    tell(s);
    take(s, 9, 1);
    tell(s);
}

/* Each side's options hold for what it sends. */
CONFORMS(meets, CAN_SHARE | CAN_PATH, BARE, "", listens_1000, dials_3000)

static void nobody_listens(struct side *s)
{
    struct duct_options options = options_of(s, DUCT_FOREVER);
    struct duct_pipe *pipe = NULL;
    char path[128];

    /* At once, however long the dial may take. */
    GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_ENOTFOUND);
    snprintf(path, sizeof(path), "%s/duct/conformance", getenv("XDG_RUNTIME_DIR"));
    CHECK(s, says(path) && pipe == NULL);
    options.dial_ns = A_BIT;
    options.wait_for_listener = DUCT_YES;
    GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_ETIMEOUT);
    CHECK(s, says(s->bare) && pipe == NULL);
}

CONFORMS(nobody_listens, CAN_PATH, BARE, "", nobody_listens, there_nothing)

/* The listener is there, but its program does not run its loop. */
static void nobody_answers(struct side *s)
{
    struct duct_options options = options_of(s, A_BIT);
    struct duct_context_options io = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *other;
    struct duct_pipe *pipe = NULL;

    side_listen(s, s->bare);
    io.io = s->io;
    OK(s, duct_context_open(&other, &io));
    options.context = other;
    GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_ETIMEOUT);
    CHECK(s, pipe == NULL && says("timeout"));
    /* Nor do the halves of a dial that were left behind get in the way of the next. */
    for (int i = 0; i < 10; i++)
        GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_ETIMEOUT);
    GIVES(s, duct_accept(s->listener, &pipe, A_BIT), DUCT_ETIMEOUT);
    duct_context_close(other);
}

CONFORMS(nobody_answers, 0, BARE, "", nobody_answers, there_nothing)

static void listens_late(struct side *s)
{
    await(s);
    side_listen(s, s->bare);
    side_accept(s);
    take(s, 5, 5);
}

static void dials_early(struct side *s)
{
    char url[300];

    tell(s);
    snprintf(url, sizeof(url), "%s?wait_listener=1&timeout=5s", s->bare);
    side_dial(s, url);
    put(s, 5, 5);
}

CONFORMS(wait_listener, 0, BARE, "", listens_late, dials_early)

static void address_in_use(struct side *s)
{
    struct duct_options options = options_of(s, SOON);
    struct duct_listener *second = NULL;
    char pid[32];

    snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    side_listen(s, s->bare);
    for (int i = 0; i < 3; i++) {
        GIVES(s, duct_listen(&second, s->bare, &options), DUCT_EINUSE);
        CHECK(s, second == NULL && says(pid));
    }
    tell(s);
    await(s);
    /* Free as soon as it is closed. */
    for (int i = 0; i < 3; i++) {
        duct_listener_close(s->listener);
        side_listen(s, s->bare);
    }
    struct duct_pipe *pipe;
    GIVES(s, duct_accept(s->listener, &pipe, 0), DUCT_EAGAIN);
}

static void also_listens(struct side *s)
{
    struct duct_options options = options_of(s, SOON);
    struct duct_listener *second = NULL;
    char pid[32];

    await(s);
    snprintf(pid, sizeof(pid), "process %d", (int)(s->process ? getppid() : getpid()));
    GIVES(s, duct_listen(&second, s->bare, &options), DUCT_EINUSE);
    CHECK(s, second == NULL && says(pid));
    tell(s);
}

CONFORMS(address_in_use, CAN_PATH, BARE, "", address_in_use, also_listens)

/* The owner was killed: its socket and lock file are still there, and are taken over. */
static void takes_over(struct side *s)
{
    struct stat status;
    char path[128];

    await(s);
    CHECK(s, kill(s->other_pid, SIGKILL) == 0);
    siginfo_t info;
    CHECK(s, waitid(P_PID, (id_t)s->other_pid, &info, WEXITED | WNOWAIT) == 0);
    s->other_pid = 0;
    snprintf(path, sizeof(path), "%s/duct/conformance", getenv("XDG_RUNTIME_DIR"));
    CHECK(s, stat(path, &status) == 0 && S_ISSOCK(status.st_mode));
    struct duct_options options = options_of(s, SOON);
    GIVES(s, duct_dial(&s->pipe, s->bare, &options), DUCT_ENOTFOUND);
    side_listen(s, s->bare);
}

static void listens_until_killed(struct side *s)
{
    side_listen(s, s->bare);
    tell(s);
    await(s);
}

CONFORMS_PROCESS(takes_over, CAN_PATH, BARE, "", takes_over, listens_until_killed)

static void wrong_addresses(struct side *s)
{
    static const struct {
        const char *url;
        const char *words;
    } wrong[] = {
        {"", ""},
        {"conformance", ""},
        {"shm:/x", ""},
        {"shm://", "position 6"},
        {"shm://a b", "position 7"},
        {"shm://a/b", "position 7"},
        {"shm://.hidden", "position 6"},
        {"gopher://x", "shm"},
        {"shm://x?slots=3", "power of two"},
        {"shm://x?slots=1", "slots"},
        {"shm://x?slots=131072", "slots"},
        {"shm://x?nonsense=1", "nonsense"},
        {"shm://x?slots", "expected =value"},
        {"shm://x?slots=8&slots=8", "twice"},
        {"shm://x?max_msg=2g", "max_msg"},
        {"shm://x?max_msg=64k&pool=32k", "pool"},
        {"shm://x?wait=sometimes", "spin-park"},
        {"shm://x?spin=5parsecs", "spin"},
        {"shm://x?untrusted=2", "0 or 1"},
    };
    struct duct_options options = options_of(s, SOON);
    struct duct_listener *listener = NULL;
    struct duct_pipe *pipe = NULL;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        GIVES(s, duct_dial(&pipe, wrong[i].url, &options), DUCT_EINVAL);
        CHECK(s, says(wrong[i].words) && strlen(duct_err_detail()) > 10);
        GIVES(s, duct_listen(&listener, wrong[i].url, &options), DUCT_EINVAL);
        CHECK(s, says(wrong[i].words));
    }
    CHECK(s, pipe == NULL && listener == NULL);
    GIVES(s, duct_dial(NULL, s->bare, &options), DUCT_EINVAL);
    GIVES(s, duct_dial(&pipe, NULL, &options), DUCT_EINVAL);
    GIVES(s, duct_listen(NULL, s->bare, &options), DUCT_EINVAL);
    GIVES(s, duct_listen(&listener, NULL, &options), DUCT_EINVAL);
    options.size = 17;
    GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_EINVAL);
    duct_listener_close(NULL);
    duct_pipe_close(NULL);
    duct_context_close(NULL);
}

CONFORMS(wrong_addresses, CAN_PATH, BARE, "", wrong_addresses, there_nothing)

/* ---- Peers that are turned away ---- */

static void allows_others(struct side *s)
{
    struct duct_pipe *pipe;
    char url[300];

    snprintf(url, sizeof(url), "%s?allow=4242,4243", s->bare);
    side_listen(s, url);
    tell(s);
    GIVES(s, duct_accept(s->listener, &pipe, 40 * A_BIT), DUCT_ETIMEOUT);
    CHECK(s, duct_listener_refused(s->listener) == 1);
    tell(s);
}

static void is_not_allowed(struct side *s)
{
    struct duct_options options = options_of(s, SOON);
    struct duct_pipe *pipe = NULL;

    await(s);
    GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_EDENIED);
    CHECK(s, says("allow") && pipe == NULL);
    await(s);
}

CONFORMS(not_allowed, CAN_PATH, BARE, "", allows_others, is_not_allowed)

/* Either side can tell what it got, and what was chosen for it, or that nothing was. */
static void tells_the_choice(struct side *s)
{
    bool chosen = s->scheme == &scheme_auto || s->scheme == &scheme_apart;
    struct duct_pipe_info info = info_of(s, s->pipe);
    struct duct_pipe_stats stats = stats_of(s, s->pipe);

    CHECK(s, strcmp(info.scheme, s->scheme->name) == 0);
    CHECK(s, chosen == (info.choice[0] != '\0'));
    CHECK(s, stats.chose_shared == (s->scheme == &scheme_auto));
    CHECK(s, stats.chose_stream == (s->scheme == &scheme_apart));
    if (chosen && !s->here)
        CHECK(s, strstr(info.choice, s->scheme == &scheme_auto ? "nonce" : "nobody listens"));
    /* One dial, one pipe. */
    struct duct_pipe *second;
    if (s->here)
        GIVES(s, duct_accept(s->listener, &second, 0), DUCT_EAGAIN);
    tell(s);
    await(s);
}

CONFORMS(choice, 0, 0, "", tells_the_choice, tells_the_choice)

static void small_limit(struct side *s)
{
    struct duct_pipe *pipe;
    char url[300];

    snprintf(url, sizeof(url), "%s?peer_bytes=64k", s->bare);
    side_listen(s, url);
    tell(s);
    GIVES(s, duct_accept(s->listener, &pipe, 40 * A_BIT), DUCT_ETIMEOUT);
    tell(s);
}

static void offers_too_much(struct side *s)
{
    struct duct_options options = options_of(s, SOON);
    struct duct_pipe *pipe = NULL;

    await(s);
    GIVES(s, duct_dial(&pipe, s->bare, &options), DUCT_EREFUSED);
    CHECK(s, says("limit of 65536") && pipe == NULL);
    await(s);
}

CONFORMS(peer_bytes, CAN_SHARE | CAN_ONE_WAY, BARE, "", small_limit, offers_too_much)

/* Of five dialers, two find room to wait for accept; listening ends, and so do they. */
static void short_backlog(struct side *s)
{
    struct duct_event event;
    size_t count;
    char url[300];

    snprintf(url, sizeof(url), "%s?backlog=2", s->bare);
    side_listen(s, url);
    tell(s);
    while (duct_listener_refused(s->listener) < 3) {
        enum duct_err err = duct_context_wait(s->context, &event, 1, &count, A_BIT);
        CHECK(s, err == DUCT_OK || err == DUCT_ETIMEOUT);
    }
    side_accept(s);
    duct_listener_close(s->listener);
    put(s, 4, 4);
    await(s);
}

static void dials_five(struct side *s)
{
    struct duct_options options = options_of(s, SOON);
    struct duct_pipe *pipe;
    unsigned good = 0, refused = 0, received = 0;

    await(s);
    for (int i = 0; i < 5; i++) {
        enum duct_err err = duct_dial(&pipe, s->bare, &options);
        good += err == DUCT_OK;
        refused += err != DUCT_OK;
    }
    /* A pipe may be open at this end before the listener finds that it has no room for it. */
    CHECK(s, good + refused == 5 && good >= 2);
    struct duct_event event;
    size_t count;
    unsigned ends = 0;
    while (received + ends < good) {
        OK(s, duct_context_wait(s->context, &event, 1, &count, SOON));
        ends += count == 1 && (event.type == DUCT_EVENT_CLOSED || event.type == DUCT_EVENT_ERROR);
        if (count == 1 && event.type == DUCT_EVENT_READABLE) {
            s->pipe = event.pipe;
            take(s, 4, 4);
            received++;
        }
    }
    CHECK(s, received == 1);
    tell(s);
}

CONFORMS(short_backlog, CAN_SHARE, BARE, "", short_backlog, dials_five)
