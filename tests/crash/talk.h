/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_TALK_H
#define TESTS_CRASH_TALK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/duct.h>

/*
 * What a victim and its survivor say to each other. Every message is numbered, knows its size, and is
 * filled from both, so that a torn, lost, doubled or foreign one is seen at once. The victim keeps its
 * score in memory that outlives it.
 */
struct talk {
    uint64_t salt;            /* of this round */
    _Atomic uint64_t begun;   /* sends of the victim that were begun */
    _Atomic uint64_t sent;    /* and that returned OK */
    _Atomic uint32_t closing; /* it has begun to close, and nothing is to be sent */
    uint64_t heard;           /* the survivor: messages, all whole and in order */
};

/* Longer than anything takes on a busy machine: a wait that gets here has hung. */
#define TALK_HUNG (20 * DUCT_SECOND)

/* Messages of one talk; every way to send meets every size. */
#define TALK_MSGS 24u

/* What the victim's end is opened with: its pool grows when it has more on loan than fits at first. */
#define TALK_QUERY    "max_msg=16k&pool=48k&pool_max=144k"
#define TALK_MSG_MAX  (16u << 10)
#define TALK_LOANS    5u /* more than the 48 KiB hold */
#define TALK_IN_TALK  (TALK_MSGS + TALK_LOANS)
#define TALK_SIZE_MIN 24u

/* The size of message number seq, and its bytes. */
size_t talk_size(uint64_t seq);
void talk_fill(void *data, size_t size, uint64_t salt, uint64_t seq);
bool talk_good(const void *data, size_t size, uint64_t salt, uint64_t seq);

/* The victim's part over an open pipe, to the end: DUCT_OK if all went well. */
enum duct_err talk_victim(struct duct_pipe *pipe, struct talk *talk);

/* One of each size and all ways to receive, with a salt of its own, over any pipe to talk_echo(). */
enum duct_err talk_short(struct duct_pipe *pipe);

/* Checks and answers every message until the pipe ends; returns how. CORRUPT: a message was not what it
 * should be. */
enum duct_err talk_echo(struct duct_pipe *pipe);

/* Sends and receives as fast as it can, until it is killed; returns only an error. */
enum duct_err talk_fast(struct duct_pipe *pipe, struct talk *talk);

#endif
