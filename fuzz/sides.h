/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_FUZZ_SIDES_H
#define DI_FUZZ_SIDES_H

#include "fuzz/input.h"
#include "shm/geometry.h"
#include "shm/pool.h"
#include "shm/receiver.h"
#include "shm/sender.h"

/*
 * Two sides of a pipe in plain memory: each segment is an allocation of exactly its size, so that the
 * sanitizer sees an access outside of it. Small, so that rings and pools fill up within a few steps.
 */
#define SIDE_SEGMENTS_MAX 3u

struct side {
    struct di_geometry geometry;
    unsigned char *outbox;
    unsigned char *pools[SIDE_SEGMENTS_MAX];
};

/* Both, from a few bytes of input. */
void sides_open(struct side *own, struct side *peer, struct input *in);
void sides_close(struct side *own, struct side *peer);

/* The memory of a side, as the other side sees it. */
static inline const DI_PEER void *side_peer(const unsigned char *memory)
{
    return (const DI_PEER void *)(uintptr_t)memory;
}

/* Whether a range lies in one of the side's pool segments. */
bool side_holds(const struct side *side, const void *data, size_t size);

/* A sender of `from` whose peer is `to`, and a receiver of `to` whose peer is `from`. */
void side_sender(struct di_sender *sender, const struct side *from, const struct side *to,
                 uint32_t cells_max);
void side_receiver(struct di_receiver *receiver, const struct side *from, const struct side *to,
                   uint32_t cells_max);

/* As another thread would release it. */
enum duct_err side_release_elsewhere(struct duct_msg *msg);
enum duct_err side_release(struct duct_msg *msg);

/* How often a receiver said, since it was made, that its last message came back. */
unsigned side_freed(void);

/* Every block is free, on loan or sent, exactly once, and the books agree. */
void side_audit(const struct di_pool *pool);

#endif
