/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/handshake.h"

#include "fuzz/input.h"
#include "fuzz/plain.h"

/* The beginning of a byte stream: any bytes, from anybody who may connect, to either side. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct di_hello own = {.version_min = 1,
                           .version_max = 1,
                           .frame_max = 65536,
                           .message_max = 65536,
                           .session = UINT64_C(0x0102030405060708),
                           .offer = {.nonce = {1}}};
    unsigned char out[DI_SHAKE_MAX];
    struct input in = {.at = data, .left = size};
    struct di_shake shake;
    size_t given, reply;
    uint8_t which = input_byte(&in);
    bool dialer = which & 1;
    uint8_t *bytes = input_rest(&in, &given);
    enum duct_err err = DUCT_OK;

    own.has = which & 2 ? DI_SHAKE_OFFERS : 0;
    di_shake_begin(&shake, dialer, &own, out);
    for (size_t at = 0; err == DUCT_OK && shake.state < DI_SHAKE_CHOOSE && at < given;) {
        size_t used = 0;
        err = di_shake_take(&shake, bytes + at, given - at, &used, out, &reply);
        FUZZ_CHECK(reply <= DI_SHAKE_MAX && used <= given - at);
        FUZZ_CHECK(err != DUCT_OK || used >= 8);
        at += used;
    }
    if (err != DUCT_OK && err != DUCT_EAGAIN)
        FUZZ_CHECK(plain_text(duct_err_detail(), strlen(duct_err_detail())));
    if (shake.state == DI_SHAKE_CHOOSE || shake.state == DI_SHAKE_MOVED) {
        static const unsigned char none[DI_NONCE_SIZE];
        FUZZ_CHECK(di_shake_offered(&shake) && dialer == (shake.state == DI_SHAKE_CHOOSE));
        FUZZ_CHECK(memcmp(shake.peer.offer.nonce, none, sizeof(none)) != 0);
    }
    if (shake.state >= DI_SHAKE_CHOOSE)
        FUZZ_CHECK(shake.own.session == shake.peer.session && shake.own.session != 0 &&
                   shake.peer.frame_max >= 1024 && shake.peer.message_max >= 1);
    free(bytes);
    return 0;
}
