/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_STREAM_IN_H
#define DI_TRANSPORTS_STREAM_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/io/buffer.h"
#include "lib/protocol/wire.h"
#include "transports/stream_held.h"

/*
 * Where a stream's bytes arrive, and the messages that the program holds there.
 *
 * The loop hands over bytes in buffers of its own; a message that lies whole in one is handed out as a view of it,
 * and one that was cut in two is put together. Of a stream that moves much the kernel receives straight into a larger
 * buffer of the pipe's own; and a message that is large gets a block of its own as soon as its header is known, so that
 * none is copied for its size. A buffer, or block, lives until the last message in it was released:
 * stream_held.h.
 */

/* As much as one system call should take, and several of the largest messages of a default pipe. */
#define STREAM_BUFFER_SIZE ((size_t)256 * 1024)

/* From this size on, a message of which a part has arrived gets a block of its own. */
#define STREAM_BLOCK_LEAST ((size_t)32 * 1024)

/* Room that a receive should find. */
#define STREAM_ROOM_LEAST ((size_t)4096)

/* Put together of buffers of the loop's, at first. */
#define STREAM_JOINT_SIZE ((size_t)65536)

/* So many small receives make a stream one that does not move much. */
#define STREAM_BULK_PATIENCE 16u

struct stream_in {
    struct stream_held *held;
    struct di_buffer *buffer; /* or NULL */
    size_t begin, end;        /* of what was received and not yet taken */

    struct di_frame frame; /* the one at begin, if have_frame */
    bool have_frame;

    struct di_buffer *block; /* a message that is received by itself */
    size_t filled;           /* bytes of it there are */
    size_t frame_left;       /* bytes of its current frame that are still to come */
    bool in_frame;           /* it has begun */
    size_t pad_left;         /* and of the padding behind it */
    struct di_frame first;   /* its first frame */

    bool whole;      /* a message is there: frame or block */
    bool more;       /* the last receive filled all it was given */
    int error;       /* of the socket, by which it ended; 0: the peer hung up */
    bool finished;   /* the end of the stream was received */
    bool discarding; /* the program takes nothing any more */
    bool dry;        /* the socket had nothing when it was last asked: a poll tells of more */
    bool breaking;   /* in stream_broken() */
    unsigned
        bulk; /* more than 0: much was moved of late, so the kernel receives into the pipe's own memory */
    uint32_t seq;   /* of the next message */
    uint32_t taken; /* messages the program has taken */
    uint64_t msgs, bytes;
    uint64_t arrived; /* bytes of anything: a sign of life */
};

enum duct_err stream_in_open(struct stream_in **in, uint32_t held_max) DUCT_NODISCARD;
void stream_in_close(struct stream_in *in);

/* Appends bytes that were received elsewhere. Errors: NOMEMORY. */
enum duct_err stream_in_feed(struct stream_in *in, const void *bytes, size_t size) DUCT_NODISCARD;

/* Where the next bytes should go: how many pieces; 0 if there is no room (or no memory for any). */
uint32_t stream_in_room(struct stream_in *in, struct iovec pieces[2]);

/* So many bytes have arrived there. */
void stream_in_arrived(struct stream_in *in, size_t bytes, const struct iovec *pieces,
                       uint32_t count);

/* What a receive gave: bytes, 0 at the end, or a negative errno. False: it was the last that makes sense now. */
bool stream_in_got(struct stream_in *in, int64_t got);

/* Appends what the loop received, whose reference it takes. False: no memory. */
bool stream_in_add(struct stream_in *in, struct di_buffer *buffer) DUCT_NODISCARD;

/* Gives up the buffer if nothing is in it. */
void stream_in_rest(struct stream_in *in);

/* A whole message, once stream_parse() said so: its bytes, and what is taken of it. */
const unsigned char *stream_in_data(const struct stream_in *in);
const struct di_frame *stream_in_head(const struct stream_in *in);
void stream_in_skip(struct stream_in *in);

/* One that nobody will take: the peer is not told otherwise. */
void stream_in_discard(struct stream_in *in);

/* As a message that the program holds. LIMIT: too many are. */
enum duct_err stream_in_hold(struct stream_in *in, struct duct_msg *msg) DUCT_NODISCARD;

#endif
