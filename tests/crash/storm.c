/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/crash/life.h"
#include "tests/crash/victim.h"

/*
 * usage: storm [KILLS [SEED [shm | uds | tcp]]]
 *
 * Random kills at full speed. A victim has a timer of the kernel's that kills it at any instruction
 * between its first and some milliseconds later, while it and the survivor send each other numbered,
 * checksummed messages as fast as they can. The survivor checks after each (survivor.h); the first fault
 * ends the storm and says which kill it was.
 */

/* Opening takes about a millisecond: half of the kills fall in it and a little after, half in the talk. */
#define SHORT_NS 2000000u
#define LONG_NS  6000000u

/* A survivor and its bystander meet so many victims: some two seconds of them. */
#define BATCH 500u

static const char *const ways[] = {
    "wait=park",
    "wait=spin-park&slots=16",
    "wait=park&bell=eventfd",
    "wait=spin-park&fence=sleeper",
    "wait=park&bell=socket&slots=4",
    "wait=yield&slots=64&fence=sender",
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (state >> 11) % below;
}

struct doomed {
    struct life life;
    int64_t ns;
};

/* The kernel kills this process ns from now, whatever it does then. */
static void doom(int64_t ns)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
    struct itimerspec when = {.it_value.tv_nsec = (long)ns};
    timer_t timer;

    if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
        timer_settime(timer, 0, &when, NULL) != 0)
        crash_fail("no timer to die by");
}

static int live_fast(void *user)
{
    const struct doomed *doomed = user;
    struct living living;

    doom(doomed->ns);
    enum duct_err err = life_open(&doomed->life, &living);
    if (err == DUCT_OK)
        err = talk_fast(living.pipe, &doomed->life.scene->talk);
    return life_failed(err);
}

struct counts {
    unsigned seen[128];
    uint64_t kills;
    uint64_t heard;
};

static void batch(const char *scheme, struct scene *scene, unsigned kills, struct counts *counts)
{
    bool victim_listens = draw(2) != 0;
    const struct survivor_config config = {.io = draw(2) ? DUCT_IO_URING : DUCT_IO_EPOLL,
                                           .scheme = scheme,
                                           .query = ways[draw(WAYS)],
                                           .listens = !victim_listens,
                                           .may_lose = strcmp(scheme, "tcp") == 0};
    struct survivor survivor;
    struct doomed doomed = {
        .life = {
            .listens = victim_listens, .scheme = scheme, .survivor = &survivor, .scene = scene}};

    survivor_start(&survivor, scene, &config);
    for (unsigned i = 0; i < kills; i++) {
        scene_begin(scene, counts->kills);
        doomed.life.io = draw(2) ? DUCT_IO_URING : DUCT_IO_EPOLL;
        doomed.life.query = ways[draw(WAYS)];
        doomed.ns = 1 + (int64_t)draw(draw(2) ? SHORT_NS : LONG_NS);
        if (!life_round(&doomed.life, live_fast, &doomed, counts->seen))
            crash_fail("kill %llu: the victim lives", (unsigned long long)counts->kills);
        counts->kills++;
        counts->heard += scene->talk.heard;
    }
    survivor_stop(&survivor);
}

int main(int argc, char **argv)
{
    uint64_t kills = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
    const char *scheme = argc > 3 ? argv[3] : "shm";
    struct scene *scene = scene_new();
    struct counts counts = {.kills = 0};

    state = (seed + 1) * 0x9e3779b97f4a7c15ull;
    crash_world_open();
    printf("storm of %llu kills over %s, seed %llu\n", (unsigned long long)kills, scheme,
           (unsigned long long)seed);
    while (counts.kills < kills)
        batch(scheme, scene,
              kills - counts.kills < BATCH ? (unsigned)(kills - counts.kills) : BATCH, &counts);
    /* The last victim to listen leaves its socket and lock, for the next listener or the janitor. */
    if (crash_world_names() > 2)
        crash_fail("%u names remain", crash_world_names());
    printf("%llu kills: %u before there was a pipe, %u before a word, %u in talk; %llu messages "
           "heard; "
           "0 leaked segments, descriptors, sockets or blocks, 0 torn or lost messages, 0 hangs\n",
           (unsigned long long)counts.kills, counts.seen[SEEN_NOTHING], counts.seen[SEEN_PIPE],
           counts.seen[SEEN_WORDS], (unsigned long long)counts.heard);
    scene_free(scene);
    return 0;
}
