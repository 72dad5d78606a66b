/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_HOSTILE_PEER_H
#define TESTS_HOSTILE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/layout.h"

/*
 * A peer written from scratch: from shm/layout.h, which declares what lies in shared memory, and
 * docs/PROTOCOL.md, which says what goes over the control socket. It uses nothing else of the library,
 * so that what it says is what the documents say, and it can say anything.
 *
 * It runs in the victim's own thread, which is what makes the suite countable: whoever plays it says
 * when the victim's loop runs. Only a peer that is to act while the victim sleeps has a thread.
 */

/* docs/PROTOCOL.md, once more. */
enum {
    PEER_RING = 0x01,
    PEER_HELLO = 0x10,
    PEER_SEGMENTS = 0x11,
    PEER_READY = 0x12,
    PEER_REFUSE = 0x13,
    PEER_PROOF = 0x15,
    PEER_CLOSE = 0x20,
    PEER_POOL = 0x21,
    PEER_EVENTFD = 0x22,
    PEER_BELLS = 0x23
};
#define PEER_MAGIC     0x64756374u
#define PEER_CAN_RING  7u /* in every way there is */
#define PEER_CAN_PROVE 32u

struct peer_hello {
    uint32_t type;
    uint32_t magic;
    uint16_t version_min;
    uint16_t version_max;
    uint32_t layout;
    uint32_t has;
    uint32_t needs;
    uint64_t session;
    uint32_t blocks;
    uint32_t slots;
};

struct peer_note {
    uint32_t type;
    uint32_t value;
    uint64_t session;
};

struct peer_proof {
    uint32_t type;
    uint32_t zero;
    uint64_t session;
    unsigned char nonce[16];
};

struct peer_end {
    uint32_t type;
    uint32_t code;
    uint32_t err;
    char text[192];
    uint32_t zero;
};

/* What came over the control socket. */
struct peer_message {
    unsigned char bytes[512];
    size_t size; /* 0: the end */
    int fds[8];
    unsigned fd_count;
};

/* Seals that the protocol asks for. */
#define PEER_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

/* A geometry small enough to be taken in at a glance; all of it may be changed before peer_share(). */
#define PEER_SLOTS       64u
#define PEER_BLOCKS      8u
#define PEER_BLOCK_BYTES 4096u

struct peer {
    int socket;
    uint64_t session;
    struct peer_hello said; /* to be sent by peer_say_hello() */

    /* Its own segments, writable for ever: it maps them before it seals them. */
    struct di_outbox_header header; /* to be written by peer_make() */
    unsigned char *outbox;
    unsigned char *pool;
    int outbox_fd;
    int pool_fd;
    uint64_t tail; /* position of its next descriptor */
    uint64_t returned;

    /* The victim's, as received. */
    struct di_outbox_header theirs;
    const unsigned char *their_outbox;
    const unsigned char *their_pool;
    size_t their_outbox_bytes;
    size_t their_pool_bytes;
    int their_fds[2]; /* outbox, pool */
    uint64_t head;    /* position of the victim's next descriptor */
};

/* ---- The control socket ---- */

/* Fills in what an honest peer would say and make, for that session. */
void peer_begin(struct peer *peer, uint64_t session);

/* Connects; the HELLO it would send is an honest one. */
void peer_connect(struct peer *peer, const char *path);
void peer_close(struct peer *peer);

/* One message with the first fd_count of fds, or, with fds NULL, that many copies of its socket. False
 * if the victim has hung up or its queue is full. */
bool peer_send(struct peer *peer, const void *bytes, size_t size, const int *fds,
               unsigned fd_count);
bool peer_note(struct peer *peer, uint32_t type, uint32_t value, const int *fds, unsigned fd_count);
bool peer_end(struct peer *peer, uint32_t type, uint32_t code, const char *text, size_t size);
bool peer_ring(struct peer *peer);

/* Takes one message if there is one; its descriptors are the caller's. */
bool peer_take(struct peer *peer, struct peer_message *message);
void peer_drop(struct peer_message *message);

/* Whether the victim has ended the connection; what it said before is thrown away. */
bool peer_sees_end(struct peer *peer);

/* ---- Memory ---- */

/* A memfd of that size: allocated or sparse, sealed with seals, and mapped to *base if that is asked for. */
int peer_memfd(size_t size, bool allocate, int seals, unsigned flags, unsigned char **base);

/* Makes both segments as header says; returns of its outbox for a victim with their_blocks. */
void peer_make(struct peer *peer, uint32_t their_blocks);

/* Takes over what a HELLO or SEGMENTS of the victim's brought. False if it is not that. */
bool peer_map(struct peer *peer, struct peer_message *message);

/* ---- Writing whatever it likes ---- */

struct di_slot *peer_slot(struct peer *peer, uint64_t position);
struct di_sender_page *peer_sender_page(struct peer *peer);
struct di_receiver_page *peer_receiver_page(struct peer *peer);

static inline uint64_t peer_head(uint32_t size, uint16_t channel, uint16_t kind)
{
    return (uint64_t)size | (uint64_t)channel << 32 | (uint64_t)kind << 48;
}

static inline uint64_t peer_ref(uint32_t index, uint32_t generation)
{
    return (uint64_t)index | (uint64_t)generation << 32;
}

/* A descriptor at the tail, with a stamp that is off by `off`; the tail moves by one. */
void peer_put(struct peer *peer, uint64_t head, uint64_t ref, uint64_t off);

/* An honest message of up to 40 bytes, and an honest block. */
void peer_put_bytes(struct peer *peer, const void *bytes, uint32_t size, uint64_t tag);
void peer_put_block(struct peer *peer, uint32_t index, uint32_t size);

void peer_set_consumed(struct peer *peer, uint64_t consumed);
void peer_set_returned(struct peer *peer, uint64_t returned);
void peer_return(struct peer *peer, uint64_t ref); /* one entry more, published */

/* Shows interest in everything, for a new sleep, by that doorbell (0 to 3). */
void peer_park(struct peer *peer, unsigned doorbell);

/* What an honest receiver would see next: true if the victim published at its head. */
bool peer_sees(struct peer *peer, uint64_t *head, uint64_t *ref);

#endif
