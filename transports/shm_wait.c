/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lib/base/error.h"
#include "lib/base/fork.h"
#include "lib/base/log.h"
#include "transports/shm_pipe.h"

/*
 * How a pipe sleeps: which doorbell, what is looked at before, what the loop watches meanwhile, and
 * how the pipe learns of its end.
 */

static struct shm_pipe *shm_of(struct duct_pipe *pipe)
{
    return (struct shm_pipe *)pipe;
}

/* Which half's eyes this handle reads the control socket with. */
static enum link_half half_of(const struct shm_pipe *shm)
{
    return shm->receiver != NULL ? LINK_RECEIVER : LINK_SENDER;
}

static void submit(struct shm_pipe *shm, enum shm_op which)
{
    shm->in_flight++;
    di_io_submit(shm->pipe.context->io, &shm->ops[which].op);
}

/* Makes the exported descriptor readable: there is something after all. */
static void signal_exported(struct shm_pipe *shm)
{
    const uint64_t one = 1;

    if (shm->exported >= 0 && write(shm->link->own_eventfd[LINK_RECEIVER], &one, sizeof(one)) < 0)
        return; /* full means readable */
}

/* ---- The end ---- */

/* Reads the control socket. True if there is more than one turn may read. */
static bool read_news(struct shm_pipe *shm)
{
    bool more = false;

    if (shm->pipe.end != DUCT_OK)
        return false;
    enum duct_err ended = link_read_news(shm->link, half_of(shm), &more);
    if (ended != DUCT_OK) {
        di_pipe_end(&shm->pipe, ended);
        signal_exported(shm);
    }
    return more;
}

void shm_pipe_look(struct duct_pipe *pipe)
{
    read_news(shm_of(pipe));
}

/* Turns of LINK_NEWS_MAX messages: more than a socket's queue holds by default (10 datagrams, or 212 KiB). */
#define PEER_LAST_TURNS 256u

/* The peer's process has died. Its files are closed a little later, or, if a child of its inherited
 * the socket, not at all: this is the end either way, after what the socket still holds. */
static void peer_died(struct shm_pipe *shm)
{
    /* All that the socket holds, which is bounded by its buffer: a close, or segments of what was sent. */
    for (unsigned turn = 0; turn < PEER_LAST_TURNS && read_news(shm); turn++)
        continue;
    if (shm->pipe.end == DUCT_OK)
        di_pipe_end(&shm->pipe, DUCT_EPEER);
}

/* ---- Doorbells ---- */

/* The doorbell this half sleeps on, with the option, the backend and the trust there is. */
enum di_doorbell shm_pipe_doorbell(struct shm_pipe *shm, enum link_half half)
{
    /* A descriptor that somebody else polls is rung as a descriptor. */
    if (half == LINK_RECEIVER && shm->exported >= 0)
        return DI_DOORBELL_EVENTFD;
    switch (shm->bell) {
    case DUCT_BELL_SOCKET:
        return DI_DOORBELL_SOCKET;
    case DUCT_BELL_EVENTFD:
        return link_eventfd(shm->link, half) >= 0 ? DI_DOORBELL_EVENTFD : DI_DOORBELL_SOCKET;
    case DUCT_BELL_AUTO:
    case DUCT_BELL_FUTEX:
        break;
    }
    return shm->pipe.context->io->can & DI_IO_CAN_WORD ? DI_DOORBELL_FUTEX : DI_DOORBELL_SOCKET;
}

/* As shm_pipe_doorbell(), to be slept on: the peer is offered the words for it. */
static enum di_doorbell use_doorbell(struct shm_pipe *shm, enum link_half half)
{
    enum di_doorbell doorbell = shm_pipe_doorbell(shm, half);

    if (doorbell == DI_DOORBELL_FUTEX)
        link_use_bells(shm->link, half);
    return doorbell;
}

/* The eventfd's count is not wanted any more. RWF_NOWAIT: the peer shares the description and may
 * have cleared O_NONBLOCK. */
