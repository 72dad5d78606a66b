/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_TESTS_TRANSPORTS_RAW_H
#define DUCT_TESTS_TRANSPORTS_RAW_H

#include <stddef.h>
#include <stdint.h>

#include <duct/duct.h>

#include "lib/protocol/wire.h"

/*
 * One listener over tcp, in one context, and peers of it that are bare sockets: they say what a test has them say, byte for
 * byte. One thread; whatever fails ends the test.
 */
extern struct duct_context *raw_context;
extern struct duct_listener *raw_listener;

/* Opens the two, with more options than none: "?reassembly=1s". */
void raw_listen(const char *query);

/* Both, and every pipe of theirs. */
void raw_close(void);

/* A connection that has said nothing yet. */
int raw_connect(void);

void raw_say(int fd, const void *bytes, size_t size);

/* One that went through the handshake, and the listener's pipe to it. */
struct raw {
    int fd;
    uint64_t session;
    struct duct_pipe *pipe;
};

struct raw raw_meet(void);

/* The header of a message of so many bytes, the first of its pipe; and a frame said, with so many bytes 'p' and padding. */
struct di_frame raw_frame(const struct raw *raw, uint32_t size);
void raw_say_frame(const struct raw *raw, const struct di_frame *frame, size_t payload);

/* The next frame that the listener's side sent: payload has room for it, and for its padding. */
void raw_hear_frame(const struct raw *raw, struct di_frame *frame, unsigned char *payload);

#endif
