/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/survivor.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/crash/victim.h"
#include "transports/shm_pipe.h"

/* ---- Addresses ---- */

void scene_begin(struct scene *scene, uint64_t salt)
{
    memset(&scene->talk, 0, sizeof(scene->talk));
    memset(&scene->plan, 0, sizeof(scene->plan));
    scene->talk.salt = salt;
}

void scene_listen_url(char *url, size_t capacity, const char *scheme, const char *name)
{
    if (strcmp(scheme, "tcp") == 0)
        snprintf(url, capacity, "tcp://127.0.0.1:0"); /* any port: nobody else's */
    else if (strcmp(scheme, "uds") == 0)
        snprintf(url, capacity, "uds://%.60s/duct/%s", getenv("XDG_RUNTIME_DIR"), name);
    else
        snprintf(url, capacity, "%s://%s", scheme, name);
}

void scene_listens(struct scene *scene, const struct duct_listener *listener)
{
    snprintf(scene->where, sizeof(scene->where), "%s", duct_listener_path(listener));
}

void scene_dial_url(const struct scene *scene, char *url, size_t capacity, const char *scheme,
                    const char *name)
{
    if (strcmp(scheme, "tcp") == 0)
        snprintf(url, capacity, "tcp://%s", scene->where);
    else
        scene_listen_url(url, capacity, scheme, name);
}

/* ---- The bystander: an honest peer that answers every message ---- */

static int bystander(void *user)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    unsigned char bytes[64];
    size_t size;

    (void)user;
    if (duct_listen(&listener, "shm://bystander?handshake=60s", NULL) != DUCT_OK ||
        duct_accept(listener, &pipe, TALK_HUNG) != DUCT_OK)
        return 1;
    while (duct_read(pipe, bytes, sizeof(bytes), &size, NULL, DUCT_FOREVER) == DUCT_OK) {
        if (duct_write(pipe, bytes, size, 0, TALK_HUNG) != DUCT_OK)
            return 1;
    }
    duct_pipe_close(pipe);
    duct_listener_close(listener);
    return 0;
}

/* ---- The survivor ---- */

/* Rounds after which what is allocated once has been, and what the heap may vary by from then on: less than a buffer. */
enum { HEAP_SETTLED = 8, HEAP_SLACK = 48 << 10 };

struct self {
    const struct survivor_config *config;
    struct scene *scene;
    struct duct_context *context;
    struct duct_listener *listener;
    struct duct_pipe *honest;
    uint64_t rounds;
    int alarm;
    bool expects_death; /* dialling: its 'x' is still to come */
    bool streams;
    size_t heap; /* bytes in use after the first rounds */
    pthread_t watcher;
    sem_t told;
    _Atomic uint32_t dead; /* set by the watcher: the victim of this round is */
};

#define CHECK(condition)                                                                     \
    do {                                                                                     \
        if (!(condition))                                                                    \
            crash_fail("round %llu, after %s: %s (line %d; last: %s)",                       \
                       (unsigned long long)self->rounds, self->scene->plan.last, #condition, \
                       __LINE__, duct_err_detail());                                         \
    } while (0)

/* A victim that died before it came would be waited for: its death ends the wait. */
static void *watch(void *user)
{
    struct self *self = user;
    char what;

    while (read(self->alarm, &what, 1) == 1) {
        atomic_store_explicit(&self->dead, 1, memory_order_seq_cst);
        duct_context_cancel(self->context);
        sem_post(&self->told);
    }
    return NULL;
}

static bool is_dead(struct self *self)
{
    return atomic_load_explicit(&self->dead, memory_order_seq_cst) != 0;
}

/* One exchange over the pipe that has nothing to do with all this. */
static void exchange(struct self *self)
{
    uint64_t out = self->rounds, in = 0;
    size_t size;
    enum duct_err err;

    CHECK(duct_write(self->honest, &out, sizeof(out), 0, 0) == DUCT_OK);
    do {
        err = duct_read(self->honest, &in, sizeof(in), &size, NULL, TALK_HUNG);
    } while (err == DUCT_ECANCELED);
    CHECK(err == DUCT_OK && size == sizeof(in) && in == out);
}

