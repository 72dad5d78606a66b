/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_ZC_H
#define DI_TRANSPORTS_STREAM_ZC_H

#include "lib/io/io.h"
#include "lib/protocol/sendq.h"
#include "transports/stream.h"

/*
 * Loaned messages that leave without a copy (option zerocopy). Their memory is mapped and not allocated, since the kernel
 * may read it after whoever sent it has gone: then it is unmapped, and the kernel's pages stay as they are. A chunk is
 * the owner's (a loan, the queue) and of each send whose memory the kernel may still read; when all have let go it is
 * kept for the next loan.
 *
 * A kernel that copies after all, as it does to a peer on the same machine, makes this dearer than a copy: after some
 * such sends the stream goes back to copies by itself.
 *
 * A send's loop lets go of its memory in its own thread, which is not that of the pipe any more where that has moved
 * on: hence a lock, which is dear only beside what a message of this size costs otherwise.
 */

/* False: no memory. *zc is NULL where min is 0: then all calls below do nothing. */
bool stream_zc_open(struct stream_zc **zc, uint64_t min) DUCT_NODISCARD;

/* The stream goes. NULL is allowed. */
void stream_zc_give(struct stream_zc *zc);

/* Whether a message of that size had better lie in a chunk of stream_zc_alloc(). */
bool stream_zc_fits(struct stream_zc *zc, size_t size);

/* A chunk with room for size bytes; NULL: no memory. Ends by di_chunk_free(). */
struct di_chunk *stream_zc_alloc(struct stream_zc *zc, size_t size);

/* Whether the kernel may still read the chunk, of whatever kind. NULL is allowed. */
bool stream_zc_is_read(const struct di_chunk *chunk);

/* di_io_send_held() of a piece of the chunk, if it is such a chunk and large enough; else -EOPNOTSUPP. */
int64_t stream_zc_send(struct stream_zc *zc, struct di_io *io, int fd, struct di_chunk *chunk,
                       const struct iovec *piece);

void stream_zc_stats(struct stream_zc *zc, struct duct_pipe_stats *all);

#endif
