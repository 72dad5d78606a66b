/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_IO_URING_H
#define DI_IO_URING_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/io/due.h"
#include "lib/io/io.h"
#include "lib/io/ring.h"
#include "lib/io/uring_buffers.h"
#include "lib/io/wake.h"

/*
 * What the files of the io_uring backend share: uring.c, which submits and waits, and uring_recall.c, which
 * takes everything back for another loop or another thread, uring_transfer.c, which moves bytes, uring_held.c,
 * which sends them without a copy, uring_recv.c, which has the kernel receive again and again, and uring_accept.c, which
 * has it accept so.
 */

/* Numbers that are no operation's address. */
enum { OF_CANCEL = 0, OF_WAKE = 1, OF_ALARM = 2, OF_FENCE = 3 };

/* In the number of the first half of a CALL, beside the operation's address. */
enum { OF_CALL = 4 };
_Static_assert(_Alignof(struct di_io_op) >= 8, "an address leaves room for OF_CALL");

/* In the number of a send without a copy, beside its hold's address. */
enum { OF_HOLD = 2 };
_Static_assert(_Alignof(struct di_io_hold) >= 8, "an address leaves room for OF_HOLD");

/* How often wait may return with completions at hand and leave entries unsubmitted. */
enum { PUT_OFF_MAX = 8 };

/* What the kernel knows, beyond what every loop needs. */
enum {
    URING_POLL_FIRST = 1u << 0, /* a receive may begin by waiting (5.19) */
    URING_ZC_USAGE = 1u << 1    /* a send without a copy can say whether it was one (6.2) */
};

struct uring {
    struct di_io io;
    struct di_ring ring;
    unsigned may; /* URING_… */
    struct di_due due;
    struct di_wake wake;
    struct di_list flying;
    struct di_list
        recalled; /* POLL and WORD operations taken back from the kernel, to go elsewhere */
    struct di_list receptions; /* see uring_recv.c, of all four lists */
    struct di_list hogs;
    struct di_list calm;
    struct di_list unarmed;
    struct di_buffers *pool;          /* what RECV_ANY receives into, or NULL */
    struct di_uring_buffers *buffers; /* those that the kernel may choose from now, or NULL */
    unsigned receiving;               /* operations for which the kernel receives */
    struct di_io_op *near;            /* the word that wait sleeps on beside the ring, or NULL */
    const struct di_io_op *newest;    /* the word submitted last; only its address is used */
    bool others;         /* the word that changed last was another one: see queue_word() */
    struct di_io *epoll; /* goes on for us once exported, or NULL */
    int exported;        /* its descriptor */
    int64_t alarm;       /* when the kernel's timeout completes; 0: none is in flight */
    struct __kernel_timespec alarm_in;
    unsigned put_off;
    bool woken;
    struct di_list holds;       /* struct di_io_hold: what the kernel may still read */
    struct di_io_hold *sending; /* of the send whose answer is awaited, or NULL */
    int sent;                   /* the answer */
    bool sent_held;             /* and the loop has its hold */
    bool fenced;                /* SQPOLL: the answer of fence() has come */
    bool cut_some;              /* a CALL in flight has not sent everything */
    bool wake_armed;            /* the poll of the wake's eventfd is queued or in the kernel */
    bool recalling;             /* what the kernel cancels although nobody asked is recalled */
};

static inline struct uring *di_uring_of(struct di_io *io)
{
    return di_container(io, struct uring, io);
}

/* A free entry, made by submitting if need be, or NULL. */
struct io_uring_sqe *di_uring_next_entry(struct uring *u);

/* The first of two free entries that go to the kernel together, or NULL. */
struct io_uring_sqe *di_uring_next_pair(struct uring *u);

/* Queues any operation for the kernel but a TIMER, and what can be taken. */
void di_uring_queue(struct uring *u, struct di_io_op *op);

/* Queues a request to cancel it; false if there is no room: a later request may fare better. */
bool di_uring_queue_cancel(struct uring *u, struct di_io_op *op);

/* Fills the entry of a CONNECT, or of what receives. */
void di_uring_prep_transfer(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op);

