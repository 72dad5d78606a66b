/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/crash/victim.h"

/*
 * auto:// has two legs while it is dialled. One side dies at point k of that life, for every k, as the dialer and as
 * the listener, on both backends. The other side gets one pipe or none, never two and never half a one, is told so
 * within its time, and has no descriptor and no mapping more than before; the next honest dial is served.
 */

/* At any port: the kernel takes an io_uring down some time after its process, and a port with it. */
#define ANYWHERE "auto://crash@127.0.0.1:0?wait=park"

/* A wait that gets here has hung. */
#define HUNG (20 * DUCT_SECOND)
#define TURN (5 * DUCT_MILLISECOND)

struct scene {
    enum duct_io io;
    char url[128];
    int tell; /* the victim that listens says so */
    struct crash_plan *plan;
    struct duct_context *context; /* the survivor's */
    unsigned fds, maps;           /* its, before */
};

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition))                                                                    \
            crash_fail("%s:%d: %s (%s)", __FILE__, __LINE__, #condition, duct_err_detail()); \
    } while (0)

static struct duct_context *context_of(enum duct_io io)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_context *context;

    with.io = io;
    CHECK(duct_context_open(&context, &with) == DUCT_OK);
    return context;
}

/* A listener's path is its address, as seen from here. */
static void dial_at(struct scene *scene, const char *path)
{
    snprintf(scene->url, sizeof(scene->url), "auto://%.100s?wait=park", path);
}

/* ---- Victims ---- */

static int dials(void *user)
{
    const struct scene *scene = user;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;

    options.context = context_of(scene->io);
    options.dial_ns = HUNG;
    CHECK(duct_dial(&pipe, scene->url, &options) == DUCT_OK);
    CHECK(duct_write(pipe, "said", 5, 0, HUNG) == DUCT_OK);
    duct_pipe_close(pipe);
    duct_context_close(options.context);
    return 0;
}

static int listens(void *user)
{
    const struct scene *scene = user;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    struct duct_pipe *pipe;

    options.context = context_of(scene->io);
    CHECK(duct_listen(&listener, ANYWHERE, &options) == DUCT_OK);
    const char *path = duct_listener_path(listener);
    CHECK(write(scene->tell, path, strlen(path)) == (ssize_t)strlen(path));
    CHECK(duct_accept(listener, &pipe, HUNG) == DUCT_OK);
    CHECK(duct_write(pipe, "said", 5, 0, HUNG) == DUCT_OK);
    duct_pipe_close(pipe);
    duct_context_close(options.context);
    return 0;
}

/* ---- What is left ---- */

static bool as_before(const struct scene *scene)
{
    return crash_own_fds() == scene->fds && crash_own_shared_maps() == scene->maps;
}

/* A pipe whose other end said one word, or died. */
static bool heard(struct duct_pipe *pipe)
{
    char word[8];
    size_t size;
    enum duct_err err = duct_read(pipe, word, sizeof(word), &size, NULL, HUNG);

    CHECK(err == DUCT_OK || err == DUCT_EPEER || err == DUCT_ECLOSED);
    CHECK(err != DUCT_OK || (size == 5 && strcmp(word, "said") == 0));
    duct_pipe_close(pipe);
    return err == DUCT_OK;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = {.si_pid = 0};

    CHECK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0);
    return info.si_pid == pid;
}

static void settle(const struct scene *scene)
{
    struct duct_event event;
    size_t count;

    for (unsigned i = 0; !as_before(scene); i++) {
        if (i > HUNG / TURN)
            crash_fail("%u descriptors and %u mappings, before %u and %u; the victim died at %s",
                       crash_own_fds(), crash_own_shared_maps(), scene->fds, scene->maps,
                       scene->plan->last);
        enum duct_err err = duct_context_wait(scene->context, &event, 1, &count, TURN);
        CHECK(err == DUCT_OK || err == DUCT_ETIMEOUT);
    }
}

/* ---- One death each ---- */