/* What the peer gave back before its end is no lie; and every block of this side's pool is somewhere, once. */
static bool pool_is_whole(struct duct_pipe *pipe)
{
    struct di_sender *sender = ((struct shm_pipe *)pipe)->sender;
    const struct di_pool *pool = &sender->pool;
    uint32_t counted[3] = {0}, listed = 0;

    if (di_sender_collect(sender) != DUCT_OK)
        return false;
    for (uint32_t i = 0; i < pool->block_count; i++)
        counted[pool->blocks[i].state]++;
    for (unsigned c = 0; c < pool->geometry->header.class_count; c++) {
        for (uint32_t at = pool->top[c]; at != DI_BLOCK_NONE && listed <= pool->block_count;
             at = pool->blocks[at].next)
            listed++;
    }
    return counted[DI_BLOCK_FREE] == listed && counted[DI_BLOCK_LOANED] == pool->loaned &&
           counted[DI_BLOCK_SENT] == pool->sent && pool->loaned == 0;
}

static enum duct_err meet(struct self *self, struct duct_pipe **pipe)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    enum duct_err err;
    char url[200], what;

    options.context = self->context;
    if (self->listener == NULL) {
        /* Either that it listens, or that it died before. */
        CHECK(read(self->alarm, &what, 1) == 1);
        /* The one byte that is left says that it is dead. */
        self->expects_death = what == 'l';
        if (what == 'x' && strcmp(self->config->scheme, "tcp") == 0)
            return DUCT_ENOTFOUND; /* no port was told */
        scene_dial_url(self->scene, url, sizeof(url), self->config->scheme, VICTIM_NAME);
        size_t used = strlen(url);
        snprintf(url + used, sizeof(url) - used, "?timeout=20s&handshake=60s&%s",
                 self->config->query);
        err = duct_dial(pipe, url, &options);
        CHECK(err == DUCT_OK || err == DUCT_EPEER || err == DUCT_ENOTFOUND);
        return err;
    }
    do {
        err = duct_accept(self->listener, pipe, is_dead(self) ? 0 : TALK_HUNG);
    } while (err == DUCT_ECANCELED);
    CHECK(err == DUCT_OK || (err == DUCT_EAGAIN && is_dead(self)));
    return err;
}

/* True if it went; one that is full has a peer that is busy talking, or dead. */
static bool answer(struct self *self, struct duct_pipe *pipe, uint64_t seq)
{
    unsigned char bytes[TALK_MSG_MAX];
    size_t size = talk_size(seq + 5);

    talk_fill(bytes, size, ~self->scene->talk.salt, seq);
    enum duct_err err = duct_write(pipe, bytes, size, 0, 0);
    CHECK(err == DUCT_OK || err == DUCT_EPEER || err == DUCT_ECLOSED || err == DUCT_EAGAIN);
    return err == DUCT_OK;
}

/* Hears the victim out; returns how the pipe ended. One message is kept: *held. */
static enum duct_err hear_out(struct self *self, struct duct_pipe *pipe, struct duct_msg *held)
{
    uint64_t salt = self->scene->talk.salt, heard = 0, answered = 0;
    struct duct_msg msg;
    enum duct_err err;