static void drain(struct shm_pipe *shm, enum link_half half)
{
    uint64_t count;
    struct iovec piece = {.iov_base = &count, .iov_len = sizeof(count)};

    if (!shm->rung[half] && !(half == LINK_RECEIVER && shm->exported >= 0))
        return;
    shm->rung[half] = false;
    if (preadv2(shm->link->own_eventfd[half], &piece, 1, -1, RWF_NOWAIT) < 0)
        return; /* empty already, or a kernel that cannot: the next poll tells */
}

enum duct_err shm_pipe_fd(struct duct_pipe *pipe, int *fd)
{
    struct shm_pipe *shm = shm_of(pipe);

    if (shm->exported < 0) {
        int bell = link_eventfd(shm->link, LINK_RECEIVER);
        if (bell < 0)
            return di_fail(DUCT_ENOTSUP,
                           "a pipe's own descriptor needs an eventfd, which is shared only "
                           "with a trusted peer; use duct_context_fd()");
        int fds[3] = {bell, shm->link->socket, shm->link->pidfd};
        int made = epoll_create1(EPOLL_CLOEXEC);
        for (unsigned i = 0; made >= 0 && i < 3; i++) {
            struct epoll_event event = {.events = EPOLLIN};
            if (fds[i] >= 0 && epoll_ctl(made, EPOLL_CTL_ADD, fds[i], &event) != 0) {
                close(made);
                made = -1;
            }
        }
        if (made < 0)
            return di_fail_os(errno, "duct_pipe_fd: no descriptor for the pipe");
        di_fork_close_in_child(made);
        shm->exported = made;
        pipe->exported = true;
        signal_exported(shm);
    }
    *fd = shm->exported;
    return DUCT_OK;
}

/* Has the loop wait for the doorbell of that half, whose word was `bell` before we looked. */
static void watch(struct shm_pipe *shm, enum link_half half, enum di_doorbell doorbell,
                  uint32_t bell)
{
    enum shm_op word = half == LINK_RECEIVER ? OP_DATA : OP_SPACE;
    enum shm_op fd = half == LINK_RECEIVER ? OP_DATA_FD : OP_SPACE_FD;
    struct di_io_op *op = &shm->ops[word].op;

    /* One in flight waits for the same value, or is about to complete as the word has left it: either way it stands. */
    if (doorbell == DI_DOORBELL_FUTEX && !op->in_flight) {
        const struct di_sleeper *sleeper =
            half == LINK_RECEIVER ? &shm->receiver->sleeper : &shm->sender->sleeper;
        op->kind = DI_IO_WORD;
        op->word = di_peer_address(sleeper->bell);
        op->expected = bell;
        submit(shm, word);
    }
    op = &shm->ops[fd].op;
    if (doorbell == DI_DOORBELL_EVENTFD && !op->in_flight) {
        op->kind = DI_IO_POLL;
        op->fd = shm->link->own_eventfd[half];
        op->events = POLLIN;
        submit(shm, fd);
    }
    /* The socket is always watched. */
}

/* ---- Readiness ---- */

static bool receiver_ready(struct shm_pipe *shm)
{
    return shm->receiver != NULL && di_receiver_ready(shm->receiver);
}

unsigned shm_pipe_ready(struct duct_pipe *pipe, unsigned want)
{
    struct shm_pipe *shm = shm_of(pipe);
    enum duct_err err = DUCT_OK;
    unsigned ready = 0;

    if ((want & DI_READY_RECV) && receiver_ready(shm))
        ready |= DI_READY_RECV;
    if ((want & DI_READY_SEND) && shm->sender != NULL && di_sender_ready(shm->sender, &err) &&
        (shm->sender->need_size == 0 || di_sender_has_need(shm->sender, &err)))
        ready |= DI_READY_SEND;
    if ((want & DI_READY_NEED) && shm->sender != NULL && di_sender_has_need(shm->sender, &err))
        ready |= DI_READY_NEED;
    if ((want & DI_READY_DRAINED) && shm_pipe_drained(pipe))
        ready |= DI_READY_DRAINED;
    if (err != DUCT_OK)
        shm_pipe_corrupt(shm, err);
    return ready;
}

