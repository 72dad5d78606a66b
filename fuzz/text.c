/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/input.h"
#include "fuzz/plain.h"
#include "lib/base/error.h"

/* A peer's words on their way to a terminal: valid, bounded, without control characters. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    size_t capacity = input_u16(&in) % 1024;
    size_t given;
    uint8_t *text = input_rest(&in, &given);
    char *out = malloc(capacity + 1);
    char *again = malloc(capacity + 1);

    FUZZ_CHECK(out != NULL && again != NULL);
    memset(out, 'x', capacity + 1);
    size_t length = di_text_clean(out, capacity, text, given);
    FUZZ_CHECK(out[capacity] == 'x');
    if (capacity == 0) {
        FUZZ_CHECK(length == 0);
    } else {
        FUZZ_CHECK(length < capacity && out[length] == '\0' && strlen(out) == length);
        FUZZ_CHECK(length <= 4 * given);
        FUZZ_CHECK(plain_text(out, length));
        /* Nothing is lost that there was room for, and what is clean stays as it is. */
        FUZZ_CHECK(length >= given || capacity - length <= 8);
        FUZZ_CHECK(di_text_clean(again, capacity, out, length) == length);
        FUZZ_CHECK(memcmp(again, out, length + 1) == 0);
        if (plain_text((const char *)text, given) && given < capacity)
            FUZZ_CHECK(length == given && memcmp(out, text, given) == 0);
    }
    free(again);
    free(out);
    free(text);
    return 0;
}
