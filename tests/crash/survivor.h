/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_SURVIVOR_H
#define TESTS_CRASH_SURVIVOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <duct/duct.h>

#include "tests/crash/point.h"
#include "tests/crash/talk.h"

/*
 * The process that goes on. It keeps an honest pipe to a bystander, meets one victim after another, talks
 * to each until that dies, and then checks what the matrix requires:
 *
 *   - it hears of the death by PEER, or by CLOSED where the victim had said so, and waits for nothing else;
 *   - before that, every message whose send had returned, whole and in order, and at most one more;
 *   - what it holds of the dead peer stays readable until it lets go;
 *   - descriptors, mappings, names and its own pool are as before; the bystander's pipe works.
 */
struct scene {
    struct talk talk;
    struct crash_plan plan;
    char where[120]; /* the address of whoever listens, without its scheme, once it does */
};

/* A round begins: nothing was said and nobody has died. Where the survivor listens stays. */
void scene_begin(struct scene *scene, uint64_t salt);

/* Addresses of either side over any scheme: one that listens under a name, then says where; one that dials it. */
void scene_listen_url(char *url, size_t capacity, const char *scheme, const char *name);
void scene_listens(struct scene *scene, const struct duct_listener *listener);
void scene_dial_url(const struct scene *scene, char *url, size_t capacity, const char *scheme,
                    const char *name);

struct survivor_config {
    enum duct_io io;
    const char *scheme; /* "shm", "uds" or "tcp" */
    const char *query;  /* of the survivor's address: how it waits and is woken */
    bool listens;       /* it listens and the victims dial, or the other way round */
    bool
        may_lose; /* over TCP a death with unread messages resets: what the peer has not got is lost */
};

struct survivor {
    pid_t pid;
    int orders; /* one byte a round */
    int alarm;  /* one byte when the victim is dead, or (dialling) listens */
    int result; /* one byte back a round: what was seen */
};

/* What a round showed of the victim. */
enum { SEEN_NOTHING = 'n', SEEN_PIPE = 'p', SEEN_WORDS = 'w', SEEN_CLOSE = 'c' };

/* Forks the survivor, and its bystander. scene is shared with the victims. */
void survivor_start(struct survivor *survivor, struct scene *scene,
                    const struct survivor_config *config);

/* Begins a round: the survivor is ready to meet. Then the victim may start. */
void survivor_round(struct survivor *survivor);

/* Tells it that the victim is dead ('x'), or, from the victim itself, that it listens ('l'). */
void survivor_tell(struct survivor *survivor, char what);

/* What it saw; fails if the survivor did. */
int survivor_result(struct survivor *survivor);

/* Ends it; fails if it leaves anything. */
void survivor_stop(struct survivor *survivor);

#define SURVIVOR_NAME "survivor"
#define VICTIM_NAME   "victim"

#endif