    for (;;) {
        err = duct_recv(pipe, &msg, TALK_HUNG);
        if (err == DUCT_ECANCELED)
            continue;
        if (err != DUCT_OK)
            break;
        CHECK(talk_good(msg.data, msg.size, salt, heard));
        /* Number 7 is the first in a block. */
        if (heard == 7)
            *held = msg;
        else
            CHECK(duct_msg_release(&msg) == DUCT_OK);
        heard++;
        answered += answer(self, pipe, answered);
    }
    CHECK(err == DUCT_EPEER || err == DUCT_ECLOSED);
    /* It says so again, whatever is asked. */
    CHECK(duct_recv(pipe, &msg, TALK_HUNG) == err);
    CHECK(duct_recv(pipe, &msg, 0) == err);
    CHECK(duct_write(pipe, "late", 4, 0, TALK_HUNG) == err);
    CHECK(duct_msg_loan(pipe, 9000, &msg) == err);
    /* Relaxed: the victim's end is known, and with it all it wrote. */
    uint64_t sent = atomic_load_explicit(&self->scene->talk.sent, memory_order_relaxed);
    uint64_t begun = atomic_load_explicit(&self->scene->talk.begun, memory_order_relaxed);
    CHECK((heard >= sent || self->config->may_lose) && heard <= begun);
    self->scene->talk.heard = heard;
    CHECK(err == DUCT_EPEER ||
          atomic_load_explicit(&self->scene->talk.closing, memory_order_relaxed));
    return err;
}

/* A victim that died in the handshake is noticed by the loop, and by nothing but its socket's end: the
 * deadline of a handshake is longer than this waits. */
static void forget_half_open(struct self *self, unsigned fds)
{
    struct duct_event event;
    struct duct_pipe *pipe;
    size_t count;

    for (int64_t i = 0; crash_own_fds() != fds && i < TALK_HUNG / DUCT_MILLISECOND; i++) {
        enum duct_err err = duct_context_wait(self->context, &event, 1, &count, DUCT_MILLISECOND);
        CHECK(err == DUCT_OK || err == DUCT_ETIMEOUT || err == DUCT_ECANCELED);
        CHECK(count == 0 || event.type == DUCT_EVENT_STATE || event.type == DUCT_EVENT_ACCEPTED);
        if (count > 0 && event.type == DUCT_EVENT_ACCEPTED) {
            /* The whole handshake lay in the socket of one that was dead already. */
            CHECK(duct_accept(self->listener, &pipe, 0) == DUCT_OK);
            duct_pipe_close(pipe);
        }
    }
}

/* Mappings of shared memory, less the pages of doorbells that the honest pipe makes when it first sleeps. */
static unsigned shared_maps(struct self *self)
{
    const struct link *link = ((struct shm_pipe *)self->honest)->link;

    return crash_own_shared_maps() - (link->own_bells.page != NULL) -
           (link->peer_bells.page != NULL);
}

/* What each death costs in memory would be more than this after the many there are. Where a sanitizer has a heap of its
 * own this says nothing, and that looks for leaks at the end. */
static void check_heap(struct self *self)
{
    size_t now = mallinfo2().uordblks;

    if (self->rounds == HEAP_SETTLED)
        self->heap = now;
    CHECK(self->rounds < HEAP_SETTLED || now <= self->heap + HEAP_SLACK);
}

static int meet_victim(struct self *self)
{
    unsigned fds = crash_own_fds(), maps = shared_maps(self);
    struct duct_msg held = {0};
    struct duct_pipe *pipe;
    int seen = SEEN_NOTHING;
    char what;

    if (meet(self, &pipe) == DUCT_OK) {
        enum duct_err end = hear_out(self, pipe, &held);
        CHECK(self->streams || pool_is_whole(pipe));
        duct_pipe_close(pipe);
        seen = end == DUCT_ECLOSED ? SEEN_CLOSE : held.owner != NULL ? SEEN_WORDS : SEEN_PIPE;
        if (held.owner != NULL) {
            CHECK(talk_good(held.data, held.size, self->scene->talk.salt, 7));
            CHECK(duct_msg_release(&held) == DUCT_OK);
        }
    }
    /* Not before it is known to be dead, so that the news is not taken for the next one's. */
    if (self->listener != NULL)
        CHECK(sem_wait(&self->told) == 0);
    else if (self->expects_death)
        CHECK(read(self->alarm, &what, 1) == 1);
    self->expects_death = false;
    exchange(self);
    forget_half_open(self, fds);
    CHECK(crash_own_fds() == fds);
    CHECK(shared_maps(self) == maps);
    check_heap(self);
    return seen;
}

