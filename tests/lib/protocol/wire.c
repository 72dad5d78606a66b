/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/wire.h"

#include "tests/lib/protocol/vectors.h"

static const struct di_wire_rules rules = {
    .session = 0x05060708, .frame_max = 65536, .message_max = 100000};

Test(wire, headers_of_the_file)
{
    FILE *file = fopen(VECTORS, "r");
    struct vector v;
    unsigned count = 0;

    cr_assert_not_null(file);
    for (; next_vector(file, 2, &v); count++) {
        struct di_frame frame = {.size = 77};
        unsigned char again[DI_WIRE_HEADER];
        cr_assert_eq(v.size, DI_WIRE_HEADER, "%s", v.words[0]);
        enum duct_err err = di_wire_get(&frame, v.bytes, &rules);
        cr_assert_str_eq(err == DUCT_OK ? "OK" : duct_err_name(err), v.words[1], "%s: %s",
                         v.words[0], duct_err_detail());
        if (err != DUCT_OK) {
            cr_assert_eq(frame.size, 77, "%s: written although it failed", v.words[0]);
            continue;
        }
        /* And back, byte by byte. */
        di_wire_put(again, &frame);
        cr_assert(memcmp(again, v.bytes, sizeof(again)) == 0, "%s", v.words[0]);
    }
    fclose(file);
    cr_assert_eq(count, 29);
}

Test(wire, fields_are_where_they_belong)
{
    static const unsigned char bytes[DI_WIRE_HEADER] = {0, 0, 1, 0, 1, 0, 0, 0, 1, 2, 3, 4, 5, 6,
                                                        7, 8, 5, 6, 7, 8, 9, 0, 0, 1, 8, 0, 0, 2,
                                                        0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 0, 0};
    struct di_frame frame;

    cr_assert_eq(di_wire_get(&frame, bytes, &rules), DUCT_OK, "%s", duct_err_detail());
    cr_assert(frame.size == 256 && frame.type == DI_FRAME_DATA && frame.channel == 0);
    cr_assert_eq(frame.tag, 0x0102030405060708);
    cr_assert(frame.session == 0x05060708 && frame.seq == 0x09000001 && frame.ack == 0x08000002);
    cr_assert(frame.whole == 1024 && frame.offset == 512);
}

Test(wire, padding)
{
    cr_assert_eq(di_wire_padded(0), 0);
    cr_assert_eq(di_wire_padded(1), 8);
    cr_assert_eq(di_wire_padded(8), 8);
    cr_assert_eq(di_wire_padded(65535), 65536);
}

Test(wire, a_close_keeps_its_words_and_loses_what_steers_terminals)
{
    unsigned char bytes[DI_CLOSE_SIZE_MAX];
    struct di_close close;
    char text[400];

    size_t size = di_close_put(bytes, 42, DUCT_ECLOSED, "done \x1b[31m");
    cr_assert_eq(size, 8 + 10);
    cr_assert_eq(di_close_get(&close, bytes, size), DUCT_OK);
    cr_assert(close.code == 42 && close.err == DUCT_ECLOSED);
    cr_assert(strncmp(close.text, "done ", 5) == 0 && strchr(close.text, 0x1b) == NULL);
    memset(text, 'x', sizeof(text));
    text[399] = '\0';
    size = di_close_put(bytes, 0, DUCT_ECLOSED, text);
    cr_assert_eq(size, 8 + DI_CLOSE_TEXT_MAX - 1);
    cr_assert_eq(di_close_get(&close, bytes, size), DUCT_OK);
    cr_assert_eq(strlen(close.text), DI_CLOSE_TEXT_MAX - 1);
    cr_assert_eq(di_close_get(&close, bytes, 7), DUCT_ECORRUPT);
    cr_assert_eq(di_close_get(&close, bytes, DI_CLOSE_SIZE_MAX + 1), DUCT_ECORRUPT);
    bytes[7] = DUCT_ERR_COUNT;
    cr_assert_eq(di_close_get(&close, bytes, 8), DUCT_ECORRUPT);
}
