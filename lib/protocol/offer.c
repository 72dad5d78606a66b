/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/offer.h"

#include <string.h>

#include "lib/base/error.h"
#include "lib/protocol/bytes.h"

/* Where the fields are. */
enum {
    AT_BOOT = 0,
    AT_MOUNT_NS = 16,
    AT_USER_NS = 24,
    AT_UID = 32,
    AT_FLAGS = 36,
    AT_PATIENCE = 40,
    AT_ZERO = 44, /* what is here means nothing */
    AT_NONCE = 48
};

void di_offer_put(unsigned char *out, const struct di_offer *offer)
{
    memcpy(out + AT_BOOT, offer->boot, sizeof(offer->boot));
    di_put64(out + AT_MOUNT_NS, offer->mount_ns);
    di_put64(out + AT_USER_NS, offer->user_ns);
    di_put32(out + AT_UID, offer->uid);
    di_put32(out + AT_FLAGS, offer->flags);
    di_put32(out + AT_PATIENCE, offer->patience_ms);
    di_put32(out + AT_ZERO, 0);
    memcpy(out + AT_NONCE, offer->nonce, sizeof(offer->nonce));
}

enum duct_err di_offer_get(struct di_offer *offer, const unsigned char *in)
{
    static const unsigned char none[DI_NONCE_SIZE];
    struct di_offer got = {.mount_ns = di_get64(in + AT_MOUNT_NS),
                           .user_ns = di_get64(in + AT_USER_NS),
                           .uid = di_get32(in + AT_UID),
                           .flags = di_get32(in + AT_FLAGS),
                           .patience_ms = di_get32(in + AT_PATIENCE)};

    memcpy(got.boot, in + AT_BOOT, sizeof(got.boot));
    memcpy(got.nonce, in + AT_NONCE, sizeof(got.nonce));
    if (memcmp(got.nonce, none, sizeof(none)) == 0)
        return di_fail(DUCT_ECORRUPT, "the peer offers to share memory, without a nonce");
    *offer = got;
    return DUCT_OK;
}
