/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_SHM_PIPE_H
#define DI_TRANSPORTS_SHM_PIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/core/pipe.h"
#include "shm/park.h"
#include "transports/link.h"

/*
 * A handle on a link, with what it takes to sleep: its operations on the context's loop. A whole
 * pipe has one handle; a split one has two, each with one half of the lanes and on a context of its
 * own.
 */

/* What the handle waits for in the loop. */
enum shm_op { OP_SOCKET, OP_PIDFD, OP_DATA, OP_SPACE, OP_DATA_FD, OP_SPACE_FD, OP_COUNT };

struct shm_pipe;

struct shm_op_slot {
    struct di_io_op op; /* first */
    struct shm_pipe *owner;
};

struct shm_pipe {
    struct duct_pipe pipe; /* first */
    struct link *link;
    struct di_sender *sender;     /* NULL on the half that receives */
    struct di_receiver *receiver; /* NULL on the half that sends */
    struct shm_op_slot ops[OP_COUNT];
    bool rung[2];        /* by half: its eventfd has completed since it was last drained */
    enum duct_bell bell; /* how this handle would like to be woken */
    bool closing;
    bool detaching;
    unsigned in_flight;
    uint64_t parks;
    uint64_t heard;
    struct di_post post; /* releases by other threads */
    struct di_post stir; /* the other half read the control socket */
    int exported;        /* duct_pipe_fd(): an epoll, or -1 */
};

extern const struct di_pipe_ops shm_pipe_ops;

/* A handle that can do `can`, on context; takes a reference of link. Only once the lanes have
 * started. Errors: NOMEMORY; then the reference stays the caller's. */
enum duct_err shm_pipe_open(struct duct_pipe **pipe, struct link *link,
                            struct duct_context *context, const struct duct_options *options,
                            uint32_t can) DUCT_NODISCARD;

/* Starts the lanes of a link whose handshake is done, and opens the whole pipe on it. */
enum duct_err shm_pipe_start(struct duct_pipe **pipe, struct link *link,
                             struct duct_context *context,
                             const struct duct_options *options) DUCT_NODISCARD;

/* How long the receiver stays awake before it goes asymmetric, by the option and what both sides
 * can. */
void shm_pipe_apply_fence(struct link *link, struct di_receiver *receiver);

/* The parts of shm_pipe_ops that live in shm_ops.c: the messages. */
enum duct_err shm_pipe_loan(struct duct_pipe *pipe, size_t size, size_t align,
                            struct duct_msg *msg);
enum duct_err shm_pipe_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                  size_t count, size_t *done);
enum duct_err shm_pipe_send(struct duct_pipe *pipe, struct duct_msg *msg);
enum duct_err shm_pipe_write(struct duct_pipe *pipe, const void *data, size_t size, uint64_t tag);
enum duct_err shm_pipe_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                              size_t size, uint64_t tag);
enum duct_err shm_pipe_recv(struct duct_pipe *pipe, struct duct_msg *msg);
enum duct_err shm_pipe_read(struct duct_pipe *pipe, void *data, size_t capacity, size_t *size,
                            uint64_t *tag);
enum duct_err shm_pipe_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                  size_t *done);
enum duct_err shm_pipe_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                   size_t count, size_t *done);
enum duct_err shm_pipe_recv_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                  size_t *done);
enum duct_err shm_pipe_read_batch(struct duct_pipe *pipe, struct duct_buffer *buffers, size_t count,
                                  size_t *done);
void shm_pipe_flush(struct duct_pipe *pipe);

/* Those that live in shm_wait.c: the handle and its loop. */
unsigned shm_pipe_ready(struct duct_pipe *pipe, unsigned want);
unsigned shm_pipe_arm(struct duct_pipe *pipe, unsigned want, bool blocking, enum duct_err *err);
void shm_pipe_disarm(struct duct_pipe *pipe, unsigned want);
bool shm_pipe_spin(struct duct_pipe *pipe, unsigned want, unsigned polls, bool first);
void shm_pipe_look(struct duct_pipe *pipe);
void shm_pipe_attach(struct duct_pipe *pipe);
void shm_pipe_detach(struct duct_pipe *pipe);
void shm_pipe_adopted(struct duct_pipe *pipe);
void shm_pipe_close(struct duct_pipe *pipe, uint32_t code, const char *text);
bool shm_pipe_drained(struct duct_pipe *pipe);
enum duct_err shm_pipe_fd(struct duct_pipe *pipe, int *fd);

/* The other half read the control socket: there may be something for this one. */
void shm_pipe_stir(struct di_post *post);

/* The doorbell this half sleeps on, by the option, the backend, and the trust there is. */
enum di_doorbell shm_pipe_doorbell(struct shm_pipe *shm, enum link_half half);

/* A lane said CORRUPT: ends the pipe, and tells the peer. Returns err. */
enum duct_err shm_pipe_corrupt(struct shm_pipe *shm, enum duct_err err);

/* The loop cannot watch the control socket: ends the pipe, and tells the peer. To ask the loop again would be to
 * ask without a pause, and a pipe that is not watched would outlive its peer. */
void shm_pipe_deaf(struct shm_pipe *shm);

/* What the lane of a pipe returned, with the ends it knows of. */
static inline enum duct_err shm_pipe_result(struct shm_pipe *shm, enum duct_err err)
{
    return __builtin_expect(err == DUCT_ECORRUPT, 0) ? shm_pipe_corrupt(shm, err) : err;
}

#endif
