/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_WIRE_H
#define DI_PROTOCOL_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

#include "lib/protocol/bytes.h"

/*
 * Frames: what travels on a byte stream once the handshake is done. A header of fixed size, then the payload,
 * then zeros up to a multiple of 8, so that every payload begins on one. docs/PROTOCOL.md has the fields.
 */
#define DI_WIRE_HEADER 40u
#define DI_WIRE_ALIGN  8u

enum di_frame_type {
    DI_FRAME_DATA = 1,
    DI_FRAME_CLOSE = 2, /* the last one: code, error and text */
    DI_FRAME_DRAIN = 3, /* asks for an ACK once everything before it was taken */
    DI_FRAME_ACK = 4,
    DI_FRAME_PING = 5,
    DI_FRAME_PONG = 6
};

struct di_frame {
    uint32_t size; /* of the payload */
    uint8_t type;
    uint16_t channel; /* 0 */
    uint64_t tag;     /* DATA: the message's; PING, PONG: any */
    uint32_t session; /* the low half of the session's number */
    uint32_t seq;     /* DATA: the message's number, from 0, wrapping; else of the next */
    uint32_t ack;     /* messages the sender of this frame has taken, wrapping */
    uint32_t whole;   /* DATA: size of the message of which this is a part, or all */
    uint32_t offset;  /* DATA: where in it */
};

/* What was agreed in the handshake. */
struct di_wire_rules {
    uint32_t session;
    uint32_t frame_max;
    uint64_t message_max;
};

/* Bytes that the payload takes, with its padding. */
static inline size_t di_wire_padded(size_t size)
{
    return (size + DI_WIRE_ALIGN - 1) & ~(size_t)(DI_WIRE_ALIGN - 1);
}

/* Where the fields are. */
enum {
    DI_WIRE_AT_SIZE = 0,
    DI_WIRE_AT_TYPE = 4,
    DI_WIRE_AT_FLAGS = 5, /* 0 */
    DI_WIRE_AT_CHANNEL = 6,
    DI_WIRE_AT_TAG = 8,
    DI_WIRE_AT_SESSION = 16,
    DI_WIRE_AT_SEQ = 20,
    DI_WIRE_AT_ACK = 24,
    DI_WIRE_AT_WHOLE = 28,
    DI_WIRE_AT_OFFSET = 32,
    DI_WIRE_AT_RESERVED = 36 /* 0 */
};

/* Here, since much of a frame is known where it is made: a sixth of what a small message costs its sender. */
static inline void di_wire_put(unsigned char *out, const struct di_frame *frame)
{
    di_put32(out + DI_WIRE_AT_SIZE, frame->size);
    out[DI_WIRE_AT_TYPE] = frame->type;
    out[DI_WIRE_AT_FLAGS] = 0;
    di_put16(out + DI_WIRE_AT_CHANNEL, frame->channel);
    di_put64(out + DI_WIRE_AT_TAG, frame->tag);
    di_put32(out + DI_WIRE_AT_SESSION, frame->session);
    di_put32(out + DI_WIRE_AT_SEQ, frame->seq);
    di_put32(out + DI_WIRE_AT_ACK, frame->ack);
    di_put32(out + DI_WIRE_AT_WHOLE, frame->whole);
    di_put32(out + DI_WIRE_AT_OFFSET, frame->offset);
    di_put32(out + DI_WIRE_AT_RESERVED, 0);
}

/* CORRUPT, with what is wrong in the detail, unless every field is as the rules have it. */
enum duct_err di_wire_get(struct di_frame *frame, const unsigned char *in,
                          const struct di_wire_rules *rules) DUCT_NODISCARD;

/* The payload of a CLOSE. */
#define DI_CLOSE_TEXT_MAX 192u
#define DI_CLOSE_SIZE_MAX (8u + DI_CLOSE_TEXT_MAX)

struct di_close {
    uint32_t code;
    uint32_t err; /* enum duct_err */
    char text[DI_CLOSE_TEXT_MAX];
};

/* Returns its size. text is cut at 191 bytes. */
size_t di_close_put(unsigned char *out, uint32_t code, enum duct_err err, const char *text);

/* The text comes out fit for a terminal. CORRUPT if the payload is none. */
enum duct_err di_close_get(struct di_close *close, const unsigned char *in,
                           size_t size) DUCT_NODISCARD;

#endif
