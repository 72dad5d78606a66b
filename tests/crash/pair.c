/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * usage: crash_pair [shm | uds | tcp]
 *
 * Rows 3 and 5 to 10 of the crash matrix, and row 23 for streams: one side of a pipe dies at point k of a whole life (listen or
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

/* Doorbells are the sleeper's choice: the survivor's sets what the victim rings. Streams have none: they are done after
 * the first BACKENDS. */
enum { BACKENDS = 4 };
static const struct setting settings[] = {
    {"dialer, io_uring", false, DUCT_IO_URING, "wait=park", "wait=park"},
    {"listener, io_uring", true, DUCT_IO_URING, "wait=park", "wait=park"},
    {"dialer, epoll", false, DUCT_IO_EPOLL, "wait=park", "wait=park"},
    {"listener, epoll", true, DUCT_IO_EPOLL, "wait=park&slots=16", "wait=park&slots=16"},
    {"dialer, eventfd", false, DUCT_IO_EPOLL, "wait=park&bell=eventfd", "wait=park&bell=eventfd"},
    {"listener, eventfd", true, DUCT_IO_URING, "wait=park&bell=eventfd", "wait=park&bell=eventfd"},
};

static int live_and_die(void *user)
{
    const struct life *life = user;
    struct living living;
    enum duct_err err = life_open(life, &living);

    if (err == DUCT_OK)
        err = talk_victim(living.pipe, &life->scene->talk);
    if (err != DUCT_OK)
        return life_failed(err);
    life_close(&living);
    return 0;
}

/* One life that ends at point k, or at the first point of a name; false if it met none. */
static bool one_life(struct life *life, uint64_t k, const char *name, unsigned *seen)
{
    struct scene *scene = life->scene;

    scene_begin(scene, k);
    scene->plan.die_at = k;
    if (name != NULL)
        memcpy(scene->plan.die_name, name, sizeof(scene->plan.die_name));
    bool died = life_round(life, live_and_die, life, seen);
    if (died)
        crash_tried(&scene->plan);
    return died;
}

static unsigned all_deaths(const char *scheme, const struct setting *setting, struct scene *scene)
{
    const struct survivor_config config = {.io = setting->io,
                                           .scheme = scheme,
                                           .query = setting->survivor,
                                           .listens = !setting->victim_listens};
    struct survivor survivor;
    struct life life = {.listens = setting->victim_listens,
                        .io = setting->io,
                        .scheme = scheme,
                        .query = setting->victim,
                        .survivor = &survivor,
                        .scene = scene};
    unsigned seen[128] = {0};
    unsigned deaths = 0;

    survivor_start(&survivor, scene, &config);
    while (one_life(&life, deaths + 1, NULL, seen))
        deaths++;
    /* Who sleeps when, and so the numbers of what follows, differs from life to life; names do not. */
    for (unsigned i = 0; crash_point_name(i) != NULL; i++)
        deaths += one_life(&life, 0, crash_point_name(i), seen);
    /* And one that lives, which finds everything free. */
    if (one_life(&life, 0, NULL, seen))
        crash_fail("%s: a victim died without a reason", setting->name);
    survivor_stop(&survivor);
    printf(
        "%s, %s: %u deaths; before there was a pipe %u, before a word %u, in talk %u, closing %u\n",
        scheme, setting->name, deaths, seen[SEEN_NOTHING], seen[SEEN_PIPE], seen[SEEN_WORDS],
        seen[SEEN_CLOSE]);
    if (crash_world_names() != 0)
        crash_fail("%u names remain", crash_world_names());
    return deaths;
}

int main(int argc, char **argv)
{
    static const char *const shared[] = {
        "segment.", "view.",  "meet.", "link.", "grow.",    "loan.",  "send.",   "recv.",
        "return.",  "space.", "park.", "bell.", "eventfd.", "close.", "accept.", "names.connected"};
    const char *scheme = argc > 1 ? argv[1] : "shm";
    bool is_shared = strcmp(scheme, "shm") == 0;
    struct scene *scene = scene_new();
    unsigned deaths = 0, untried = 0;

    crash_world_open();
    for (size_t i = 0; i < (is_shared ? sizeof(settings) / sizeof(settings[0]) : BACKENDS); i++)
        deaths += all_deaths(scheme, &settings[i], scene);
    printf("%u deaths\n", deaths);
    scene_free(scene);
    if (!is_shared)
        return crash_untried("stream.") > 0;
    for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
        untried += crash_untried(shared[i]);
    return untried > 0;
}
