/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/input.h"
#include "fuzz/plain.h"
#include "lib/base/error.h"
#include "lib/base/url.h"
#include "transports/auto.h"

/* Addresses, which come from users and configuration files, and the options in them. */

static void check_detail(enum duct_err err)
{
    const char *detail = duct_err_detail();

    FUZZ_CHECK(err == DUCT_EINVAL);
    FUZZ_CHECK(detail[0] != '\0' && strlen(detail) < DI_DETAIL_MAX);
    FUZZ_CHECK(plain_text(detail, strlen(detail)));
}

/* The parts are the whole. */
static void check_url(const struct di_url *url, const char *text)
{
    char again[sizeof(struct di_url)];
    bool mark = strchr(text, '?') != NULL;

    snprintf(again, sizeof(again), "%s://%s%s%s", url->scheme, url->rest, mark ? "?" : "",
             url->query);
    FUZZ_CHECK(strcmp(again, text) == 0);
    FUZZ_CHECK(strlen(text) <= DI_URL_MAX && url->rest[0] != '\0');
    FUZZ_CHECK(strncmp(text + url->rest_at, url->rest, strlen(url->rest)) == 0);
    FUZZ_CHECK(strcmp(text + url->query_at, url->query) == 0);
}

/* The two addresses in one of auto:// are the whole, each at its place. */
static void check_halves(const struct di_url *url, const struct duct_options *options)
{
    struct auto_addresses halves;
    char again[2 * sizeof(halves.shm.rest)];
    enum duct_err err = auto_take_apart(&halves, url, options);

    if (err != DUCT_OK) {
        FUZZ_CHECK(err == DUCT_EINVAL || err == DUCT_ENOTSUP);
        FUZZ_CHECK(plain_text(duct_err_detail(), strlen(duct_err_detail())));
        return;
    }
    snprintf(again, sizeof(again), "%s@%s", halves.shm.rest, halves.tcp.rest);
    FUZZ_CHECK(strcmp(again, url->rest) == 0);
    FUZZ_CHECK(halves.shm.rest[0] != '\0' && halves.tcp.rest[0] != '\0');
    FUZZ_CHECK(strchr(halves.tcp.rest, '@') == NULL);
    FUZZ_CHECK(halves.shm.rest_at == url->rest_at);
    FUZZ_CHECK(halves.tcp.rest_at == url->rest_at + strlen(halves.shm.rest) + 1);
}

static void check_values(const struct duct_options *o)
{
    FUZZ_CHECK(o->size == sizeof(*o));
    FUZZ_CHECK(o->slots >= 2 && o->slots <= 65536 && (o->slots & (o->slots - 1)) == 0);
    FUZZ_CHECK(o->max_msg >= 1 && o->max_msg <= 1u << 30);
    FUZZ_CHECK(o->pool >= o->max_msg && o->pool_max >= o->pool && o->pool_max <= 1ull << 40);
    FUZZ_CHECK(o->peer_bytes_max >= 1 && o->peer_bytes_max <= 1ull << 40);
    FUZZ_CHECK(o->held_max >= 1 && o->held_max <= 1u << 20);
    FUZZ_CHECK(o->wait >= DUCT_WAIT_SPIN && o->wait <= DUCT_WAIT_PARK);
    FUZZ_CHECK((unsigned)o->bell <= DUCT_BELL_SOCKET && (unsigned)o->fence <= DUCT_FENCE_SLEEPER);
    FUZZ_CHECK(o->spin_ns >= 0 && o->dial_ns > 0 && o->handshake_ns > 0 && o->linger_ns >= 0);
    FUZZ_CHECK(o->backlog >= 1 && o->backlog <= 65535);
    FUZZ_CHECK((o->allow_uids == NULL) == (o->allow_uid_count == 0));
}

