/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_HANDSHAKE_H
#define DI_PROTOCOL_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>

#include "lib/protocol/offer.h"

/*
 * The beginning of a byte stream: who speaks what. Bytes in, bytes out; no I/O, no clock.
 *
 *   dialer                listener
 *   HELLO             →
 *                     ←   HELLO
 *   READY             →      or MOVED, after both have made an offer
 *
 * Two sides that offer shared memory stop before the last message: the dialer finds out whether they share some,
 * and says with it whether the pipe is here (READY) or there (MOVED). It alone decides, and there is one message
 * that says so, hence one pipe.
 *
 * Either side may send REFUSE instead, with a reason in words, and hang up. A HELLO may be longer than this
 * version knows; what is added at its end is ignored, what must not be ignored is a bit in `needs`.
 */
#define DI_SHAKE_MAGIC       0x64756374u /* "duct" */
#define DI_SHAKE_VERSION_MIN 1u
#define DI_SHAKE_VERSION_MAX 1u
#define DI_SHAKE_MAX         512u /* largest message of the handshake */

struct di_hello {
    uint16_t version_min;
    uint16_t version_max;
    uint32_t has;          /* capabilities; unknown ones are of no use, and no harm */
    uint32_t needs;        /* capabilities required of the peer; unknown ones are refused */
    uint32_t frame_max;    /* largest payload of a frame that this side takes; at least 1,024 */
    uint64_t message_max;  /* largest message that this side sends or takes; at least 1 */
    uint64_t session;      /* drawn by the dialer, repeated by the listener; not 0 */
    struct di_offer offer; /* with DI_SHAKE_OFFERS in has */
};

/* Capabilities. */
enum { DI_SHAKE_OFFERS = 1 }; /* its HELLO has an offer at the end */

/* From CHOOSE on nothing more is to be taken. */
enum di_shake_state {
    DI_SHAKE_HELLO,
    DI_SHAKE_READY,
    DI_SHAKE_CHOOSE, /* the dialer's, after two offers: di_shake_choose() ends it */
    DI_SHAKE_DONE,
    DI_SHAKE_MOVED /* over, and the pipe is elsewhere */
};

struct di_shake {
    bool dialer;
    enum di_shake_state state; /* what is expected next */
    struct di_hello own;
    struct di_hello peer; /* from READY or DONE on */
};

/* Whether the peer has made an offer, and this side too. */
bool di_shake_offered(const struct di_shake *shake);

/* own.session: of the dialer. Puts what is to be sent first, if anything, into out: its size. */
size_t di_shake_begin(struct di_shake *shake, bool dialer, const struct di_hello *own,
                      unsigned char *out);

/*
 * Takes one message from the front of size bytes: *used of them. DUCT_OK: go on, until the state is CHOOSE or
 * beyond. AGAIN: not all of it is there. CORRUPT (no duct peer, or one that broke the rules), VERSION, NOTSUP,
 * or, refused by the peer, VERSION, DENIED, REFUSED: it failed, and the detail says why. *reply bytes of out,
 * which has DI_SHAKE_MAX, are to be sent in every case, a refusal for one; nothing to who is no duct peer.
 */
enum duct_err di_shake_take(struct di_shake *shake, const unsigned char *in, size_t size,
                            size_t *used, unsigned char *out, size_t *reply) DUCT_NODISCARD;

/* In CHOOSE: says where the pipe is; its size. */
size_t di_shake_choose(struct di_shake *shake, bool moved, unsigned char *out);

/* A REFUSE, for reasons of the caller's: its size. */
size_t di_shake_refuse(unsigned char *out, enum duct_err err, const char *text);

#endif
