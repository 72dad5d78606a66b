/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/base/error.h"

static void expect(const char *in, size_t size, const char *expected)
{
    char out[256];
    size_t length = di_text_clean(out, sizeof out, in, size);
    cr_assert_str_eq(out, expected);
    cr_assert_eq(length, strlen(expected));
}

#define EXPECT(in, expected) expect(in, sizeof(in) - 1, expected)

Test(clean, readable_text_stays)
{
    EXPECT("", "");
    EXPECT("plain ~", "plain ~");
    EXPECT("caf\xc3\xa9", "caf\xc3\xa9");
    EXPECT("\xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf",
           "\xe2\x82\xac \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf");
    EXPECT("\xc2\xa0", "\xc2\xa0"); /* the first after C1 */
}

Test(clean, controls_are_spelt_out)
{
    EXPECT("a\0b", "a\\x00"
                   "b");
    EXPECT("\x1b[31m\n", "\\x1b[31m\\x0a");
    EXPECT("\x7f", "\\x7f");
    EXPECT("\xc2\x80\xc2\x9f", "\\xc2\\x80\\xc2\\x9f");
}

Test(clean, malformed_bytes_are_spelt_out)
{
    EXPECT("\x80", "\\x80");                            /* a continuation alone */
    EXPECT("\xc0\xaf", "\\xc0\\xaf");                   /* overlong / */
    EXPECT("\xe0\x80\xaf", "\\xe0\\x80\\xaf");          /* overlong, three bytes */
    EXPECT("\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"); /* overlong, four bytes */
    EXPECT("\xed\xa0\x80", "\\xed\\xa0\\x80");          /* a surrogate */
    EXPECT("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
    EXPECT("\xff", "\\xff");
    EXPECT("\xe2\x82", "\\xe2\\x82");   /* ends in the middle */
    EXPECT("\xe2\x82z", "\\xe2\\x82z"); /* goes on with something else */
}

/* Whatever the capacity: within it, ended by a NUL, and never half a character or escape. */
Test(clean, is_cut_between_characters)
{
    static const char in[] = "a\xc3\xa9\x01\xe2\x82\xac\xf0\x9f\x98\x80";
    static const char whole[] = "a\xc3\xa9\\x01\xe2\x82\xac\xf0\x9f\x98\x80";
    static const size_t cuts[] = {0, 1, 3, 7, 10, 14};
    for (size_t capacity = 1; capacity <= sizeof whole; capacity++) {
        char out[sizeof whole + 1];
        memset(out, '#', sizeof out);
        size_t length = di_text_clean(out, capacity, in, sizeof in - 1);
        size_t expected = 0;
        for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++)
            if (cuts[i] < capacity)
                expected = cuts[i];
        cr_assert_eq(length, expected, "capacity %zu: %zu", capacity, length);
        cr_assert_eq(out[length], '\0');
        cr_assert_eq(memcmp(out, whole, length), 0);
        cr_assert_eq(out[capacity], '#');
    }
    char untouched = '#';
    cr_assert_eq(di_text_clean(&untouched, 0, in, sizeof in - 1), 0);
    cr_assert_eq(untouched, '#');
}
