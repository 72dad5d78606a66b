/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DURABLE_SCAN_H
#define DI_SHM_DURABLE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/durable_layout.h"
#include "shm/geometry.h"

/*
 * What an outbox on file holds, worked out from a private copy of it, whatever its bytes are.
 *
 * The copy is read, not mapped, so that a file that shrinks meanwhile is an error and not a SIGBUS. All
 * sentences say why the file is refused; whoever opened it adds which, and how to remove it.
 */
struct di_durable_copy {
    unsigned char *bytes; /* malloc'ed */
    uint64_t size;
    struct di_geometry geometry;
    struct di_durable_header header;
};

/*
 * Reads the outbox of size bytes open at fd, and checks that it is one: marks, versions, geometry. The
 * ring is not looked at. Errors: VERSION (both numbers), CORRUPT, LIMIT (more than bytes_max), NOMEMORY,
 * OS; then nothing is to be freed.
 */
enum duct_err di_durable_copy_read(struct di_durable_copy *copy, int fd, uint64_t size,
                                   uint64_t bytes_max) DUCT_NODISCARD;
/* The same of bytes in memory, which are taken over on success. */
enum duct_err di_durable_copy_check(struct di_durable_copy *copy, unsigned char *bytes,
                                    uint64_t size, uint64_t bytes_max) DUCT_NODISCARD;
void di_durable_copy_free(struct di_durable_copy *copy);

/* The parts of a copy. */
const struct di_slot *di_durable_slots(const struct di_durable_copy *copy);
const struct di_durable_sent *di_durable_sent(const struct di_durable_copy *copy);
const struct di_durable_record *di_durable_record(const struct di_durable_copy *copy);
const struct di_durable_owner *di_durable_owner(const struct di_durable_copy *copy);
uint64_t di_durable_low(const struct di_durable_copy *copy); /* of the other end's messages */

/* Whether the message at a position of the other end's was released, by the marks. */
bool di_durable_marked(const struct di_durable_copy *copy, uint64_t position);

/* Whether low, received and the marks of a copy fit together. CORRUPT. */
enum duct_err di_durable_check_record(const struct di_durable_copy *copy) DUCT_NODISCARD;

/* One message found. */
struct di_durable_found {
    uint64_t position;
    uint64_t ref; /* of its block, where there is one */
    uint32_t size;
    uint32_t slots;
    bool block;
};

/* What was found in a ring. */
struct di_durable_scan {
    uint64_t low;      /* given */
    uint64_t tail;     /* position of the next message */
    uint64_t messages; /* from low to tail */
    uint64_t bytes;
    uint32_t torn; /* slots past the tail that belong to a message that was never published */
};

typedef void di_durable_each_fn(void *user, const struct di_durable_found *found);

/*
 * Walks the ring of a copy from low on: every stamp, head and reference is checked, and no block may be
 * named twice. most: stops there, at so many positions past low, which must be where a message ends, and
 * looks at nothing behind, where a sender that lives may be at work; DI_DURABLE_ALL: the whole ring.
 * each may be NULL. CORRUPT, with what is wrong and where; NOMEMORY.
 */
#define DI_DURABLE_ALL UINT64_MAX
enum duct_err di_durable_scan(struct di_durable_scan *scan, const struct di_durable_copy *copy,
                              uint64_t low, uint64_t most, di_durable_each_fn *each,
                              void *user) DUCT_NODISCARD;

/* What the other end's outbox says about this end's messages: its record.peer_id, and its `consumed`. */
struct di_durable_other {
    uint64_t bound;
    uint64_t low;
};

/*
 * The low-water mark that counts for the messages of `own`: the other end's (NULL: it has no files), if
 * that is bound to this one. CORRUPT if the two do not belong together.
 */
enum duct_err di_durable_pair_low(uint64_t *low, const struct di_durable_copy *own,
                                  const struct di_durable_other *other) DUCT_NODISCARD;

/* What can be told of an end from outside, without its owner's help. */
struct di_durable_facts {
    char name[DI_DURABLE_NAME_MAX + 1];
    enum di_end end;
    uint64_t id;
    int64_t created_ns;
    int64_t attached_ns;
    uint32_t uid;
    uint32_t pid; /* of the last owner; for people */
    bool this_boot;
    bool closed; /* the last owner closed in order */
    uint32_t slots;
    uint32_t max_msg;
    uint64_t bytes;       /* of its files */
    uint64_t undelivered; /* messages that it sent and the other end did not release */
    uint64_t undelivered_bytes;
};

/* fd: an outbox of size bytes; other_fd: that of the other end, of other_size, or -1. Errors as above. */
enum duct_err di_durable_examine(struct di_durable_facts *facts, int fd, uint64_t size,
                                 int other_fd, uint64_t other_size) DUCT_NODISCARD;

#endif
