/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_FUZZ_PAIR_H
#define DI_FUZZ_PAIR_H

#include "fuzz/sides.h"

/*
 * An honest pair and a model of it, which is a queue: what the files of this target share.
 */
#define QUEUE_MAX 1024u /* more than there are slots */
#define LOANS_MAX 32u
#define HELD_MAX  64u
#define RUN_MAX   8u

/* A message on its way: its content follows from its tag. */
struct sent {
    uint64_t tag;
    size_t size;
};

struct pair {
    struct input in;
    struct side from, to;
    struct di_sender sender;
    struct di_receiver receiver;
    struct sent queue[QUEUE_MAX];
    uint64_t sent, received;
    uint64_t tags;
    struct duct_msg loans[LOANS_MAX];
    uint32_t loan_count;
    struct duct_msg held[HELD_MAX];
    uint32_t held_count;
    bool no_memory; /* growing fails */
    uint32_t sender_bell, receiver_bell;
    bool sender_sleeps, receiver_sleeps;
};

/* Each message has a tag of its own, and its content follows from that. */
void pair_fill(void *data, size_t size, uint64_t tag);
void pair_check_content(const void *data, size_t size, uint64_t tag);

/* Any size; a little over what may be sent now and then. */
size_t pair_some_size(struct pair *p);

/* The model: puts one at the end, and compares what arrived with the first. */
void pair_sent(struct pair *p, size_t size, uint64_t tag);
void pair_received(struct pair *p, const void *data, size_t size, uint64_t tag);

/* One call of a half; what is a number from 0 to 15. */
void pair_send(struct pair *p, uint8_t what);
void pair_receive(struct pair *p, uint8_t what, uint8_t how);

/* The next message into a buffer, and one of those held back. */
void pair_read(struct pair *p, bool fast, bool all);
void pair_release(struct pair *p, uint8_t how);

#endif
