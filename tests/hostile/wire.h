/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_WIRE_H
#define TESTS_HOSTILE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A peer of uds:// and tcp:// written from scratch, from the part of docs/PROTOCOL.md about byte streams, and from
 * nothing of the library. Like that of shared memory it runs in the victim's own thread: whoever plays it says when the
 * victim's loop runs.
 */
enum { WIRE_HELLO = 1, WIRE_READY = 2, WIRE_REFUSE = 3 };
enum { WIRE_DATA = 1, WIRE_CLOSE = 2, WIRE_DRAIN = 3, WIRE_ACK = 4, WIRE_PING = 5, WIRE_PONG = 6 };
#define WIRE_MAGIC 0x64756374u

struct wire {
    int fd;
    uint64_t session;
    uint32_t seq; /* of the next message it sends */
};

/* What a HELLO says; an honest one is WIRE_HONEST. */
struct wire_hello {
    uint32_t magic;
    uint16_t version_min, version_max;
    uint32_t has, needs, frame_max;
    uint64_t message_max, session;
};
#define WIRE_HONEST                                                                  \
    (struct wire_hello)                                                              \
    {                                                                                \
        .magic = WIRE_MAGIC, .version_min = 1, .version_max = 1, .frame_max = 65536, \
        .message_max = 65536, .session = 0x1122334455667788                          \
    }

struct wire_frame {
    uint32_t size;
    uint8_t type, flags;
    uint16_t channel;
    uint64_t tag;
    uint32_t session, seq, ack, whole, offset, reserved;
};

enum { WIRE_HELLO_SIZE = 40, WIRE_READY_SIZE = 16, WIRE_HEADER_SIZE = 40 };

/* path: host:port in numbers, or @name of the abstract namespace. */
void wire_connect(struct wire *wire, const char *path);
void wire_close(struct wire *wire);

/* Each fills out, and returns how many bytes. */
size_t wire_put_hello(unsigned char *out, const struct wire_hello *hello);
size_t wire_put_ready(unsigned char *out, uint64_t session);
size_t wire_put_frame(unsigned char *out, const struct wire_frame *frame);

/* A frame of the next message of such a size, in one part; of a note with size 0. */
struct wire_frame wire_data(const struct wire *wire, uint32_t size);
struct wire_frame wire_note(const struct wire *wire, uint8_t type);

/* All of it, at once. False: the socket is full, or gone. */
bool wire_say(struct wire *wire, const void *bytes, size_t size);
/* The frame, and a payload of as many bytes, each 'p', with its padding. */
bool wire_say_frame(struct wire *wire, const struct wire_frame *frame, size_t payload);

/* What has arrived, without waiting: bytes; 0: nothing yet; -1: the end. */
long wire_hear(struct wire *wire, void *bytes, size_t capacity);

/* Of a message that was heard. */
uint32_t wire_kind(const unsigned char *message);
uint32_t wire_code(const unsigned char *message);
/* The size of a frame with its payload; its type and, of a CLOSE, its err. */
size_t wire_frame_bytes(const unsigned char *frame);
uint32_t wire_frame_type(const unsigned char *frame);
uint32_t wire_close_err(const unsigned char *frame);

#endif
