/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/life.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/crash/victim.h"

enum duct_err life_open(const struct life *life, struct living *living)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err;
    char url[320];

    *living = (struct living){.listener = NULL};
    with.io = life->io;
    if ((err = duct_context_open(&living->context, &with)) != DUCT_OK)
        return err;
    options.context = living->context;
    if (life->listens)
        scene_listen_url(url, sizeof(url), life->scheme, VICTIM_NAME);
    else
        scene_dial_url(life->scene, url, sizeof(url), life->scheme, SURVIVOR_NAME);
    size_t used = strlen(url);
    snprintf(url + used, sizeof(url) - used, "?timeout=20s&handshake=60s&%s&%s", TALK_QUERY,
             life->query);
    if (!life->listens)
        return duct_dial(&living->pipe, url, &options);
    if ((err = duct_listen(&living->listener, url, &options)) != DUCT_OK)
        return err;
    scene_listens(life->scene, living->listener);
    survivor_tell(life->survivor, 'l');
    return duct_accept(living->listener, &living->pipe, TALK_HUNG);
}

void life_close(struct living *living)
{
    duct_listener_close(living->listener);
    duct_context_close(living->context);
}

int life_failed(enum duct_err err)
{
    fprintf(stderr, "the victim failed by itself: %s: %s\n", duct_err_name(err), duct_err_detail());
    return 1;
}

bool life_round(const struct life *life, int (*role)(void *user), void *user, unsigned *seen)
{
    const struct crash_plan *plan = &life->scene->plan;

    survivor_round(life->survivor);
    int status = crash_wait(crash_spawn(role, user, &life->scene->plan));
    if (status > 0)
        crash_fail("point %llu (%s): the victim failed", (unsigned long long)plan->passed,
                   plan->last);
    survivor_tell(life->survivor, 'x');
    seen[survivor_result(life->survivor)]++;
    return status == -1;
}

struct scene *scene_new(void)
{
    struct scene *scene =
        mmap(NULL, sizeof(*scene), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (scene == MAP_FAILED)
        crash_fail("no memory to share");
    return scene;
}

void scene_free(struct scene *scene)
{
    munmap(scene, sizeof(*scene));
}
