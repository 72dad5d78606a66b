/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DURABLE_END_H
#define DI_SHM_DURABLE_END_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/durable_file.h"
#include "shm/durable_scan.h"
#include "shm/segment.h"

/*
 * One end of a durable pipe, as a set of files: its own two, owned by their locks and mapped writable, and
 * the other end's, mapped read-only once they are there. What flows through them is in shm/durable.h.
 *
 * Everything read from a file is checked in a private copy before anything is mapped. A file that is
 * damaged, of another version, or that does not go with the others is refused with the reason and with
 * the command that removes it; nothing is repaired by guess.
 *
 * Edges of this file:
 *   [bind]  low, received and marks set, then peer_id stored with release | peer_id loaded with acquire,
 *           before consumed
 *   [close] all sent, then closes stored with release    | closes loaded with acquire, before the ring
 */
struct di_durable_end {
    struct di_durable_dir dir;
    char name[DI_DURABLE_NAME_MAX + 1];
    enum di_end end;
    uint64_t bytes_max; /* of the other end's files */

    int outbox_fd; /* these hold the locks */
    int pool_fd;
    struct di_segment outbox;
    struct di_segment pool;
    struct di_geometry geometry;
    uint64_t id;
    bool fresh;                  /* was made now */
    struct di_durable_copy copy; /* of the own outbox, as it was found; until the lanes are made */

    bool met; /* the other end's files are known and mapped */
    uint64_t peer_id;
    struct di_view peer_outbox;
    struct di_view peer_pool;
    struct di_geometry peer_geometry;
};

struct di_durable_asks {
    const char *dir; /* NULL or "": the default */
    const char *name;
    enum di_end end;
    uint32_t slots;
    uint32_t max_msg;
    uint64_t pool;
    uint32_t held; /* messages that may be received and not released */
    uint64_t bytes_max;
};

/*
 * Opens an end: takes over the files there are, if nobody owns them, or makes them. Looks for the other
 * end's. Errors: INUSE (naming the owner), DENIED, VERSION, CORRUPT, INVALID (the files were made with
 * other sizes), NOSPACE, NOTSUP, LIMIT, NOMEMORY, OS; nothing is kept.
 */
enum duct_err di_durable_end_open(struct di_durable_end *end,
                                  const struct di_durable_asks *asks) DUCT_NODISCARD;

/* Looks for the other end's files, unless they are known: maps them, and binds this end's record of what it
 * received to them. met stays false if there are none yet. Errors as above. */
enum duct_err di_durable_end_meet(struct di_durable_end *end) DUCT_NODISCARD;

/* What the other end says about this end's messages now; only once met. */
struct di_durable_other di_durable_end_other(const struct di_durable_end *end);

/* Whether the own outbox still has its name. */
bool di_durable_end_named(const struct di_durable_end *end);

/* The owner has the end again, which was opened and met. all_received: there is nothing to be had of what the other end
 * sent; otherwise, if both were closed in order, it came after this one had, and its end is told. */
void di_durable_end_begin(const struct di_durable_end *end, bool all_received);

/* The owner closes in order, after all it sent: whoever has the other end learns of it, now or when it is opened.
 * all_received: nothing is left of what the other end sent, so that its own close has been dealt with. */
void di_durable_end_finish(const struct di_durable_end *end, uint32_t code, bool all_received);

/* Whether the other end was closed in order, is not open again, and this one has not dealt with it: the number of
 * that close, which no other has, and its code; 0 if not. What it had sent before is to be seen then. */
uint64_t di_durable_end_peer_finished(const struct di_durable_end *end, uint32_t *code);

/* Unmaps, unlocks. To the other end that is a death, unless it was finished. */
void di_durable_end_close(struct di_durable_end *end);

/* Parts of the own outbox. */
static inline struct di_durable_sent *di_durable_end_sent(const struct di_durable_end *end)
{
    return (void *)(end->outbox.base + DI_DURABLE_SENT_AT);
}
static inline struct di_durable_record *di_durable_end_record(const struct di_durable_end *end)
{
    return (void *)(end->outbox.base + DI_DURABLE_RECORD_AT);
}
static inline struct di_receiver_page *di_durable_end_page(const struct di_durable_end *end)
{
    return (void *)(end->outbox.base + DI_OUTBOX_RECEIVER_AT);
}
static inline _Atomic uint64_t *di_durable_end_marks(const struct di_durable_end *end)
{
    return (void *)(end->outbox.base + end->geometry.returns_at);
}

/* Says of which pipe the last error's sentence is, and how to be rid of its files. */
enum duct_err di_durable_end_refuse(const struct di_durable_end *end, enum duct_err err);

#endif
