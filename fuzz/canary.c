/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/input.h"
#include "lib/base/url.h"

/*
 * Not a test of the library, but of the fuzzing: an address whose name begins with q reads one byte
 * past its copy. To find it takes a library that reports where it has been, and a sanitizer that
 * sees the byte.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct di_url url;
    char *text = malloc(size + 1);
    int found = 0;

    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    if (di_url_parse(&url, text) == DUCT_OK && url.rest[0] == 'q')
        found = text[size + 1] == 'q';
    free(text);
    return found;
}
