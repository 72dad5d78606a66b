/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_CORE_RECONNECT_H
#define DI_CORE_RECONNECT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/list.h"
#include "lib/base/msg_owner.h"
#include "lib/base/url.h"
#include "lib/core/pipe.h"
#include "lib/protocol/session.h"

/*
 * A pipe that dials again when it loses its peer: of any scheme, since it holds a pipe of that scheme and makes
 * another one by the transport's own dial. What the program holds is the outer pipe; the inner ones, one for each
 * session, are on no list of the context's, and what they tell it (di_pipe_activate(), di_pipe_end()) reaches the
 * outer one.
 *
 *   reconnect.c         sessions: dialled, lost, swapped; contexts; the end
 *   reconnect_out.c     what leaves, and what is kept while there is no peer
 *   reconnect_loan.c    loans, of whichever session
 *   reconnect_ops.c     what arrives, waiting, and what can be asked
 *
 * The inner pipe that has ended stays until the messages it still has were taken, and until no loan of it is with
 * the program: a loan is filled where it lies, whatever became of its session, and is copied into the session of
 * the day when it is sent.
 *
 * di_reconnect_settle() is the only place where inner pipes come and go. It runs as a chore of the context, and
 * at the end of calls; never while a call into an inner pipe is under way (busy), which may run the loop.
 */

struct di_inner {
    struct di_list link; /* in inners */
    struct duct_pipe *pipe;
    uint32_t loans; /* with the program */
};

/* A message that waits for a session. */
struct di_kept {
    struct di_list link;
    unsigned char *data;
    size_t size;
    size_t cost; /* of the downtime buffer */
    uint64_t tag;
    uint32_t flags;
};

/* Loans of one pipe at a time. */
#define DI_RECONNECT_LOANS_MAX 4096u

struct di_reconnect_loan {
    struct di_inner *home; /* whose message it is; NULL: kept */
    struct duct_msg msg;
    struct di_kept *kept;
    uint32_t generation;
    uint32_t next; /* in the list of free ones, from 1; 0: none; UINT32_MAX: on loan */
};

/* Changes of state that were not reported yet. Past that the oldest is forgotten. */
#define DI_RECONNECT_CHANGES 32u

struct di_reconnect {
    struct duct_pipe pipe; /* first */
    const struct di_transport *transport;
    struct di_url url;
    struct di_options options;
    struct di_session session;

    struct di_list inners;
    struct di_inner *now;  /* of the session; NULL: there is none */
    struct di_inner *last; /* of the one before, while it has messages; or NULL */
    void *dial;            /* in progress, or NULL */
    enum duct_err dial_failed;
    struct di_chore chore;
    struct di_io_op timer; /* of the session's deadline */
    unsigned busy;
    bool closing;
    bool closed;  /* only the timer is to come */
    bool refused; /* the last send found no room in the buffer, for need bytes */
    size_t need;

    struct {
        enum duct_state state;
        enum duct_err why;
    } changes[DI_RECONNECT_CHANGES];
    unsigned change_first, change_count;

    struct di_msg_owner owner; /* of loans */
    struct di_reconnect_loan *loans;
    uint32_t loan_count, loan_free; /* the first free one, from 1 */
    struct di_list queue;           /* struct di_kept, in order */
    uint64_t kept_msgs;             /* in queue */
    size_t kept_bytes;              /* of queue and of loans from it */
    size_t max_send;                /* of the last session */

    struct duct_pipe_stats past; /* of sessions that are over */
    uint64_t lost_out, lost_in, dropped, copied;
};

static inline struct di_reconnect *di_reconnect_of(struct duct_pipe *pipe)
{
    return (struct di_reconnect *)pipe;
}

/* ---- reconnect.c ---- */

/* Takes the pipe that a dial of the same url and options has made, and gives one that dials again. On an error it
 * stays the caller's. began: when the dial did. Errors: NOMEMORY. */
