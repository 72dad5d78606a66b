/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "lib/base/url.h"

Test(url, parts_and_positions)
{
    struct di_url url;
    cr_assert_eq(di_url_parse(&url, "shm://prices?slots=4&wait=park"), DUCT_OK);
    cr_assert_str_eq(url.scheme, "shm");
    cr_assert_str_eq(url.rest, "prices");
    cr_assert_str_eq(url.query, "slots=4&wait=park");
    cr_assert_eq(url.rest_at, 6);
    cr_assert_eq(url.query_at, 13);
}

Test(url, the_forms_of_the_design)
{
    static const char *const good[] = {"shm:///run/x.sock",  "uds:///a/path",  "uds://@abstract",
                                       "tcp://host:80",      "tls://[::1]:80", "pipe://name",
                                       "auto://name@host:1", "shm://x?",       "shm:///a b"};
    struct di_url url;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        cr_assert_eq(di_url_parse(&url, good[i]), DUCT_OK, "%s: %s", good[i], duct_err_detail());
    cr_assert_eq(di_url_parse(&url, "shm://x?a=b?c"), DUCT_OK); /* the first ? counts */
    cr_assert_str_eq(url.query, "a=b?c");
}

static void refused(const char *text, const char *position, const char *expected)
{
    struct di_url url;
    cr_assert_eq(di_url_parse(&url, text), DUCT_EINVAL, "%s was accepted", text);
    cr_assert_not_null(strstr(duct_err_detail(), position), "%s: %s", text, duct_err_detail());
    cr_assert_not_null(strstr(duct_err_detail(), expected), "%s: %s", text, duct_err_detail());
}

Test(url, refusals_say_where_and_what)
{
    refused("", "position 0", "scheme");
    refused("prices", "position 6", "://");
    refused("://x", "position 0", "scheme");
    refused("Shm://x", "position 0", "lower case");
    refused("1shm://x", "position 0", "scheme");
    refused("shm:/x", "position 3", "://");
    refused("shm//x", "position 3", "://");
    refused("shm://", "position 6", "name");
    refused("shm://?slots=2", "position 6", "name");
    refused("abcdefghijklmnop://x", "position 15", "://");
    refused("shm://a\tb", "position 7", "printable");
    refused("shm://a\tb", "position 7", "\\x09");
    refused("shm://caf\xc3\xa9", "position 9", "printable");
    struct di_url url;
    cr_assert_eq(di_url_parse(&url, NULL), DUCT_EINVAL);
}

Test(url, a_refusal_writes_nothing)
{
    struct di_url url, before;
    memset(&url, 0x5a, sizeof url);
    before = url;
    cr_assert_eq(di_url_parse(&url, "shm://"), DUCT_EINVAL);
    cr_assert_eq(memcmp(&url, &before, sizeof url), 0);
}

Test(url, the_longest_and_one_more)
{
    char text[DI_URL_MAX + 2];
    memset(text, 'x', sizeof text);
    memcpy(text, "shm://", 6);
    text[DI_URL_MAX] = '\0';
    struct di_url url;
    cr_assert_eq(di_url_parse(&url, text), DUCT_OK);
    cr_assert_eq(strlen(url.rest), DI_URL_MAX - 6);
    text[DI_URL_MAX] = 'x';
    text[DI_URL_MAX + 1] = '\0';
    refused(text, "position 512", "512 bytes");
    cr_assert_eq(di_url_parse(&url, "abcdefghijklmno://x"), DUCT_OK);
    cr_assert_eq(strlen(url.scheme), DI_SCHEME_MAX);
}