bool shm_pipe_drained(struct duct_pipe *pipe)
{
    struct di_ring_out *ring = &shm_of(pipe)->sender->ring;
    bool plausible;

    di_ring_refresh(ring, 0, &plausible);
    return !plausible || ring->limit - ring->tail == ring->mask + 1;
}

bool shm_pipe_spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first)
{
    struct shm_pipe *shm = shm_of(pipe);

    if (shm->receiver != NULL)
        di_receiver_collect(shm->receiver);
    if (want == DI_READY_RECV) {
        if (first)
            di_distance_keep(&shm->receiver->distance, &shm->receiver->ring);
        /* No pause instruction: under a hypervisor it may hand the CPU away for microseconds. */
        for (unsigned i = 0; i < polls; i++) {
            if (di_receiver_ready(shm->receiver))
                return true;
        }
        return false;
    }
    for (unsigned i = 0; i < polls; i += 8) {
        if (shm_pipe_ready(pipe, want) != 0 || pipe->end != DUCT_OK)
            return true;
    }
    return false;
}

/*
 * Both sides block in a send, and neither receives meanwhile. The peer's word says that its only
 * thread waits for space or blocks; it has not been rung since; and there is something here that we
 * do not take. Both store their word before they look at the other's, so at least one of them sees
 * this.
 */
static bool both_full(const struct shm_pipe *shm)
{
    const struct di_ringer *ringer = &shm->receiver->ringer;
    uint64_t word = di_peer_load(ringer->word);

    return (word & DI_PARK_SOLE) && (word & (DI_WANT_SPACE | DI_WANT_BLOCKS)) &&
           word >> DI_PARK_EPOCH_SHIFT != ringer->rung && di_receiver_ready(shm->receiver);
}

static unsigned arm_receiver(struct shm_pipe *shm)
{
    struct di_receiver *receiver = shm->receiver;

    di_receiver_collect(receiver);
    di_receiver_publish_due(receiver);
    enum di_doorbell doorbell = use_doorbell(shm, LINK_RECEIVER);
    drain(shm, LINK_RECEIVER);
    uint32_t bell = di_sleeper_arm(&receiver->sleeper, DI_WANT_DATA, doorbell, false);
    receiver->awake_since = receiver->msgs;
    if (di_receiver_ready(receiver)) {
        signal_exported(shm);
        return DI_READY_RECV;
    }
    watch(shm, LINK_RECEIVER, doorbell, bell);
    return 0;
}

static unsigned arm_sender(struct shm_pipe *shm, unsigned want, bool blocking, enum duct_err *err)
{
    bool sole = blocking && !shm->link->split;
    bool blocks = (want & (DI_READY_NEED | DI_READY_SEND)) && shm->sender->need_size != 0;
    unsigned parked = DI_WANT_SPACE | (blocks ? DI_WANT_BLOCKS : 0);

    if (shm->receiver != NULL) {
        di_receiver_collect(shm->receiver);
        di_receiver_publish_due(shm->receiver);
    }
    enum di_doorbell doorbell = use_doorbell(shm, LINK_SENDER);
    drain(shm, LINK_SENDER);
    uint32_t bell = di_sleeper_arm(&shm->sender->sleeper, parked, doorbell, sole);
    unsigned ready = shm_pipe_ready(&shm->pipe, want);
    if (ready != 0)
        return ready;
    if (sole && both_full(shm)) {
        di_sleeper_disarm(&shm->sender->sleeper);
        *err =
            di_fail(DUCT_EAGAIN, "both full: this side and the peer each wait to send, and neither "
                                 "receives; receive first, or send with a timeout of 0");
        return 0;
    }
    watch(shm, LINK_SENDER, doorbell, bell);
    return 0;
}

