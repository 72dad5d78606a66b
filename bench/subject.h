/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the subjects share: duct itself between the two processes of a run. One listens, the other
 * dials; from then on both hold a pipe, and count what they sent and read.
 *
 * Payloads are not constant: message number n is filled with payload_fill(.., n), so that the sum
 * of all that was read also tells a lost message from a repeated one.
 */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#include <duct/duct.h>

#include "bench/cases.h"
#include "bench/payload.h"

enum {
    /* What duct_write() carries here; larger messages are built where they will be read. */
    SUBJECT_SMALL_MAX = 64,
    SUBJECT_BATCH = 32,
};

/* No wait of a subject is longer. Far more than a healthy run takes. */
#define SUBJECT_WAIT_NS (5 * DUCT_SECOND)

struct subject {
    struct duct_context *context;   /* NULL: the thread's own */
    struct duct_listener *listener; /* NULL on the side that dialled */
    struct duct_pipe *pipe;
    size_t size;
    uint64_t sent; /* messages; also the seed of the last */
    uint64_t sum;  /* of all that was read */
    bool failed;   /* a call did; what follows does nothing */
};

/*
 * `setup` of every subject: an address of the case's scheme that no other run has, with its geometry. In
 * run->own, valid until the next setup.
 */
bool subject_setup(struct bench_run *run);
const char *subject_url(const struct bench_run *run);

/* Opens the pipe on the case's backend: `first` listens, the other dials. Ends the process when that fails. */
struct subject subject_open(struct bench_run *run, bool is_first);

/*
 * The end of a side that has read all messages of the plan and of subject_touch(): closes in order,
 * and makes the run void unless every call worked and the sum is right. With read_in_full false the
 * sum is not looked at.
 */
void subject_close(struct subject *side, struct bench_run *run, bool is_first, bool read_in_full);

/* Prints what duct has to say of its last failure, and marks the side. False. */
bool subject_fail(struct subject *side, const char *call, enum duct_err err);

/* True while the side is sound. */
static inline bool subject_ok(struct subject *side, const char *call, enum duct_err err)
{
    return __builtin_expect(err == DUCT_OK, 1) || subject_fail(side, call, err);
}

/* Takes a loan, waiting if it must, and builds the next message in it. False: the side has failed. */
static inline bool subject_build(struct subject *side, struct duct_msg *msg)
{
    if (!subject_ok(
            side, "loan",
            duct_msg_loan_aligned(side->pipe, side->size, DUCT_ALIGN_LINE, SUBJECT_WAIT_NS, msg)))
        return false;
    payload_fill_any(msg->data, side->size, ++side->sent);
    return true;
}

/* Reads a message that was received in full, and gives it back. */
static inline void subject_take(struct subject *side, struct duct_msg *msg)
{
    if (msg->size == side->size)
        side->sum += payload_consume(msg->data, msg->size);
    subject_ok(side, "release", duct_msg_release(msg));
}

/*
 * Messages after which every slot and block has been used once, and their pages are in both
 * processes' tables. To be exchanged before what is measured, as for the baselines.
 */
uint64_t subject_touch(const struct bench_run *run);

/* Streams one way that are measured over every scheme: what a case's two sides do. */
struct subject_flow {
    void (*first)(struct bench_run *run);
    void (*second)(struct bench_run *run);
};
extern const struct subject_flow subject_copied; /* duct_write, duct_read; at most SMALL_MAX */
extern const struct subject_flow subject_copied_batch; /* the same, SUBJECT_BATCH a call */
extern const struct subject_flow subject_loaned;       /* loan, fill, send; recv, read, release */
extern const struct subject_flow subject_loaned_batch;

#endif
