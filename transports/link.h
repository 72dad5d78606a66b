/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_LINK_H
#define DI_TRANSPORTS_LINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <duct/options.h>
#include <duct/pipe.h>

#include "lib/core/context.h"
#include "shm/bells.h"
#include "shm/geometry.h"
#include "shm/receiver.h"
#include "shm/segment.h"
#include "shm/sender.h"
#include "transports/bootstrap.h"

/*
 * A link: what two processes share for one pipe, seen from one of them. Segments and lanes, the
 * control socket, who the peer is, and how it ended. It knows neither loops nor handles; a whole
 * pipe holds it once, a split one twice.
 *
 * The halves of a split pipe run on two threads: the sender and the receiver are theirs alone; what
 * the control socket brings is handled under lock.
 */
struct link_receiver {
    struct di_receiver receiver; /* first */
    struct di_geometry peer_geometry;
    struct di_view pools[DI_POOL_SEGMENTS_MAX];
    unsigned pool_count;
};

/* Doorbell descriptors, by the half that sleeps on them. */
enum link_half { LINK_RECEIVER, LINK_SENDER };

struct link {
    /* The sender's thread. */
    _Alignas(DI_LINE_PAIR) struct di_sender sender;
    struct di_geometry geometry;
    struct di_segment outbox;
    struct di_segment pools[DI_POOL_SEGMENTS_MAX];
    unsigned pool_count;

    /* Set by the handshake, then only read. */
    _Alignas(DI_LINE_PAIR) struct link_receiver *receiver;
    struct di_view peer_outbox;
    int socket;
    int pidfd;
    int sender_socket; /* of a split pipe: see link_duplicate() */
    int sender_pidfd;
    uint64_t session;
    uint32_t peer_has; /* capabilities */
    uint32_t peer_blocks;
    pid_t peer_pid;
    uid_t peer_uid;
    gid_t peer_gid;
    bool trusted; /* same uid, and not untrusted=1 */
    bool huge;
    bool split;
    enum duct_fence fence;
    uint64_t peer_bytes_max;
    uint32_t held_max;
    int own_eventfd[2]; /* by enum link_half; -1 until made; each its half's */

    /* Under lock. */
    pthread_mutex_t lock;
    struct di_bells own_bells; /* made when a half first sleeps on a word */
    bool no_bells;             /* none could be had: not tried again */
    struct di_bells peer_bells;
    int peer_eventfd[2]; /* by the half of the peer's that sleeps on it; -1 until it came */
    struct duct_context *contexts[2]; /* of a split pipe's halves: see link_set_stir() */
    struct di_post *stirs[2];
    bool hung_up;
    uint32_t close_code;
    char close_text[DUCT_REASON_MAX];

    _Atomic int ended; /* enum duct_err: how the peer ended it */
    _Atomic int refs;
};

/* A link with nothing shared yet. Errors: NOMEMORY. */
enum duct_err link_open(struct link **link, const struct duct_options *options) DUCT_NODISCARD;

/* Lets go; the last one frees. The receiver lives on while messages of it are held. */
void link_release(struct link *link);

/* Takes the socket: the link closes it. */
void link_take_socket(struct link *link, int socket);

/* Makes one's own segments, for a peer with that many blocks. Errors: those of di_segment_create().
 */
enum duct_err link_make_segments(struct link *link) DUCT_NODISCARD;

/* Checks and maps what the peer sent. The descriptors stay the caller's. */
enum duct_err link_map_peer(struct link *link, int outbox_fd, int pool_fd) DUCT_NODISCARD;

/* Its next pool segment likewise. */
enum duct_err link_map_pool(struct link *link, int fd) DUCT_NODISCARD;

/* Both sides' segments are there: makes the lanes. post and awake: see
 * struct di_receiver. */
enum duct_err link_start(struct link *link, void (*post)(struct di_receiver *receiver),
                         void (*awake)(struct di_receiver *receiver)) DUCT_NODISCARD;

/*
 * Reads what the control socket brought, at most LINK_NEWS_MAX messages of it. Returns how the peer
 * ended the pipe, DUCT_OK while it is open. *more: there may be further messages.
 */
#define LINK_NEWS_MAX 16
enum duct_err link_read_news(struct link *link, enum link_half reader, bool *more);

/* The receiver learns the segments that came meanwhile. Its thread. */
enum duct_err link_adopt_pools(struct link *link) DUCT_NODISCARD;

/* What is to be posted to that half's context when the other half read something on the socket, which may
 * have been its bell; or NULLs. When it returns, what was there before is posted no more. */
void link_set_stir(struct link *link, enum link_half half, struct duct_context *context,
                   struct di_post *stir);

/* Duplicates of socket and pidfd for the half that sends to wait for: a loop that both halves are on may
 * have room for one wait on each number only. Errors: LIMIT. */
enum duct_err link_duplicate(struct link *link) DUCT_NODISCARD;

/* Tells the peer that this is the end, and why, and hangs up. Only the first call does anything. */
void link_hang_up(struct link *link, enum duct_err err, uint32_t code, const char *text);

/* The descriptor on which that half sleeps, made and announced when first asked for; -1 if there
 * can be none. */
int link_eventfd(struct link *link, enum link_half half);

/* Has that half's sleeper watch a word in this side's bells page, which is made and announced when first
 * asked for; it keeps its word in the peer's memory if there can be none. The half's thread, before it arms. */
void link_use_bells(struct link *link, enum link_half half);

#endif
