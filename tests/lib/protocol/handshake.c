/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/handshake.h"

#include "tests/lib/protocol/vectors.h"

#define SESSION UINT64_C(0x0102030405060708)

static const struct di_hello own = {.version_min = 1,
                                    .version_max = 1,
                                    .frame_max = 65536,
                                    .message_max = 65536,
                                    .session = SESSION};
static const struct di_hello offering = {.version_min = 1,
                                         .version_max = 1,
                                         .has = DI_SHAKE_OFFERS,
                                         .frame_max = 65536,
                                         .message_max = 65536,
                                         .session = SESSION,
                                         .offer = {.boot = {7},
                                                   .mount_ns = UINT64_C(1) << 40,
                                                   .user_ns = 3,
                                                   .uid = 1000,
                                                   .flags = DI_OFFER_ENDPOINT,
                                                   .patience_ms = 2000,
                                                   .nonce = {1, 2, 3}}};

static struct di_shake begin_with(const struct di_hello *hello, bool dialer, unsigned char *out,
                                  size_t *size)
{
    struct di_hello mine = *hello;
    struct di_shake shake;

    mine.session = dialer ? SESSION : 0;
    *size = di_shake_begin(&shake, dialer, &mine, out);
    return shake;
}

static struct di_shake begin(bool dialer, unsigned char *out, size_t *size)
{
    return begin_with(&own, dialer, out, size);
}

static const char *name_of(enum di_shake_state state)
{
    static const char *const names[] = {"OK", "OK", "CHOOSE", "DONE", "MOVED"};

    return names[state];
}

/* Everything that is there; the last outcome. */
static const char *outcome(struct di_shake *shake, const unsigned char *bytes, size_t size,
                           size_t *replied)
{
    unsigned char out[DI_SHAKE_MAX];
    enum duct_err err = DUCT_OK;

    *replied = 0;
    while (err == DUCT_OK && shake->state < DI_SHAKE_CHOOSE && size > 0) {
        size_t used = 0;
        err = di_shake_take(shake, bytes, size, &used, out, replied);
        cr_assert_leq(used, size);
        cr_assert(err != DUCT_OK || used > 0);
        bytes += used;
        size -= used;
    }
    if (err == DUCT_OK)
        return name_of(shake->state);
    if (err == DUCT_ECORRUPT && *replied == 0)
        return "NOPEER";
    return duct_err_name(err);
}

Test(handshake, answers_of_the_file)
{
    FILE *file = fopen(VECTORS, "r");
    struct vector v;
    unsigned count = 0;

    cr_assert_not_null(file);
    for (; next_vector(file, 3, &v); count++) {
        unsigned char out[DI_SHAKE_MAX];
        size_t size;
        bool dialer = strstr(v.words[1], "dialer") != NULL;
        bool offers = strstr(v.words[1], "offering-") != NULL;
        const struct di_hello *mine = offers ? &offering : &own;
        struct di_shake shake = begin_with(mine, dialer, out, &size);
        cr_assert_eq(size > 0, dialer);
        const char *got = outcome(&shake, v.bytes, v.size, &size);
        cr_assert_str_eq(got, v.words[2], "%s: %s", v.words[0], duct_err_detail());
        /* The same, byte by byte as it might come. */
        shake = begin_with(mine, dialer, out, &size);
        const char *slow = "AGAIN";
        size_t from = 0;
        for (size_t to = 1; to <= v.size && (strcmp(slow, "AGAIN") == 0 || strcmp(slow, "OK") == 0);
             to++) {
            size_t used = 0;
            enum duct_err err = di_shake_take(&shake, v.bytes + from, to - from, &used, out, &size);
            from += used;
            slow = err != DUCT_OK
                       ? (err == DUCT_ECORRUPT && size == 0 ? "NOPEER" : duct_err_name(err))
                       : name_of(shake.state);
        }
        cr_assert_str_eq(slow, v.words[2], "%s, slowly", v.words[0]);
    }
    fclose(file);
    cr_assert_eq(count, 52);
}

