/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/crash/inject.h"
#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * A victim is killed as it enters its n-th system call, from opening its context to closing it, for every n,
 * on either side, over the scheme given (shm), beside the survivor of survivor.h. Where crash points stand between steps that we thought
 * of, this stands between all that the kernel can tell apart.
 */

struct setting {
    const char *name;
    bool victim_listens;
    enum duct_io io;
    const char *options;
};

static const struct setting settings[] = {
    {"dialer, io_uring", false, DUCT_IO_URING, "wait=park"},
    {"listener, io_uring", true, DUCT_IO_URING, "wait=park"},
    {"dialer, epoll", false, DUCT_IO_EPOLL, "wait=park&bell=eventfd"},
    {"listener, epoll", true, DUCT_IO_EPOLL, "wait=park"},
};

struct traced_life {
    struct life life;
    struct inject *inject;
};

static int live(void *user)
{
    struct traced_life *traced = user;
    struct living living;

    atomic_store_explicit(&traced->inject->on, 1, memory_order_relaxed);
    enum duct_err err = life_open(&traced->life, &living);
    if (err == DUCT_OK)
        err = talk_victim(living.pipe, &traced->life.scene->talk);
    if (err != DUCT_OK)
        return life_failed(err);
    life_close(&living);
    atomic_store_explicit(&traced->inject->on, 0, memory_order_relaxed);
    return 0;
}

/* False if the life had fewer calls than n. */
static bool dies_at(struct traced_life *traced, uint64_t n, unsigned *seen)
{
    struct scene *scene = traced->life.scene;

    scene_begin(scene, n);
    memset(traced->inject, 0, sizeof(*traced->inject));
    traced->inject->kill = true;
    traced->inject->at = n;
    survivor_round(traced->life.survivor);
    int status = inject_run(live, traced, traced->inject);
    if (status > 0)
        crash_fail("call %llu (%s): the victim failed", (unsigned long long)n,
                   traced->inject->what);
    snprintf(scene->plan.last, sizeof(scene->plan.last), "%.31s", traced->inject->what);
    survivor_tell(traced->life.survivor, 'x');
    seen[survivor_result(traced->life.survivor)]++;
    return status == -1;
}

static unsigned all_calls(const char *scheme, const struct setting *setting, struct scene *scene,
                          struct inject *inject)
{
    const struct survivor_config config = {.io = setting->io,
                                           .scheme = scheme,
                                           .query = setting->options,
                                           .listens = !setting->victim_listens};
    struct survivor survivor;
    struct traced_life traced = {.life = {.listens = setting->victim_listens,
                                          .io = setting->io,
                                          .scheme = scheme,
                                          .query = setting->options,
                                          .survivor = &survivor,
                                          .scene = scene},
                                 .inject = inject};
    unsigned seen[128] = {0};
    unsigned deaths = 0;

    survivor_start(&survivor, scene, &config);
    while (dies_at(&traced, deaths + 1, seen))
        deaths++;
    survivor_stop(&survivor);
    printf("%s, %s: killed at each of %u calls; before there was a pipe %u, before a word %u, in "
           "talk %u, "
           "closing %u\n",
           scheme, setting->name, deaths, seen[SEEN_NOTHING], seen[SEEN_PIPE], seen[SEEN_WORDS],
           seen[SEEN_CLOSE]);
    if (deaths < 50 || crash_world_names() != 0)
        crash_fail("%u calls, %u names remain", deaths, crash_world_names());
    return deaths;
}

int main(int argc, char **argv)
{
    const char *scheme = argc > 1 ? argv[1] : "shm";
    struct scene *scene = scene_new();
    struct inject *inject =
        mmap(NULL, sizeof(*inject), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned deaths = 0;

    if (inject == MAP_FAILED)
        crash_fail("no memory to share");
    crash_world_open();
    for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        deaths += all_calls(scheme, &settings[i], scene, inject);
    printf("%u deaths\n", deaths);
    munmap(inject, sizeof(*inject));
    scene_free(scene);
    return 0;
}