/* The sending half of a CALL; gives the entry for the other, or NULL: no room, or see op->error and sent. */
struct io_uring_sqe *di_uring_prep_call(struct uring *u, struct di_io_op *op) DUCT_NODISCARD;

/* Whether a send says that it was short, and nothing if not: as a question of a CALL_ANY must. */
bool di_uring_knows_calls(const struct uring *u);

/* Fills the entry of such a question. */
void di_uring_prep_ask(struct io_uring_sqe *sqe, struct di_io_op *op);

/* Completes the CALLs that are queued still, unsent: for a kernel that takes nothing. */
void di_uring_drop_calls(struct uring *u);

/* Asks for what receives of those CALLs that did not send everything. */
void di_uring_take_back_cut(struct uring *u);

/* The first half of a CALL has not sent everything. */
void di_uring_land_cut(struct di_io_op *op, int result);

/* ---- uring_recv.c: what the kernel goes on with, RECV_ANY, CALL_ANY and ACCEPT ---- */

void di_uring_submit_any(struct uring *u, struct di_io_op *op);
void di_uring_cancel_any(struct uring *u, struct di_io_op *op);
int64_t di_uring_take(struct di_io *io, struct di_io_op *op, struct di_buffer **buffer);

/* Of a loop that is being opened. */
void di_uring_open_any(struct uring *u);

/* A completion of the receive beneath it, or of its question, which has not all gone; that may be known earlier. */
void di_uring_land_any(struct uring *u, struct di_io_op *op, const struct io_uring_cqe *cqe);
void di_uring_cut_any(struct uring *u, struct di_io_op *op, int result);

/* Offers buffers, has the kernel begin for whom it has not yet, and stops it where too much waits. */
void di_uring_serve_any(struct uring *u);

/* Has the kernel do what it has for them, without waiting, and moves its completions to due. */
void di_uring_fetch(struct uring *u);

/* It is in flight without a result, and gets one. */
void di_uring_complete_any(struct uring *u, struct di_io_op *op, int result);

/* ---- uring_accept.c: ACCEPT ---- */

/* Fills the entry that has the kernel accept, or watch for it. */
void di_uring_prep_accept(struct uring *u, struct io_uring_sqe *sqe, struct di_io_op *op);

/* A completion of that. */
void di_uring_land_accept(struct uring *u, struct di_io_op *op, int result);

int di_uring_accept(struct di_io *io, struct di_io_op *op);

/* ---- uring_recall.c, and uring_recv.c again ---- */

/* Asks the kernel to stop for all; and takes it that it has: those in flight complete. */
void di_uring_stop_all(struct uring *u);
void di_uring_give_up_any(struct uring *u);

/* ---- The rest ---- */

/* What the kernel's answer to one of the four means. */
int di_uring_transfer_result(struct di_io_op *op, int result);

/* An answer to a send without a copy, or the news that nobody reads its memory any more. */
void di_uring_land_held(struct uring *u, const struct io_uring_cqe *cqe);

/* The loop, or its ring, goes: gives all holds back as they are. */
void di_uring_abandon(struct uring *u);

int64_t di_uring_send_held(struct di_io *io, int fd, const struct iovec *piece,
                           struct di_io_hold *hold, bool *held);

/* Gives the kernel everything that is queued; EAGAIN: it has no room, or no memory, for a while. */
enum duct_err di_uring_flush(struct uring *u) DUCT_NODISCARD;

/* Moves completions to due; no system call, and nobody is called. */
void di_uring_harvest(struct uring *u);

/* And those that the queue had no room for: the end of every call that may have made so many. */
void di_uring_harvest_rest(struct uring *u);

/* Sleeps, until the deadline or the next timer at most, and lets the kernel take what is queued. */
enum duct_err di_uring_enter(struct uring *u, int64_t deadline) DUCT_NODISCARD;

/* Every operation is in recalled, or due, when it returns. */
void di_uring_recall(struct uring *u);
struct di_io_op *di_uring_next_recalled(struct uring *u);

/* From now on the thread may sleep beside the ring. Where there is no memory for that, it sleeps in it. */
void di_uring_sleep_elsewhere(struct uring *u);

int di_uring_fd(struct di_io *io);
enum duct_err di_uring_adopt(struct di_io *io);

#endif
