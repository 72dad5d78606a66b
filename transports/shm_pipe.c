/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/shm_pipe.h"

#include <string.h>

#include "lib/base/error.h"
#include "shm/asymmetric.h"

/* The life of a handle: opened on a link, split in two, asked about. */

/* Another thread released messages: the owner takes them in. */
static void run_post(struct di_post *post)
{
    struct shm_pipe *shm = di_container(post, struct shm_pipe, post);

    /* Closed meanwhile, or moved to another thread, which looks for itself whenever it waits. */
    if (!shm->closing && shm->receiver != NULL &&
        atomic_load_explicit(&shm->receiver->thread, memory_order_relaxed) == di_thread_self())
        di_receiver_collect(shm->receiver);
}

static void post(struct di_receiver *receiver)
{
    struct shm_pipe *shm = receiver->user;

    di_context_post(shm->pipe.context, &shm->post);
}

/* A word that says "awake" must be taken back before the context sleeps: the pipe counts as active.
 */
static void awake(struct di_receiver *receiver)
{
    struct shm_pipe *shm = receiver->user;

    di_pipe_activate(&shm->pipe);
}

void shm_pipe_apply_fence(struct link *link, struct di_receiver *receiver)
{
    bool possible = (link->peer_has & DI_CAP_MEMBARRIER) && di_asymmetric_available();

    receiver->asymmetric_after = 0;
    if (possible && link->fence == DUCT_FENCE_DEFAULT)
        receiver->asymmetric_after = DI_ASYMMETRIC_AFTER;
    if (possible && link->fence == DUCT_FENCE_SLEEPER)
        receiver->asymmetric_after = 1;
    /* Out of the mode, if it may not be used any more: the word shows interest, and fences are
     * back. */
    if (receiver->asymmetric_after == 0 && receiver->sleeper.asymmetric)
        di_sleeper_arm(&receiver->sleeper, DI_WANT_DATA, DI_DOORBELL_SOCKET, false);
}

enum duct_err shm_pipe_open(struct duct_pipe **pipe, struct link *link,
                            struct duct_context *context, const struct duct_options *options,
                            uint32_t can)
{
    struct shm_pipe *shm =
        (struct shm_pipe *)di_pipe_alloc(sizeof(*shm), context, &shm_pipe_ops, options);

    if (shm == NULL)
        return di_fail(DUCT_ENOMEMORY, "no memory for a pipe");
    shm->link = link;
    shm->exported = -1;
    shm->bell = options->bell;
    shm->pipe.can = can;
    if (can & DI_CAN_SEND)
        shm->sender = &link->sender;
    if (can & DI_CAN_RECV)
        shm->receiver = &link->receiver->receiver;
    shm->post.run = run_post;
    shm->stir.run = shm_pipe_stir;
    shm_pipe_attach(&shm->pipe);
    *pipe = &shm->pipe;
    return DUCT_OK;
}

enum duct_err shm_pipe_start(struct duct_pipe **pipe, struct link *link,
                             struct duct_context *context, const struct duct_options *options)
{
    enum duct_err err = link_start(link, post, awake);

    if (err != DUCT_OK)
        return err;
    shm_pipe_apply_fence(link, &link->receiver->receiver);
    return shm_pipe_open(pipe, link, context, options, DI_CAN_SEND | DI_CAN_RECV);
}

static enum duct_err split(struct duct_pipe *pipe, struct duct_pipe **sender,
                           struct duct_pipe **receiver)
{
    struct shm_pipe *whole = (struct shm_pipe *)pipe;
    struct link *link = whole->link;
    struct duct_context *context = pipe->context;
    struct duct_options options = di_pipe_options(pipe);
    enum duct_err err;

    *sender = *receiver = NULL;
    if (whole->exported >= 0)
        return di_fail(DUCT_EINVAL, "a pipe whose descriptor was taken cannot be split");
    if ((err = link_duplicate(link)) != DUCT_OK)
        return err;
    options.bell = whole->bell;
    *sender = NULL;
    shm_pipe_detach(pipe);
    link->split = true;
    if ((err = shm_pipe_open(sender, link, context, &options, DI_CAN_SEND)) != DUCT_OK ||
        (err = shm_pipe_open(receiver, link, context, &options, DI_CAN_RECV)) != DUCT_OK) {
        /* The pipe goes on whole; a half that was made only watches the same link, and goes
         * quietly. */
        if (*sender != NULL) {
            shm_pipe_detach(*sender);
            di_pipe_unlink(*sender);
            di_pipe_free(*sender);
        }
        link->split = false;
        shm_pipe_attach(pipe);
        return err;
    }
    /* One reference each. Relaxed: no other thread has the link yet. */
    atomic_fetch_add_explicit(&link->refs, 1, memory_order_relaxed);
    di_pipe_unlink(pipe);
    di_pipe_free(pipe);
    return DUCT_OK;
}

static enum duct_err set_waiting(struct duct_pipe *pipe, const struct duct_waiting *waiting)
{
    struct shm_pipe *shm = (struct shm_pipe *)pipe;