unsigned shm_pipe_arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err)
{
    struct shm_pipe *shm = shm_of(pipe);
    unsigned ready = 0;

    /* Relaxed: a hint; the end itself makes the socket readable. So does a bell, and the loop may put off asking. */
    if (shm->exported >= 0 ||
        atomic_load_explicit(&shm->link->ended, memory_order_relaxed) != DUCT_OK)
        shm_pipe_look(pipe);
    if (pipe->end != DUCT_OK)
        return want;
    if (shm->sender != NULL)
        di_sender_show_counters(shm->sender);
    if (want & DI_READY_RECV)
        ready |= arm_receiver(shm);
    if (want & ~(unsigned)DI_READY_RECV)
        ready |= arm_sender(shm, want & ~(unsigned)DI_READY_RECV, blocking, err);
    if (ready == 0)
        shm->parks++;
    return ready;
}

void shm_pipe_disarm(struct duct_pipe *pipe, unsigned want)
{
    struct shm_pipe *shm = shm_of(pipe);

    /* The receiver's word may stay: an idle pipe is an armed one. The sender's would make the peer
     * publish every message at once. */
    if ((want & ~(unsigned)DI_READY_RECV) && shm->sender != NULL)
        di_sleeper_disarm(&shm->sender->sleeper);
}

/* ---- The loop's side ---- */

static void free_handle(struct shm_pipe *shm)
{
    for (unsigned i = 0; i < OP_COUNT; i++)
        di_io_forget(shm->pipe.context->io, &shm->ops[i].op);
    di_fork_close(shm->exported);
    link_release(shm->link);
    di_pipe_free(&shm->pipe);
}

static void on_completion(struct di_io_op *op, int result)
{
    struct shm_op_slot *slot = (struct shm_op_slot *)op;
    struct shm_pipe *shm = slot->owner;
    enum shm_op which = (enum shm_op)(slot - shm->ops);

    shm->in_flight--;
    if (shm->closing) {
        if (shm->in_flight == 0)
            free_handle(shm);
        return;
    }
    if (result == DI_IO_CANCELED || shm->detaching)
        return;
    /* A word cannot be waited for any more, once the context's descriptor was taken: an eventfd, or the
     * socket, takes its place. Where that fails too, the socket always can. */
    if (result == DI_IO_FAILED)
        shm->bell = which == OP_DATA || which == OP_SPACE ? DUCT_BELL_EVENTFD : DUCT_BELL_SOCKET;
    if (result == DI_IO_FAILED && which == OP_PIDFD)
        return;
    switch (which) {
    case OP_SOCKET:
        if (result == DI_IO_FAILED) {
            shm_pipe_deaf(shm);
            signal_exported(shm);
            break;
        }
        /* Stopped before EAGAIN: ask anew, or an edge-triggered loop says nothing. */
        if (read_news(shm))
            di_io_forget(shm->pipe.context->io, op);
        if (shm->pipe.end == DUCT_OK)
            submit(shm, OP_SOCKET);
        break;
    case OP_PIDFD:
        peer_died(shm);
        signal_exported(shm);
        break;
    case OP_DATA_FD:
        shm->rung[LINK_RECEIVER] = true;
        break;
    case OP_SPACE_FD:
        shm->rung[LINK_SENDER] = true;
        di_sleeper_disarm(&shm->sender->sleeper);
        break;
    case OP_SPACE:
        di_sleeper_disarm(&shm->sender->sleeper);
        break;
    case OP_DATA:
    case OP_COUNT:
        break;
    }
    shm->heard++;
    di_pipe_activate(&shm->pipe);
}

void shm_pipe_stir(struct di_post *post)
{
    struct shm_pipe *shm = di_container(post, struct shm_pipe, stir);

    if (shm->closing || shm->detaching)
        return;
    shm_pipe_look(&shm->pipe);
    di_pipe_activate(&shm->pipe);
}

