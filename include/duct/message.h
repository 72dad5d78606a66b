/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_MESSAGE_H
#define DUCT_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

/*
 * A message: bytes with a length and a tag.
 *
 * Two lives. Outgoing: loan → fill → send (ownership moves to the pipe) or discard. Incoming:
 * recv → read → release. On any error the message stays the caller's. The struct is a handle that
 * may be copied or moved; the payload stays where it is. One copy is to be sent, discarded or
 * released, once; doing it again gives DUCT_EINVAL while the pipe lives.
 */

#ifdef __cplusplus
extern "C" {
#endif

struct duct_pipe;

enum duct_msg_flag {
    DUCT_MSG_MORE = 1u << 0, /* outgoing: more follows at once, the peer need not be woken yet */
    DUCT_MSG_REDELIVERED = 1u << 1 /* incoming: was received before a crash, never released */
};

struct duct_msg {
    void *data;   /* the payload; NULL only when size is 0 and nothing was loaned */
    size_t size;  /* bytes of payload; an outgoing message may be made shorter before it is sent */
    uint64_t tag; /* travels with the message; duct gives it no meaning */
    uint32_t flags;   /* enum duct_msg_flag */
    uint32_t channel; /* 0; numbered lanes come later */
    void *owner;      /* private */
    uint64_t ref;     /* private */
};

/* For duct_write_batch(): one message to be copied into the pipe. */
struct duct_view {
    const void *data;
    size_t size;
    uint64_t tag;
};

/* For duct_read_batch(): one buffer to be filled. */
struct duct_buffer {
    void *data;
    size_t capacity; /* bytes at data */
    size_t size;     /* out: bytes received */
    uint64_t tag;    /* out */
};

/* Loans begin on a multiple of 64 bytes; DUCT_ALIGN_PAGE asks for one of 4,096. */
enum duct_align { DUCT_ALIGN_LINE = 64, DUCT_ALIGN_PAGE = 4096 };

/*
 * Takes a block of at least size bytes from the pipe's pool, to be filled in place: the peer will
 * read it where it lies. Does not wait. The content is undefined, but holds nothing the peer has
 * not seen. msg is written only on success.
 * Thread: the pipe's. Errors: TOOBIG (the limit and its option in the detail), AGAIN (all blocks
 * are out; the counter "full" tells how often), CLOSED, PEER, CORRUPT.
 */
DUCT_API enum duct_err duct_msg_loan(struct duct_pipe *pipe, size_t size,
                                     struct duct_msg *msg) DUCT_NODISCARD;

/* As duct_msg_loan(), beginning on a multiple of align; waits up to timeout_ns for a block. */
DUCT_API enum duct_err duct_msg_loan_aligned(struct duct_pipe *pipe, size_t size,
                                             enum duct_align align, int64_t timeout_ns,
                                             struct duct_msg *msg) DUCT_NODISCARD;

/*
 * Loans of one size, as many as there are blocks for, up to count: *done of them. DUCT_OK if at least one
 * (or count is 0). As duct_msg_loan() otherwise; cheaper than single calls.
 */
DUCT_API enum duct_err duct_msg_loan_batch(struct duct_pipe *pipe, size_t size,
                                           struct duct_msg *msgs, size_t count,
                                           size_t *done) DUCT_NODISCARD;

/* Gives an unsent loan back. Thread: the pipe's. INVALID for a message that is not on loan. */
DUCT_API enum duct_err duct_msg_discard(struct duct_msg *msg);

/*
 * Gives a received message back to its sender. Any thread, also after the pipe was closed. INVALID
 * for a message that is not held. The sender may reuse the block at once: do not read it afterwards.
 */
DUCT_API enum duct_err duct_msg_release(struct duct_msg *msg);

/* Releases them all, also past one that is not held; INVALID if there was such a one. */
DUCT_API enum duct_err duct_msg_release_batch(struct duct_msg *msgs, size_t count);

#ifdef __cplusplus
}
#endif

#endif
