/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DURABLE_LAYOUT_H
#define DI_SHM_DURABLE_LAYOUT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/layout.h"

/*
 * The files of a durable pipe: what they are called, and what lies in them beside shm/layout.h.
 *
 * A durable pipe has a name and exactly two ends, "listen" and "dial". Each end has two files in one
 * directory (0700, its owner's; files 0600):
 *
 *   NAME.listen.pool0   NAME.listen       the pool, and the outbox, of the end that listens
 *   NAME.dial.pool0     NAME.dial         of the end that dials
 *
 * The pool is linked first; the outbox's link is the commit: a pool without its outbox is what a crash
 * left, and holds nothing. To remove an end, take its lock, then unlink the outbox, then the pool.
 * An end is owned by whoever holds the OFD write lock on its outbox: a process that lives. Both files
 * are locked for as long as the end is open, by descriptors that are never passed on; numbers of
 * processes below are for people. The two ends belong together: what has been released of one end's
 * messages stands in the other end's outbox. So a pipe is removed whole, or not at all.
 *
 * An outbox is laid out as layout.h says, with these meanings and additions:
 *
 *   0     struct di_outbox_header   `returns` counts marks; pool_segments_max is 1
 *   512   struct di_durable_header  never changes once the file has a name
 *   768   struct di_durable_owner   for people
 *   1024  struct di_sender_page
 *   1536  struct di_durable_sent    written by the sender half
 *   2048  struct di_receiver_page   `consumed` is the low-water mark: all below it was released
 *   3072  struct di_durable_record  written by the receiver half
 *   4096  the descriptor ring, then
 *         uint64_t[returns]         marks: p + 1 in mark p % returns: the message at p was released
 *
 * What is undelivered follows from that: the messages of this end's ring from the *other* end's
 * `consumed` on (where there is no other end, from `reclaimed`), up to the first slot that is not
 * stamped, less those that are marked. shm/durable_scan.h counts them.
 *
 * An end that is closed in order says so by `closes`, which is odd from then until somebody opens it again, and even
 * while it is open, or since its owner died. That is the end of what it sent; a death is not. The other end
 * has dealt with it when it has received everything and closes too: then it stores `closes_seen`, so that whoever
 * opens the two next begins anew. Who closes first stores the number that the other's close will have, since that
 * belongs to what is over: the next odd one, where the other is open; the one after, where the other was closed, and that dealt
 * with before. An end that is opened again takes that back where the other has not closed since, or has sent something before
 * it did, of which the end is then told.
 */
#define DI_DURABLE_MAGIC   0x31656c6261727564ull /* "durable1" */
#define DI_DURABLE_VERSION 1u

#define DI_DURABLE_HEADER_AT 512u
#define DI_DURABLE_OWNER_AT  768u
#define DI_DURABLE_SENT_AT   1536u
#define DI_DURABLE_RECORD_AT 3072u

#define DI_DURABLE_NAME_MAX 64u /* as of shm://name */

enum di_end { DI_END_LISTEN = 1, DI_END_DIAL = 2 };

struct di_durable_header {
    uint64_t magic;
    uint32_t version;
    uint32_t end;       /* enum di_end */
    uint64_t id;        /* drawn at random when the file was made; never 0 */
    int64_t created_ns; /* by the wall clock */
    uint32_t uid;
    uint32_t zero;
    unsigned char boot_id[16];          /* of the boot it was made in */
    char name[DI_DURABLE_NAME_MAX + 8]; /* NUL-padded */
};

struct di_durable_owner {
    _Atomic uint32_t pid;        /* of the last owner, in its own namespace; for people */
    _Atomic uint32_t attaches;   /* times it was opened */
    _Atomic int64_t attached_ns; /* by the wall clock */
};

struct di_durable_sent {
    /* A low-water mark this end acted upon: slots and blocks below it may have been used again. */
    _Alignas(DI_LINE_PAIR) _Atomic uint64_t reclaimed;
    _Atomic uint64_t closes;     /* odd: closed in order */
    _Atomic uint32_t close_code; /* and the application's reason for it */
};

struct di_durable_record {
    /* The id of the other end's outbox to which consumed, received and marks refer; 0: none yet. */
    _Alignas(DI_LINE_PAIR) _Atomic uint64_t peer_id;
    _Atomic uint64_t received;    /* all below it was handed to the application */
    _Atomic uint64_t closes_seen; /* the other end's `closes` up to this one were dealt with */
};

_Static_assert(sizeof(struct di_durable_header) == 56 + DI_DURABLE_NAME_MAX + 8, "no padding");
_Static_assert(sizeof(struct di_outbox_header) <= DI_DURABLE_HEADER_AT, "");
_Static_assert(DI_DURABLE_HEADER_AT + sizeof(struct di_durable_header) <= DI_DURABLE_OWNER_AT, "");
_Static_assert(DI_DURABLE_OWNER_AT + sizeof(struct di_durable_owner) <= DI_OUTBOX_SENDER_AT, "");
_Static_assert(DI_OUTBOX_SENDER_AT + sizeof(struct di_sender_page) <= DI_DURABLE_SENT_AT, "");
_Static_assert(DI_DURABLE_SENT_AT + sizeof(struct di_durable_sent) <= DI_OUTBOX_RECEIVER_AT, "");
_Static_assert(DI_OUTBOX_RECEIVER_AT + sizeof(struct di_receiver_page) <= DI_DURABLE_RECORD_AT, "");
_Static_assert(DI_DURABLE_RECORD_AT + sizeof(struct di_durable_record) <= DI_OUTBOX_SLOTS_AT, "");

#endif
