/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_SEGMENT_H
#define DI_SHM_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include <duct/error.h>

#include "shm/peer.h"

/*
 * Segments: shared memory with one writer, enforced by the kernel.
 *
 * The owner makes a memfd, allocates every page of it (a full /dev/shm is an error here and not a
 * SIGBUS later), maps it writable, and then seals it: no growing, no shrinking, and no further
 * writable map, by anybody. What it passes on is a descriptor that was opened read-only. It has no
 * name and cannot leak: the kernel frees it with its last map.
 */

/* One's own. */
struct di_segment {
    unsigned char *base; /* writable, not inherited by fork(); NULL: none */
    uint64_t size;
    int fd; /* read-only, to be passed on; -1 once closed */
};

/* A peer's. */
struct di_view {
    const DI_PEER void *base; /* NULL: none */
    uint64_t size;
};

/* Size of a page of the system's reserve, as huge asks for. */
#define DI_HUGE_PAGE (2u << 20)

/*
 * name is for display in /proc only. huge: from the system's reserve of huge pages; size is rounded
 * up to whole ones. Errors: NOSPACE, NOMEMORY, LIMIT (with what to raise), NOTSUP, OS; nothing
 * stays.
 */
enum duct_err di_segment_create(struct di_segment *segment, const char *name, uint64_t size,
                                bool huge) DUCT_NODISCARD;
/* An empty memfd that can be sealed and never executed; -1 with errno. */
int di_segment_memfd(const char *name, bool huge);

void di_segment_close_fd(struct di_segment *segment);
void di_segment_fini(struct di_segment *segment);

/*
 * Checks, before anything is read, that fd is what it should be: regular shared memory, sealed
 * against shrinking, growing, writing and further seals, between one page and bytes_max, with every
 * page allocated (a sparse one would charge its reader), and in huge pages only if huge says that the
 * peer announced that. Then maps it read-only. fd stays the caller's. Errors: CORRUPT, LIMIT, NOMEMORY,
 * OS.
 */
enum duct_err di_view_map(struct di_view *view, int fd, bool huge,
                          uint64_t bytes_max) DUCT_NODISCARD;
void di_view_fini(struct di_view *view);

#endif
