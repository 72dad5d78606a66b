/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/wire.h"

#include "fuzz/input.h"
#include "fuzz/plain.h"

/* A frame's header, and the payload of a CLOSE: any bytes, from anybody who may connect. */

static void check_close(const uint8_t *bytes, size_t size)
{
    struct di_close close;

    if (di_close_get(&close, bytes, size) != DUCT_OK)
        return;
    size_t length = strnlen(close.text, sizeof(close.text));
    FUZZ_CHECK(length < sizeof(close.text) && plain_text(close.text, length));
    FUZZ_CHECK(close.err < DUCT_ERR_COUNT);
    /* Written again, it is taken again, and says the same. */
    unsigned char again[DI_CLOSE_SIZE_MAX];
    struct di_close second;
    size_t used = di_close_put(again, close.code, close.err, close.text);
    FUZZ_CHECK(used <= sizeof(again) && di_close_get(&second, again, used) == DUCT_OK);
    FUZZ_CHECK(second.code == close.code && second.err == close.err);
    FUZZ_CHECK(strcmp(second.text, close.text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct di_wire_rules rules = {
        .session = 0x05060708, .frame_max = 65536, .message_max = 100000};
    struct di_frame frame, untouched;
    unsigned char again[DI_WIRE_HEADER];

    check_close(data, size);
    if (size < DI_WIRE_HEADER)
        return 0;
    memset(&frame, 0xa5, sizeof(frame));
    untouched = frame;
    enum duct_err err = di_wire_get(&frame, data, &rules);
    if (err != DUCT_OK) {
        FUZZ_CHECK(err == DUCT_ECORRUPT && memcmp(&frame, &untouched, sizeof(frame)) == 0);
        FUZZ_CHECK(plain_text(duct_err_detail(), strlen(duct_err_detail())));
        return 0;
    }
    FUZZ_CHECK(frame.size <= rules.frame_max && frame.whole <= rules.message_max);
    FUZZ_CHECK((uint64_t)frame.offset + frame.size <= rules.message_max);
    /* What is accepted has one way to be written. */
    di_wire_put(again, &frame);
    FUZZ_CHECK(memcmp(again, data, sizeof(again)) == 0);
    return 0;
}