enum duct_err di_reconnect_open(struct duct_pipe **outer, struct duct_pipe *made,
                                const struct di_transport *transport, const struct di_url *url,
                                const struct di_options *options, int64_t began) DUCT_NODISCARD;

/* An inner pipe has ended. */
void di_reconnect_inner_ended(struct duct_pipe *outer);

/* Does what is due: see above. */
void di_reconnect_settle(struct di_reconnect *self);

/* No loan of it is out any more, or its messages were taken: it goes, if nothing keeps it. */
void di_reconnect_drop(struct di_reconnect *self, struct di_inner *inner);

/* A call into an inner pipe begins, and is over. */
static inline void di_reconnect_enter(struct di_reconnect *self)
{
    self->busy++;
}

static inline void di_reconnect_leave(struct di_reconnect *self)
{
    if (--self->busy == 0 && di_list_linked(&self->chore.link))
        di_reconnect_settle(self);
}

void di_reconnect_detach(struct duct_pipe *pipe);
void di_reconnect_attach(struct duct_pipe *pipe);
void di_reconnect_adopted(struct duct_pipe *pipe);
void di_reconnect_close(struct duct_pipe *pipe, uint32_t code, const char *text);

/* ---- reconnect_out.c ---- */

enum duct_err di_reconnect_write(struct duct_pipe *pipe, const void *data, size_t size,
                                 uint64_t tag);
enum duct_err di_reconnect_writev(struct duct_pipe *pipe, const struct iovec *pieces, size_t count,
                                  size_t size, uint64_t tag);
enum duct_err di_reconnect_write_batch(struct duct_pipe *pipe, const struct duct_view *views,
                                       size_t count, size_t *done);
void di_reconnect_flush(struct duct_pipe *pipe);

/* The inner pipe that a message may go to now, behind nothing that was kept. NULL: it is to be kept, or to wait. */
struct duct_pipe *di_reconnect_way_out(struct di_reconnect *self);

/* What an inner pipe's answer to a message means, over: it has ended since. *keep: the message is to be kept. */
enum duct_err di_reconnect_result(struct di_reconnect *self, bool over, enum duct_err err,
                                  bool *keep) DUCT_NODISCARD;

/* Sends what was kept, as far as the session takes it. True if nothing is kept any more. */
bool di_reconnect_send_kept(struct di_reconnect *self);

/* Whether the buffer takes so many bytes more. */
bool di_reconnect_has_room(const struct di_reconnect *self, size_t size);

/* Room in the buffer, aligned as asked. AGAIN: there is none now. */
enum duct_err di_reconnect_keep_room(struct di_reconnect *self, size_t size, size_t align,
                                     struct di_kept **kept) DUCT_NODISCARD;
void di_reconnect_queue_kept(struct di_reconnect *self, struct di_kept *kept);
void di_reconnect_free_kept(struct di_reconnect *self, struct di_kept *kept);

/* What was kept and never left is dropped, and counted. */
void di_reconnect_out_fini(struct di_reconnect *self);

/* ---- reconnect_loan.c ---- */

enum duct_err di_reconnect_loan(struct duct_pipe *pipe, size_t size, size_t align,
                                struct duct_msg *msg);
enum duct_err di_reconnect_loan_batch(struct duct_pipe *pipe, size_t size, struct duct_msg *msgs,
                                      size_t count, size_t *done);
enum duct_err di_reconnect_send(struct duct_pipe *pipe, struct duct_msg *msg);
enum duct_err di_reconnect_send_batch(struct duct_pipe *pipe, struct duct_msg *msgs, size_t count,
                                      size_t *done);

/* Loans that are out come back. */
void di_reconnect_loans_fini(struct di_reconnect *self);

/* ---- reconnect_ops.c ---- */

/* The table for an inner pipe of that kind: they differ in `pulled`. */
const struct di_pipe_ops *di_reconnect_ops(const struct di_pipe_ops *inner);

/* Adds the counters of all, but for size, to sum. */
void di_reconnect_add_stats(struct duct_pipe_stats *sum, const struct duct_pipe_stats *all);

#endif
