/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/crash/survivor.h"
#include "tests/crash/victim.h"

/*
 * Rows 3 and 5 to 10 of the crash matrix: one side of a pipe dies at point k of a whole life (listen or
 * dial, handshake, every way to send and receive, growth of its pool, close), for every k, on either side,
 * beside a survivor that checks what must be true then (survivor.h).
 */

struct setting {
    const char *name;
    bool victim_listens;
    enum duct_io io;
    const char *victim;   /* options of its address */
    const char *survivor; /* likewise */
};

/* Doorbells are the sleeper's choice: the survivor's sets what the victim rings. */
static const struct setting settings[] = {
    {"dialer, io_uring", false, DUCT_IO_URING, "wait=park", "wait=park"},
    {"listener, io_uring", true, DUCT_IO_URING, "wait=park", "wait=park"},
    {"dialer, epoll", false, DUCT_IO_EPOLL, "wait=park", "wait=park"},
    {"listener, epoll", true, DUCT_IO_EPOLL, "wait=park&slots=16", "wait=park&slots=16"},
    {"dialer, eventfd", false, DUCT_IO_EPOLL, "wait=park&bell=eventfd", "wait=park&bell=eventfd"},
    {"listener, eventfd", true, DUCT_IO_URING, "wait=park&bell=eventfd",
     "wait=park&bell=eventfd&untrusted=0"},
};

struct victim {
    const struct setting *setting;
    struct survivor *survivor;
    struct scene *scene;
};

static enum duct_err meet(struct victim *victim, struct duct_context *context,
                          struct duct_listener **listener, struct duct_pipe **pipe)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err;
    char url[200];

    options.context = context;
    if (!victim->setting->victim_listens) {
        snprintf(url, sizeof(url), "shm://%s?%s&%s", SURVIVOR_NAME, TALK_QUERY,
                 victim->setting->victim);
        return duct_dial(pipe, url, &options);
    }
    snprintf(url, sizeof(url), "shm://%s?%s&%s", VICTIM_NAME, TALK_QUERY, victim->setting->victim);
    if ((err = duct_listen(listener, url, &options)) != DUCT_OK)
        return err;
    survivor_tell(victim->survivor, 'l');
    return duct_accept(*listener, pipe, TALK_HUNG);
}

static int live_and_die(void *user)
{
    struct victim *victim = user;
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_listener *listener = NULL;
    struct duct_context *context;
    struct duct_pipe *pipe;
    enum duct_err err;

    with.io = victim->setting->io;
    if ((err = duct_context_open(&context, &with)) == DUCT_OK &&
        (err = meet(victim, context, &listener, &pipe)) == DUCT_OK)
        err = talk_victim(pipe, &victim->scene->talk);
    if (err != DUCT_OK) {
        fprintf(stderr, "the victim failed by itself: %s: %s\n", duct_err_name(err),
                duct_err_detail());
        return 1;
    }
    duct_listener_close(listener);
    duct_context_close(context);
    return 0;
}

/* The life of one victim that dies at point k, or at the first point of a name; false if it met none. */
static bool one_life(struct victim *victim, uint64_t k, const char *name, unsigned *seen)
{
    struct scene *scene = victim->scene;

    memset(scene, 0, sizeof(*scene));
    scene->talk.salt = k;
    scene->plan.die_at = k;
    if (name != NULL)
        memcpy(scene->plan.die_name, name, sizeof(scene->plan.die_name));
    survivor_round(victim->survivor);
    int status = crash_wait(crash_spawn(live_and_die, victim, &scene->plan));
    if (status > 0)
        crash_fail("%s, point %llu (%s): the victim failed", victim->setting->name,
                   (unsigned long long)k, scene->plan.last);
    survivor_tell(victim->survivor, 'x');
    seen[survivor_result(victim->survivor)]++;
    if (status == -1)
        crash_tried(&scene->plan);
    return status == -1;
}

static unsigned all_deaths(const struct setting *setting, struct scene *scene)
{
    struct survivor_config config = {
        .io = setting->io, .query = setting->survivor, .listens = !setting->victim_listens};
    struct survivor survivor;
    struct victim victim = {.setting = setting, .survivor = &survivor, .scene = scene};
    unsigned seen[128] = {0};
    unsigned deaths = 0;

    survivor_start(&survivor, scene, &config);
    while (one_life(&victim, deaths + 1, NULL, seen))
        deaths++;
    /* Who sleeps when, and so the numbers of what follows, differs from life to life; names do not. */
    for (unsigned i = 0; crash_point_name(i) != NULL; i++)
        deaths += one_life(&victim, 0, crash_point_name(i), seen);
    /* And one that lives, which finds everything free. */
    if (one_life(&victim, 0, NULL, seen))
        crash_fail("%s: a victim died without a reason", setting->name);
    survivor_stop(&survivor);
    printf("%s: %u deaths; before there was a pipe %u, before a word %u, in talk %u, closing %u\n",
           setting->name, deaths, seen[SEEN_NOTHING], seen[SEEN_PIPE], seen[SEEN_WORDS],
           seen[SEEN_CLOSE]);
    if (crash_world_names() != 0)
        crash_fail("%u names remain", crash_world_names());
    return deaths;
}

int main(void)
{
    struct scene *scene =
        mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned deaths = 0;

    crash_world_open();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        deaths += all_deaths(&settings[i], scene);
    printf("%u deaths\n", deaths);
    munmap(scene, sizeof(*scene));
    static const char *const all[] = {
        "segment.", "view.",  "meet.", "link.", "grow.",    "loan.",  "send.",   "recv.",
        "return.",  "space.", "park.", "bell.", "eventfd.", "close.", "accept.", "names.connected"};
    unsigned untried = 0;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        untried += crash_untried(all[i]);
    return untried > 0;
}