static bool dialer_dies(struct scene *scene, struct duct_listener *listener)
{
    unsigned pipes = 0, words = 0;
    struct duct_pipe *pipe;

    pid_t pid = crash_spawn(dials, scene, scene->plan);
    for (bool over = false; !over;) {
        over = has_ended(pid);
        enum duct_err err = duct_accept(listener, &pipe, TURN);
        CHECK(err == DUCT_OK || err == DUCT_ETIMEOUT);
        if (err != DUCT_OK)
            continue;
        pipes++;
        words += heard(pipe);
    }
    int status = crash_wait(pid);
    /* What it had said before it died may come after it. */
    for (unsigned i = 0; i < 3; i++) {
        if (duct_accept(listener, &pipe, TURN) == DUCT_OK) {
            pipes++;
            words += heard(pipe);
        }
    }
    CHECK(status <= 0 && pipes <= 1 && words <= pipes);
    CHECK(status == -1 || words == 1);
    settle(scene);
    return status == -1;
}

static bool listener_dies(struct scene *scene)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;
    bool word = false;
    char path[sizeof(scene->url)] = "";
    int says[2];

    CHECK(pipe2(says, 0) == 0);
    scene->tell = says[1];
    pid_t pid = crash_spawn(listens, scene, scene->plan);
    close(says[1]);
    if (read(says[0], path, sizeof(path) - 1) > 0) {
        dial_at(scene, path);
        options.context = scene->context;
        options.dial_ns = HUNG;
        enum duct_err err = duct_dial(&pipe, scene->url, &options);
        CHECK(err != DUCT_ETIMEOUT);
        word = err == DUCT_OK && heard(pipe);
    }
    close(says[0]);
    int status = crash_wait(pid);
    CHECK(status == -1 || (status == 0 && word));
    settle(scene);
    return status == -1;
}

/* ---- All deaths ---- */

static bool die(struct scene *scene, struct duct_listener *listener, uint64_t k, const char *name)
{
    memset(scene->plan, 0, sizeof(*scene->plan));
    scene->plan->die_at = k;
    if (name != NULL)
        snprintf(scene->plan->die_name, sizeof(scene->plan->die_name), "%s", name);
    bool died = listener != NULL ? dialer_dies(scene, listener) : listener_dies(scene);
    if (died)
        crash_tried(scene->plan);
    return died;
}

static unsigned all_deaths(struct scene *scene, struct duct_listener *listener)
{
    unsigned deaths = 0;

    /* What is opened once is open afterwards. */
    scene->fds = crash_own_fds();
    scene->maps = crash_own_shared_maps();
    CHECK(!die(scene, listener, 0, NULL));
    while (die(scene, listener, deaths + 1, NULL))
        deaths++;
    for (unsigned i = 0; crash_point_name(i) != NULL; i++)
        deaths += die(scene, listener, 0, crash_point_name(i));
    CHECK(!die(scene, listener, 0, NULL));
    return deaths;
}

static void play(enum duct_io io, bool dialer)
{
    struct scene scene = {.io = io, .plan = crash_plan_new()};
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener = NULL;

    CHECK(scene.plan != NULL);
    scene.context = options.context = context_of(io);
    if (dialer) {
        CHECK(duct_listen(&listener, ANYWHERE, &options) == DUCT_OK);
        dial_at(&scene, duct_listener_path(listener));
    }
    unsigned deaths = all_deaths(&scene, listener);
    printf("%s, %s: %u deaths\n", dialer ? "dialer" : "listener", duct_context_io(scene.context),
           deaths);
    duct_context_close(scene.context);
    crash_plan_free(scene.plan);
}

int main(void)
{
    static const enum duct_io backends[] = {DUCT_IO_AUTO, DUCT_IO_EPOLL};

    crash_world_open();
    for (unsigned i = 0; i < 2; i++) {
        play(backends[i], true);
        play(backends[i], false);
    }
    return crash_untried("prove.") + crash_untried("choose.") > 0;
}