/* On one processor, where an unset spin is none: what was merged, merged again, is the same. */
static void check_again(const struct di_options *first)
{
    struct di_options second;

    FUZZ_CHECK(di_options_merge(&second, &first->o, NULL, 1) == DUCT_OK);
    FUZZ_CHECK(second.o.allow_uid_count == first->o.allow_uid_count);
    for (size_t i = 0; i < first->o.allow_uid_count; i++)
        FUZZ_CHECK(second.o.allow_uids[i] == first->o.allow_uids[i]);
    struct duct_options own = second.o;
    own.allow_uids = first->o.allow_uids;
    FUZZ_CHECK((own.dir == NULL) == (first->o.dir == NULL));
    FUZZ_CHECK(own.dir == NULL || strcmp(own.dir, first->o.dir) == 0);
    own.dir = first->o.dir;
    FUZZ_CHECK(memcmp(&own, &first->o, sizeof(own)) == 0);
    di_options_fini(&second);
}

/* A copy has lists and paths of its own, which say the same. */
static void check_copy(const struct di_options *first)
{
    struct di_options copy;

    FUZZ_CHECK(di_options_copy(&copy, first) == DUCT_OK);
    FUZZ_CHECK((copy.o.allow_uids == NULL) == (first->o.allow_uids == NULL));
    FUZZ_CHECK((copy.o.dir == NULL) == (first->o.dir == NULL));
    if (first->o.allow_uids != NULL)
        FUZZ_CHECK(copy.o.allow_uids != first->o.allow_uids &&
                   memcmp(copy.o.allow_uids, first->o.allow_uids,
                          first->o.allow_uid_count * sizeof(uint32_t)) == 0);
    if (first->o.dir != NULL)
        FUZZ_CHECK(copy.o.dir != first->o.dir && strcmp(copy.o.dir, first->o.dir) == 0);
    di_options_fini(&copy);
}

/*
 * Options as a program gives them, any bytes in each, and an address that may say otherwise. An input of this
 * kind begins with a byte that no address has.
 */
enum { STRUCT_MARK = 0x01 };

static void given_options(struct input *in)
{
    static const uint32_t uids[3] = {0, 1000, UINT32_MAX};
    /* A newer program's struct is longer: as long as its size may say. */
    union {
        struct duct_options options;
        unsigned char bytes[4096];
    } given = {.bytes = {0}};
    struct di_options merged;
    struct di_url url;
    char text[DI_URL_MAX + 2] = {0};
    uint8_t how = input_byte(in);

    input_bytes(in, given.bytes, sizeof(given.options));
    if (how & 1)
        given.options.size = sizeof(given.options);
    given.options.context = NULL;
    if (how & 16)
        given.bytes[sizeof(given.options) + how / 32] = 1; /* a field of tomorrow's */
    given.options.allow_uids = how & 2 ? uids : NULL;
    if (given.options.allow_uids != NULL && given.options.allow_uid_count <= 1024)
        given.options.allow_uid_count %= 4;
    given.options.dir = how & 4 ? "/tmp" : how & 8 ? "elsewhere" : NULL;
    input_bytes(in, text, in->left < DI_URL_MAX ? in->left : DI_URL_MAX);
    bool addressed = di_url_parse(&url, text) == DUCT_OK;
    enum duct_err err = di_options_merge(&merged, &given.options, addressed ? &url : NULL, 1);
    if (err != DUCT_OK) {
        check_detail(err);
        return;
    }
    check_values(&merged.o);
    check_again(&merged);
    check_copy(&merged);
    di_options_fini(&merged);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    if (size > 0 && input_byte(&in) == STRUCT_MARK) {
        given_options(&in);
        return 0;
    }
    FUZZ_CHECK(di_url_parse(NULL, NULL) == DUCT_EINVAL);
    char *text = malloc(size + 1);
    struct di_url url;
    struct di_options merged;

    if (text == NULL)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    enum duct_err err = di_url_parse(&url, text);
    if (err == DUCT_OK) {
        check_url(&url, text);
        err = di_options_merge(&merged, NULL, &url, 1);
        if (err == DUCT_OK) {
            check_values(&merged.o);
            check_again(&merged);
            check_copy(&merged);
            check_halves(&url, &merged.o);
            di_options_fini(&merged);
        }
    }
    if (err != DUCT_OK)
        check_detail(err);
    free(text);
    return 0;
}
