/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_PROTOCOL_OFFER_H
#define DI_PROTOCOL_OFFER_H

#include <stdint.h>

#include <duct/error.h>

/*
 * What a side that can also share memory appends to its HELLO: where it is, and a nonce. Nothing in it is believed
 * but what is proved: who shows the nonce on another path is the one who was told it on this one. The rest says
 * whether that is worth trying, and why it failed.
 */
#define DI_NONCE_SIZE 16u
#define DI_OFFER_SIZE 64u

enum { DI_OFFER_ENDPOINT = 1 }; /* flags: this side listens for it */

struct di_offer {
    unsigned char boot[16]; /* of its kernel; zeroes: unknown */
    uint64_t mount_ns;      /* its namespaces, by number; 0: unknown */
    uint64_t user_ns;
    uint32_t uid; /* as its own user namespace counts */
    uint32_t flags;
    uint32_t patience_ms;               /* the listener's: how long it gives this handshake */
    unsigned char nonce[DI_NONCE_SIZE]; /* drawn at random for this connection; not all zero */
};

/* DI_OFFER_SIZE bytes. */
void di_offer_put(unsigned char *out, const struct di_offer *offer);

/* From that many bytes. CORRUPT: without a nonce. */
enum duct_err di_offer_get(struct di_offer *offer, const unsigned char *in) DUCT_NODISCARD;

#endif
