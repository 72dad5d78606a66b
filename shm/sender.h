/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_SENDER_H
#define DI_SHM_SENDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include <duct/message.h>

#include "lib/base/msg_owner.h"
#include "shm/cells.h"
#include "shm/geometry.h"
#include "shm/park.h"
#include "shm/pool.h"
#include "shm/returns.h"
#include "shm/ring.h"

/*
 * The sending half of a lane: descriptor ring, pool, the peer's returns, and its own park word, for
 * the one thread that sends. Nothing here waits or calls the kernel, except to ring the peer's
 * doorbell.
 *
 * A message of at most immediate_max bytes is staged in a private cell and travels in the ring; a
 * larger one lies in a block of the pool and only its descriptor travels.
 *
 * AGAIN means no slot, or no block, right now; CORRUPT that the peer's indices or returns are lies:
 * then nothing but di_sender_fini() may be called.
 */
struct di_sender {
    struct di_msg_owner owner; /* first: messages on loan point here */
    struct di_ring_out ring;
    struct di_ringer ringer; /* wakes the peer's receiver */
    uint32_t immediate_max;
    uint32_t max_msg;
    uint64_t msgs;
    uint64_t bytes;
    struct di_cells cells;

    struct di_pool pool;
    struct di_returns_in returns;
    struct di_sleeper sleeper; /* for SPACE and BLOCKS */
    struct di_sender_page *page;

    /* Called when the pool is empty and may still grow: adds a segment and tells the peer. NULL:
     * never. */
    enum duct_err (*grow)(struct di_sender *sender);

    /* How slots and blocks come back, where that is not by the return ring. NULL: it is. */
    enum duct_err (*reclaim)(struct di_sender *sender);

    /* What the call needed that gave AGAIN last; need_size 0: no block. */
    uint32_t need_slots;
    size_t need_size;
    size_t need_align;

    uint64_t full_ring;
    uint64_t full_pool;
    uint64_t too_big;
    uint64_t discarded;
};

/* Where one side's halves find their shared memory. */
struct di_sender_parts {
    unsigned char *outbox; /* own, writable */
    const struct di_geometry *geometry;
    const DI_PEER void *peer_outbox;
    const struct di_geometry *peer_geometry;
    unsigned char *pool; /* own, first segment */
    uint32_t cells_max;
    int socket; /* control socket, for the bell */
};

/* geometry must outlive the sender. NOMEMORY leaves nothing behind. */
enum duct_err di_sender_init(struct di_sender *sender,
                             const struct di_sender_parts *parts) DUCT_NODISCARD;
void di_sender_fini(struct di_sender *sender);

enum duct_err di_sender_loan(struct di_sender *sender, size_t size, size_t align,
                             struct duct_msg *msg);

/* Publishes a loan; the peer is told by di_sender_flush(). */
enum duct_err di_sender_publish(struct di_sender *sender, struct duct_msg *msg);

/* The path of duct_write() for payloads that need a block. */
enum duct_err di_sender_write_block(struct di_sender *sender, const struct iovec *pieces,
                                    size_t count, size_t size, uint64_t tag);
/* As di_sender_put(), from several pieces; size is their sum. */
enum duct_err di_sender_put_pieces(struct di_sender *sender, const struct iovec *pieces,
                                   size_t count, size_t size, uint64_t tag);

/* Counts a ring without that many slots. Returns AGAIN, or CORRUPT if the peer's index is not plausible. */
enum duct_err di_sender_full(struct di_sender *sender, uint32_t slots, bool plausible);

/* Takes back what the peer returned. */
enum duct_err di_sender_collect(struct di_sender *sender);

/* Whether there is room for any message that travels in the ring, which makes a pipe writable. *err
 * gets CORRUPT or is left alone. */
bool di_sender_ready(struct di_sender *sender, enum duct_err *err);

/*
 * Whether there is what the call needed that gave AGAIN last: the look of step 4 in park.h. It has to
 * be exact: were more asked for than the call needs, what was published between the call and the
 * look, and no more comes, would leave the sender asleep beside room enough. *err as above.
 */
bool di_sender_has_need(struct di_sender *sender, enum duct_err *err);

/* Copies the counters to where tools read them: before each sleep. */
void di_sender_show_counters(struct di_sender *sender);

/* Batches: as many as go; *done is how many. */
enum duct_err di_sender_loan_batch(struct di_sender *sender, size_t size, struct duct_msg *msgs,
                                   size_t count, size_t *done);
enum duct_err di_sender_publish_batch(struct di_sender *sender, struct duct_msg *msgs, size_t count,
                                      size_t *done);
enum duct_err di_sender_put_batch(struct di_sender *sender, const struct duct_view *views,
                                  size_t count, size_t *done);

/* Tells the peer's receiver that there is something for it. True if that took a fence. */
static inline bool di_sender_flush(struct di_sender *sender)
{
    sender->need_size = 0; /* what was refused before is not what the caller waits for now */
    return di_ringer_notify(&sender->ringer, DI_WANT_DATA);
}

/* Publishes a copy of a payload; the peer is told by di_sender_flush(). */
static inline enum duct_err di_sender_put(struct di_sender *sender, const void *data, size_t size,
                                          uint64_t tag)
{
    bool plausible = true;

    if (__builtin_expect(size > sender->immediate_max, 0)) {
        const struct iovec piece = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
        return di_sender_write_block(sender, &piece, 1, size, tag);
    }
    if (__builtin_expect(!di_ring_room(&sender->ring, di_slots_of((uint32_t)size), &plausible), 0))
        return di_sender_full(sender, di_slots_of((uint32_t)size), plausible);
    di_ring_put_immediate(&sender->ring, data, (uint32_t)size, tag);
    sender->msgs++;
    sender->bytes += size;
    return DUCT_OK;
}

#endif
