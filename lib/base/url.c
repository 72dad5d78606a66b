/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/url.h"

#include <stdbool.h>
#include <string.h>

#include "lib/base/error.h"

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_scheme_char(char c)
{
    return is_lower(c) || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
}

/* The address stands last: should the sentence be cut, it is the part the caller knows. */
static enum duct_err refuse(const char *text, size_t length, size_t at, const char *expected)
{
    char shown[DI_DETAIL_MAX / 2];
    di_text_clean(shown, sizeof shown, text, length);
    if (at < length) {
        char found[8]; /* \xNN and the NUL */
        di_text_clean(found, sizeof found, text + at, 1);
        return di_fail(DUCT_EINVAL, "address, position %zu: expected %s, found '%s', in \"%s\"", at,
                       expected, found, shown);
    }
    return di_fail(DUCT_EINVAL, "address, position %zu: expected %s, found the end, in \"%s\"", at,
                   expected, shown);
}

static enum duct_err check_characters(const char *text, size_t length)
{
    if (length > DI_URL_MAX)
        return refuse(text, length, DI_URL_MAX, "the end: an address has at most 512 bytes");
    for (size_t i = 0; i < length; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return refuse(text, length, i, "printable ASCII (write other bytes of a value as %XX)");
    return DUCT_OK;
}

_Static_assert(DI_URL_MAX == 512, "the sentence above names the number");

/* Copies the piece from to, which is shorter than a url, hence than its target. */
static void take(char *target, const char *text, size_t from, size_t to)
{
    memcpy(target, text + from, to - from);
    target[to - from] = '\0';
}

enum duct_err di_url_parse(struct di_url *url, const char *text)
{
    if (text == NULL)
        return di_fail(DUCT_EINVAL, "address: expected scheme://name, found NULL");
    size_t length = strnlen(text, DI_URL_MAX + 1);
    enum duct_err err = check_characters(text, length);
    if (err)
        return err;

    size_t scheme_size = 0;
    while (scheme_size < length && is_scheme_char(text[scheme_size]))
        scheme_size++;
    if (length == 0 || !is_lower(text[0]))
        return refuse(text, length, 0, "a scheme in lower case, such as shm://name");
    if (scheme_size > DI_SCHEME_MAX)
        return refuse(text, length, DI_SCHEME_MAX, "://, since no scheme is longer than 15");
    if (strncmp(text + scheme_size, "://", 3) != 0)
        return refuse(text, length, scheme_size, "://");

    size_t rest_at = scheme_size + 3;
    const char *mark = memchr(text + rest_at, '?', length - rest_at);
    size_t rest_end = mark == NULL ? length : (size_t)(mark - text);
    if (rest_end == rest_at)
        return refuse(text, length, rest_at, "a name, path or host");

    take(url->scheme, text, 0, scheme_size);
    take(url->rest, text, rest_at, rest_end);
    url->rest_at = rest_at;
    url->query_at = mark == NULL ? length : rest_end + 1;
    take(url->query, text, url->query_at, length);
    return DUCT_OK;
}

_Static_assert(DI_SCHEME_MAX == 15, "a sentence above names the number");