void shm_pipe_adopted(struct duct_pipe *pipe)
{
    struct shm_pipe *shm = shm_of(pipe);
    /* Relaxed, both: who owns the context is settled between the threads before either goes on. */
    uintptr_t owner = atomic_load_explicit(&pipe->context->thread, memory_order_relaxed);

    if (shm->receiver != NULL)
        atomic_store_explicit(&shm->receiver->thread, owner, memory_order_relaxed);
}

void shm_pipe_attach(struct duct_pipe *pipe)
{
    struct shm_pipe *shm = shm_of(pipe);
    bool second = shm->link->split && half_of(shm) == LINK_SENDER;

    for (unsigned i = 0; i < OP_COUNT; i++)
        shm->ops[i] = (struct shm_op_slot){.op = {.done = on_completion}, .owner = shm};
    if (shm->receiver != NULL) {
        shm_pipe_adopted(pipe);
        shm->receiver->user = shm;
    }
    if (shm->link->split)
        link_set_stir(shm->link, half_of(shm), pipe->context, &shm->stir);
    shm->ops[OP_SOCKET].op.kind = DI_IO_POLL;
    shm->ops[OP_SOCKET].op.fd = second ? shm->link->sender_socket : shm->link->socket;
    shm->ops[OP_SOCKET].op.events = POLLIN;
    submit(shm, OP_SOCKET);
    if (shm->link->pidfd >= 0) {
        shm->ops[OP_PIDFD].op.kind = DI_IO_POLL;
        shm->ops[OP_PIDFD].op.fd = second ? shm->link->sender_pidfd : shm->link->pidfd;
        shm->ops[OP_PIDFD].op.events = POLLIN;
        submit(shm, OP_PIDFD);
    }
}

static void cancel_all(struct shm_pipe *shm)
{
    struct di_io *io = shm->pipe.context->io;

    for (unsigned i = 0; i < OP_COUNT; i++)
        di_io_cancel(io, &shm->ops[i].op);
}

void shm_pipe_detach(struct duct_pipe *pipe)
{
    struct shm_pipe *shm = shm_of(pipe);

    shm->detaching = true;
    if (shm->link->split)
        link_set_stir(shm->link, half_of(shm), NULL, NULL);
    cancel_all(shm);
    /* Cancelling does not wait for anybody but the kernel. */
    while (shm->in_flight > 0) {
        if (di_io_wait(pipe->context->io, INT64_MAX) == DUCT_EOS)
            break;
    }
    di_context_signal(pipe->context);
    for (unsigned i = 0; i < OP_COUNT; i++)
        di_io_forget(pipe->context->io, &shm->ops[i].op);
    /* What was posted to the old context refers to this handle, which may be gone when it gets there. */
    di_context_run_posts(pipe->context);
    shm->detaching = false;
}

void shm_pipe_close(struct duct_pipe *pipe, uint32_t code, const char *text)
{
    struct shm_pipe *shm = shm_of(pipe);
    struct duct_context *context = pipe->context;
    struct link *link = shm->link;

    if (shm->receiver != NULL)
        di_receiver_publish_due(shm->receiver);
    if (link->split)
        link_set_stir(link, half_of(shm), NULL, NULL);
    link_hang_up(link, DUCT_ECLOSED, code, text);
    shm->closing = true;
    if (shm->receiver != NULL) {
        pthread_mutex_lock(&link->lock);
        link->receiver = NULL;
        pthread_mutex_unlock(&link->lock);
        di_receiver_close(shm->receiver);
    }
    /* Nobody posts any more; what was posted refers to this handle. */
    di_context_run_posts(context);
    cancel_all(shm);
    if (shm->in_flight == 0)
        free_handle(shm);
    /* Reaps what was cancelled, so that descriptors do not wait for the caller's next wait. */
    else if (di_context_reap(context) == DUCT_EOS)
        di_log(DUCT_LOG_ERROR,
               "the context's loop failed; a closed pipe stays until it is closed too");
}