    if (waiting->bell == DUCT_BELL_FUTEX && !(pipe->context->io->can & DI_IO_CAN_WORD))
        return di_fail(DUCT_ENOTSUP,
                       "bell=futex needs io_uring with FUTEX_WAIT (Linux 6.7); this context "
                       "runs on %s",
                       duct_context_io(pipe->context));
    if (waiting->bell == DUCT_BELL_EVENTFD && !shm->link->trusted)
        return di_fail(DUCT_EDENIED,
                       "bell=eventfd would share a descriptor with a peer that is not "
                       "trusted");
    if (shm->receiver != NULL) {
        shm->link->fence = waiting->fence;
        shm_pipe_apply_fence(shm->link, shm->receiver);
    }
    shm->bell = waiting->bell;
    return DUCT_OK;
}

static enum duct_bell bell_name(enum di_doorbell doorbell)
{
    switch (doorbell) {
    case DI_DOORBELL_FUTEX:
        return DUCT_BELL_FUTEX;
    case DI_DOORBELL_EVENTFD:
        return DUCT_BELL_EVENTFD;
    case DI_DOORBELL_SOCKET:
        return DUCT_BELL_SOCKET;
    case DI_DOORBELL_NONE:
        break;
    }
    return DUCT_BELL_AUTO;
}

static uint64_t untaken(struct duct_pipe *pipe)
{
    return di_ring_untaken(&((struct shm_pipe *)pipe)->sender->ring);
}

static void info(struct duct_pipe *pipe, struct duct_pipe_info *all)
{
    struct shm_pipe *shm = (struct shm_pipe *)pipe;
    struct link *link = shm->link;
    const struct di_geometry *own = &link->geometry;

    all->peer_pid = link->peer_pid;
    all->peer_uid = link->peer_uid;
    all->peer_gid = link->peer_gid;
    all->session_id = link->session;
    all->max_send = own->header.max_msg;
    all->slots_send = own->header.slots;
    all->bell =
        bell_name(shm_pipe_doorbell(shm, shm->receiver != NULL ? LINK_RECEIVER : LINK_SENDER));
    all->peer_bell =
        bell_name(shm->sender != NULL ? shm->sender->ringer.last : shm->receiver->ringer.last);
    pthread_mutex_lock(&link->lock);
    all->shared_bytes = link->outbox.size + link->pool_count * link->pools[0].size;
    if (link->receiver != NULL) {
        const struct di_geometry *peer = &link->receiver->peer_geometry;
        all->max_recv = peer->header.max_msg;
        all->slots_recv = peer->header.slots;
        all->peer_shared_bytes =
            link->peer_outbox.size + link->receiver->pool_count * link->receiver->pools[0].size;
    }
    all->close_code = link->close_code;
    memcpy(all->close_text, link->close_text, sizeof(all->close_text));
    pthread_mutex_unlock(&link->lock);
}

static void stats(struct duct_pipe *pipe, struct duct_pipe_stats *all)
{
    struct shm_pipe *shm = (struct shm_pipe *)pipe;

    all->parks = shm->parks;
    all->doorbells_heard = shm->heard;
    if (shm->sender != NULL) {
        const struct di_sender *sender = shm->sender;
        all->sent_msgs = sender->msgs;
        all->sent_bytes = sender->bytes;
        all->doorbells_rung += sender->ringer.rings;
        all->fences += sender->ringer.fences;
        all->full_ring = sender->full_ring;
        all->full_pool = sender->full_pool;
        all->refused_too_big = sender->too_big;
        all->dropped_unsent = sender->discarded;
        all->pool_grown = sender->pool.segment_count - 1;
    }
    if (shm->receiver != NULL) {
        const struct di_receiver *receiver = shm->receiver;
        all->received_msgs = receiver->msgs;
        all->received_bytes = receiver->bytes;
        all->doorbells_rung += receiver->ringer.rings;
        all->fences += receiver->ringer.fences;
        all->full_held = receiver->full_held;
        all->mode_switches = receiver->sleeper.switches;
    }
}

/* ---- Ends that this side makes ---- */

enum duct_err shm_pipe_corrupt(struct shm_pipe *shm, enum duct_err err)
{
    link_hang_up(shm->link, DUCT_ECORRUPT, 0,
                 "the other side found this one's memory inconsistent");
    di_pipe_end(&shm->pipe, err);
    return err;
}

void shm_pipe_deaf(struct shm_pipe *shm)
{
    link_hang_up(shm->link, DUCT_ELIMIT, 0, "the other side cannot watch its control socket");
    di_pipe_end(&shm->pipe, di_fail(DUCT_ELIMIT, DI_IO_FAILED_TEXT));
}

const struct di_pipe_ops shm_pipe_ops = {
    .scheme = "shm",
    .loan = shm_pipe_loan,
    .loan_batch = shm_pipe_loan_batch,
    .send = shm_pipe_send,
    .recv = shm_pipe_recv,
    .write = shm_pipe_write,
    .writev = shm_pipe_writev,
    .read = shm_pipe_read,
    .send_batch = shm_pipe_send_batch,
    .recv_batch = shm_pipe_recv_batch,
    .write_batch = shm_pipe_write_batch,
    .read_batch = shm_pipe_read_batch,
    .flush = shm_pipe_flush,
    .spin = shm_pipe_spin,
    .ready = shm_pipe_ready,
    .arm = shm_pipe_arm,
    .disarm = shm_pipe_disarm,
    .look = shm_pipe_look,
    .detach = shm_pipe_detach,
    .attach = shm_pipe_attach,
    .adopted = shm_pipe_adopted,
    .split = split,
    .fd = shm_pipe_fd,
    .set_waiting = set_waiting,
    .untaken = untaken,
    .info = info,
    .stats = stats,
    .close = shm_pipe_close,
};