static void open_all(struct self *self)
{
    struct duct_context_options with = DUCT_CONTEXT_OPTIONS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    char url[200];

    self->streams = strcmp(self->config->scheme, "shm") != 0;
    with.io = self->config->io;
    CHECK(duct_context_open(&self->context, &with) == DUCT_OK);
    options.context = self->context;
    options.wait_for_listener = DUCT_YES;
    CHECK(duct_dial(&self->honest, "shm://bystander?timeout=20s", &options) == DUCT_OK);
    if (!self->config->listens)
        return;
    scene_listen_url(url, sizeof(url), self->config->scheme, SURVIVOR_NAME);
    size_t used = strlen(url);
    snprintf(url + used, sizeof(url) - used, "?handshake=60s&%s", self->config->query);
    CHECK(duct_listen(&self->listener, url, &options) == DUCT_OK);
    scene_listens(self->scene, self->listener);
    CHECK(sem_init(&self->told, 0, 0) == 0);
    CHECK(pthread_create(&self->watcher, NULL, watch, self) == 0);
}

static int survive(struct scene *scene, const struct survivor_config *config, int orders, int alarm,
                   int result)
{
    struct self all = {.config = config, .scene = scene, .alarm = alarm}, *self = &all;
    char order, seen;

    open_all(self);
    exchange(self);
    while (read(orders, &order, 1) == 1) {
        atomic_store_explicit(&self->dead, 0, memory_order_seq_cst);
        self->rounds++;
        CHECK(write(result, "r", 1) == 1);
        seen = (char)meet_victim(self);
        CHECK(write(result, &seen, 1) == 1);
    }
    duct_pipe_close(self->honest);
    shutdown(alarm, SHUT_RD);
    if (self->listener != NULL) {
        pthread_join(self->watcher, NULL);
        duct_listener_close(self->listener);
    }
    duct_context_close(self->context);
    CHECK(crash_own_shared_maps() == 0);
    return 0;
}

struct start {
    struct survivor *survivor;
    struct scene *scene;
    const struct survivor_config *config;
    int ends[3];
};

static int survivor_main(void *user)
{
    struct start *start = user;

    close(start->survivor->orders);
    close(start->survivor->alarm);
    close(start->survivor->result);
    pid_t honest = crash_spawn(bystander, NULL, NULL);
    int status =
        survive(start->scene, start->config, start->ends[0], start->ends[1], start->ends[2]);
    return status != 0 ? status : crash_wait(honest);
}

void survivor_start(struct survivor *survivor, struct scene *scene,
                    const struct survivor_config *config)
{
    struct start start = {.survivor = survivor, .scene = scene, .config = config};
    int pair[2];
    int *theirs[3] = {&survivor->orders, &survivor->alarm, &survivor->result};

    for (int i = 0; i < 3; i++) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            crash_fail("socketpair: %s", strerror(errno));
        *theirs[i] = pair[0];
        start.ends[i] = pair[1];
    }
    survivor->pid = crash_spawn(survivor_main, &start, NULL);
    for (int i = 0; i < 3; i++)
        close(start.ends[i]);
}

static char result_of(struct survivor *survivor)
{
    char seen;

    if (read(survivor->result, &seen, 1) != 1)
        crash_fail("the survivor did not survive: %d", crash_wait(survivor->pid));
    return seen;
}

void survivor_round(struct survivor *survivor)
{
    if (write(survivor->orders, "o", 1) != 1 || result_of(survivor) != 'r')
        crash_fail("the survivor takes no orders");
}

void survivor_tell(struct survivor *survivor, char what)
{
    if (send(survivor->alarm, &what, 1, MSG_NOSIGNAL) != 1)
        crash_fail("the survivor cannot be told: %s", strerror(errno));
}

int survivor_result(struct survivor *survivor)
{
    return result_of(survivor);
}

void survivor_stop(struct survivor *survivor)
{
    close(survivor->orders);
    if (crash_wait(survivor->pid) != 0)
        crash_fail("the survivor failed");
    close(survivor->alarm);
    close(survivor->result);
}