Test(handshake, two_sides_meet)
{
    unsigned char a[DI_SHAKE_MAX], b[DI_SHAKE_MAX];
    size_t size, used, reply;
    struct di_shake listener = begin(false, b, &size);
    struct di_shake dialer = begin(true, a, &size);

    dialer.own.message_max = 5000;
    cr_assert_eq(di_shake_take(&listener, a, size, &used, b, &reply), DUCT_OK);
    cr_assert_eq(used, size);
    cr_assert_eq(listener.state, DI_SHAKE_READY);
    cr_assert_eq(di_shake_take(&dialer, b, reply, &used, a, &size), DUCT_OK);
    cr_assert(dialer.state == DI_SHAKE_DONE && size > 0);
    cr_assert_eq(di_shake_take(&listener, a, size, &used, b, &reply), DUCT_OK);
    cr_assert(listener.state == DI_SHAKE_DONE && reply == 0);
    cr_assert_eq(listener.own.session, SESSION);
    cr_assert_eq(dialer.peer.message_max, 65536);
}

static bool same_offer(const struct di_offer *a, const struct di_offer *b)
{
    return memcmp(a->boot, b->boot, sizeof(a->boot)) == 0 && a->mount_ns == b->mount_ns &&
           a->user_ns == b->user_ns && a->uid == b->uid && a->flags == b->flags &&
           a->patience_ms == b->patience_ms && memcmp(a->nonce, b->nonce, sizeof(a->nonce)) == 0;
}

/* Both learn what the other offers, and the dialer's last word says where the pipe is. */
Test(handshake, two_offers_and_a_choice)
{
    for (int moved = 0; moved < 2; moved++) {
        unsigned char a[DI_SHAKE_MAX], b[DI_SHAKE_MAX];
        size_t size, used, reply;
        struct di_shake listener = begin_with(&offering, false, b, &size);
        struct di_shake dialer = begin_with(&offering, true, a, &size);

        cr_assert_eq(di_shake_take(&listener, a, size, &used, b, &reply), DUCT_OK);
        cr_assert(same_offer(&listener.peer.offer, &offering.offer));
        cr_assert_eq(di_shake_take(&dialer, b, reply, &used, a, &size), DUCT_OK);
        cr_assert(same_offer(&dialer.peer.offer, &offering.offer));
        cr_assert(dialer.state == DI_SHAKE_CHOOSE && size == 0);
        size = di_shake_choose(&dialer, moved, a);
        cr_assert_eq(di_shake_take(&listener, a, size, &used, b, &reply), DUCT_OK);
        cr_assert_eq(listener.state, moved ? DI_SHAKE_MOVED : DI_SHAKE_DONE);
        cr_assert_eq(dialer.state, listener.state);
    }
}

/* Who makes no offer is not told where this side is, nor a nonce. */
Test(handshake, an_offer_is_made_to_offers_only)
{
    unsigned char a[DI_SHAKE_MAX], b[DI_SHAKE_MAX];
    size_t size, used, reply;
    struct di_shake listener = begin_with(&offering, false, b, &size);
    struct di_shake dialer = begin(true, a, &size);

    cr_assert_eq(di_shake_take(&listener, a, size, &used, b, &reply), DUCT_OK);
    cr_assert_eq(reply, 40);
    cr_assert_eq(di_shake_take(&dialer, b, reply, &used, a, &size), DUCT_OK);
    cr_assert(dialer.state == DI_SHAKE_DONE && dialer.peer.has == 0);
}

/* What one side refuses the other hears, in words. */
Test(handshake, a_refusal_arrives)
{
    unsigned char out[DI_SHAKE_MAX], back[DI_SHAKE_MAX];
    size_t size, used, reply;
    struct di_shake dialer = begin(true, back, &size);

    size = di_shake_refuse(out, DUCT_EDENIED, "uid 7 may not \x1b[2J");
    cr_assert_eq(di_shake_take(&dialer, out, size, &used, back, &reply), DUCT_EDENIED);
    cr_assert(strstr(duct_err_detail(), "uid 7 may not") != NULL && reply == 0);
    cr_assert_null(strchr(duct_err_detail(), 0x1b));
    /* Both ranges of versions are in it. */
    struct di_shake listener = begin(false, out, &size);
    struct di_hello future = own;
    future.version_min = future.version_max = 9;
    size = di_shake_begin(&dialer, true, &future, out);
    cr_assert_eq(di_shake_take(&listener, out, size, &used, back, &reply), DUCT_EVERSION);
    cr_assert_eq(di_shake_take(&dialer, back, reply, &used, out, &size), DUCT_EVERSION);
    cr_assert(strstr(duct_err_detail(), "9 to 9") != NULL &&
              strstr(duct_err_detail(), "1 to 1") != NULL);
}
