/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_TRANSPORTS_BOOTSTRAP_H
#define DI_TRANSPORTS_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/error.h>
#include <duct/pipe.h>

/*
 * The messages of the control socket. Pure functions over bytes: no I/O, no clock. Native byte
 * order, since both ends share a machine; docs/PROTOCOL.md has them field by field.
 *
 *   dialer                               listener
 *   HELLO   what it is and offers   →
 *                                   ←    HELLO, with outbox and pool
 *   SEGMENTS, with outbox and pool  →
 *                                   ←    READY
 *
 * A dialer that was told a nonce over another connection shows it with PROOF, right after its HELLO, and is shown
 * its own before the listener's.
 *
 * Either may send REFUSE instead, with a reason in words, and close. Afterwards either side may
 * send RING, CLOSE, POOL (with a segment), EVENTFD and BELLS (with one each).
 */

enum di_boot_type {
    DI_BOOT_RING = 0x01, /* one byte: DI_SOCKET_RING */
    DI_BOOT_HELLO = 0x10,
    DI_BOOT_SEGMENTS = 0x11,
    DI_BOOT_READY = 0x12,
    DI_BOOT_REFUSE = 0x13,
    DI_BOOT_DURABLE = 0x14,
    DI_BOOT_PROOF = 0x15,
    DI_BOOT_CLOSE = 0x20,
    DI_BOOT_POOL = 0x21,
    DI_BOOT_EVENTFD = 0x22,
    DI_BOOT_BELLS = 0x23
};

#define DI_BOOT_MAGIC       0x64756374u /* "duct" */
#define DI_BOOT_VERSION_MIN 1u
#define DI_BOOT_VERSION_MAX 1u

/* Capabilities. A side refuses bits that it does not know in `has`, and in `needs` all but DURABLE and PROOF:
 * every value means something. */
#define DI_CAP_MEMBARRIER \
    (1u << 0)                    /* this process is registered for membarrier(GLOBAL_EXPEDITED) */
#define DI_CAP_EVENTFD (1u << 1) /* it rings eventfds it is given */
#define DI_CAP_BELLS   (1u << 2) /* it rings words of a bells page it is given */
#define DI_CAP_HUGE    (1u << 3) /* its pool lies in huge pages */
#define DI_CAP_DURABLE (1u << 4) /* the pipe is a durable one; has and needs */
#define DI_CAP_PROOF   (1u << 5) /* both show what they were told elsewhere; has and needs */
#define DI_CAPS_NEEDED (DI_CAP_DURABLE | DI_CAP_PROOF)
#define DI_CAPS_KNOWN \
    (DI_CAP_MEMBARRIER | DI_CAP_EVENTFD | DI_CAP_BELLS | DI_CAP_HUGE | DI_CAPS_NEEDED)

#define DI_BOOT_NONCE 16u

struct di_boot_hello {
    uint32_t type;
    uint32_t magic;
    uint16_t version_min;
    uint16_t version_max;
    uint32_t layout;
    uint32_t has;
    uint32_t needs;
    uint64_t session; /* drawn by the dialer, repeated by the listener; never 0 */
    uint32_t
        blocks; /* of the sender's pool, at its largest: what the peer's return ring must hold */
    uint32_t slots; /* of the sender's ring: for messages only */
};

/* REFUSE and CLOSE. */
struct di_boot_end {
    uint32_t type;
    uint32_t code; /* REFUSE: enum duct_err; CLOSE: the application's */
    uint32_t err;  /* CLOSE: DUCT_ECLOSED, or DUCT_ECORRUPT if the sender gave up on its peer */
    char text[DUCT_REASON_MAX];
    uint32_t zero;
};

/* SEGMENTS, READY, POOL, EVENTFD, BELLS. */
struct di_boot_note {
    uint32_t type;
    uint32_t value; /* POOL: number of the segment, from 1 */
    uint64_t session;
};

/* DURABLE: in place of segments, which either side finds by name. */
struct di_boot_durable {
    uint32_t type;
    uint32_t end; /* enum di_end: the sender's */
    uint64_t session;
    uint64_t id; /* of the sender's outbox */
};

/* PROOF: the nonce that the receiver of this message has given to its sender over another connection. */
struct di_boot_proof {
    uint32_t type;
    uint32_t zero;
    uint64_t session;
    unsigned char nonce[DI_BOOT_NONCE];
};

void di_boot_make_hello(struct di_boot_hello *hello, uint64_t session, uint32_t has,
                        uint32_t blocks, uint32_t slots);

/*
 * Checks a HELLO. session: the one it must repeat, or 0 for any. Errors, with the words for a
 * REFUSE in the detail: CORRUPT (not a HELLO), VERSION (both ranges), NOTSUP (an unknown capability
 * is needed).
 */
enum duct_err di_boot_check_hello(const void *bytes, size_t size, uint64_t session,
                                  struct di_boot_hello *hello) DUCT_NODISCARD;

/* Whether both sides mean a durable pipe, or neither. REFUSED. */
enum duct_err di_boot_check_durable(const struct di_boot_hello *hello, bool durable) DUCT_NODISCARD;

/* Whether the peer shows a nonce, and wants to be shown one. CORRUPT: one without the other. */
enum duct_err di_boot_check_proving(const struct di_boot_hello *hello,
                                    bool *proving) DUCT_NODISCARD;

/* Checks a PROOF of the given session; not whether the nonce is the right one. */
bool di_boot_check_proof(const void *bytes, size_t size, uint64_t session,
                         struct di_boot_proof *proof);

/* Checks a DURABLE of the given session. */
bool di_boot_check_ends(const void *bytes, size_t size, uint64_t session,
                        struct di_boot_durable *durable);

void di_boot_make_end(struct di_boot_end *end, enum di_boot_type type, uint32_t code,
                      enum duct_err err, const char *text);

/* Checks a REFUSE or CLOSE; text comes out clean (di_text_clean). False if it is neither. */
bool di_boot_check_end(const void *bytes, size_t size, enum di_boot_type type,
                       struct di_boot_end *end);

/* Checks a note of the given type and session. */
bool di_boot_check_note(const void *bytes, size_t size, enum di_boot_type type, uint64_t session,
                        struct di_boot_note *note);

/* The type of a message, or 0. */
uint32_t di_boot_type(const void *bytes, size_t size);

#endif
