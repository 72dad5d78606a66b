/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include "shm/layout.h"
#include "transports/bootstrap.h"

/* The codec of the control socket: what is made is accepted, and every other value is refused. */

#define HELLO(expected, change)                                                                 \
    do {                                                                                        \
        struct di_boot_hello h, out;                                                            \
        size_t size = sizeof(h);                                                                \
        uint64_t session = 0;                                                                   \
        di_boot_make_hello(&h, 77, DI_CAP_EVENTFD, 30, 256);                                    \
        change;                                                                                 \
        memset(&out, 0xee, sizeof(out));                                                        \
        cr_expect_eq(di_boot_check_hello(&h, size, session, &out), expected, "%s: %s", #change, \
                     duct_err_detail());                                                        \
        if ((expected) != DUCT_OK)                                                              \
            cr_expect_eq(((unsigned char *)&out)[5], 0xee, "%s wrote its result", #change);     \
        (void)session;                                                                          \
    } while (0)

Test(bootstrap, hello)
{
    HELLO(DUCT_OK, (void)0);
    HELLO(DUCT_OK, session = 77);
    HELLO(DUCT_ECORRUPT, session = 78);
    HELLO(DUCT_ECORRUPT, h.session = 0);
    HELLO(DUCT_ECORRUPT, size--);
    HELLO(DUCT_ECORRUPT, size = 0);
    HELLO(DUCT_ECORRUPT, size = 4);
    HELLO(DUCT_ECORRUPT, size++);
    HELLO(DUCT_ECORRUPT, h.type = DI_BOOT_READY);
    HELLO(DUCT_ECORRUPT, h.type = 0);
    HELLO(DUCT_ECORRUPT, h.magic ^= 1);
    HELLO(DUCT_ECORRUPT, h.version_min = 0);
    HELLO(DUCT_ECORRUPT, h.version_min = h.version_max + 1);
    HELLO(DUCT_EVERSION, (h.version_min = DI_BOOT_VERSION_MAX + 1, h.version_max = 65535));
    HELLO(DUCT_OK, h.version_max = 65535);
    HELLO(DUCT_EVERSION, h.layout = DI_LAYOUT_VERSION + 1);
    HELLO(DUCT_EVERSION, h.layout = 0);
    for (unsigned bit = 0; bit < 32; bit++) {
        bool known = (1u << bit & DI_CAPS_KNOWN) != 0;
        HELLO(known ? DUCT_OK : DUCT_ENOTSUP, h.has = 1u << bit);
        HELLO((1u << bit & DI_CAPS_NEEDED) != 0 ? DUCT_OK : DUCT_ENOTSUP, h.needs = 1u << bit);
    }
    HELLO(DUCT_ECORRUPT, h.blocks = 0);
    HELLO(DUCT_OK, h.blocks = DI_BLOCKS_MAX);
    HELLO(DUCT_ECORRUPT, h.blocks = DI_BLOCKS_MAX + 1);
    HELLO(DUCT_ECORRUPT, h.blocks = UINT32_MAX);
}

Test(bootstrap, durable_or_not)
{
    struct di_boot_hello hello = {.has = 0};
    struct di_boot_durable ends = {.type = DI_BOOT_DURABLE, .end = 1, .session = 7, .id = 9}, out;

    cr_assert_eq(di_boot_check_durable(&hello, false), DUCT_OK);
    cr_assert_eq(di_boot_check_durable(&hello, true), DUCT_EREFUSED);
    hello.has = DI_CAP_DURABLE;
    cr_assert_eq(di_boot_check_durable(&hello, false), DUCT_ECORRUPT, "had and not needed");
    hello.needs = DI_CAP_DURABLE;
    cr_assert_eq(di_boot_check_durable(&hello, true), DUCT_OK);
    cr_assert_eq(di_boot_check_durable(&hello, false), DUCT_EREFUSED);
    hello.has = 0;
    cr_assert_eq(di_boot_check_durable(&hello, true), DUCT_ECORRUPT, "needed and not had");

    cr_assert(di_boot_check_ends(&ends, sizeof(ends), 7, &out) && out.id == 9);
    cr_assert_not(di_boot_check_ends(&ends, sizeof(ends), 8, &out), "another session");
    cr_assert_not(di_boot_check_ends(&ends, sizeof(ends) - 1, 7, &out));
    ends.id = 0;
    cr_assert_not(di_boot_check_ends(&ends, sizeof(ends), 7, &out));
}

Test(bootstrap, proof)
{
    struct di_boot_hello hello = {.has = 0};
    struct di_boot_proof proof = {.type = DI_BOOT_PROOF, .session = 7, .nonce = {1}}, out;
    bool proving = true;

    cr_assert(di_boot_check_proving(&hello, &proving) == DUCT_OK && !proving);
    hello.has = DI_CAP_PROOF;
    cr_assert_eq(di_boot_check_proving(&hello, &proving), DUCT_ECORRUPT, "had and not needed");
    hello.needs = DI_CAP_PROOF;
    cr_assert(di_boot_check_proving(&hello, &proving) == DUCT_OK && proving);
    hello.has = 0;
    cr_assert_eq(di_boot_check_proving(&hello, &proving), DUCT_ECORRUPT, "needed and not had");
    hello.has = hello.needs = DI_CAP_PROOF | DI_CAP_DURABLE;
    cr_assert_eq(di_boot_check_durable(&hello, true), DUCT_EREFUSED,
                 "a durable one proves nothing");

    cr_assert(di_boot_check_proof(&proof, sizeof(proof), 7, &out) && out.nonce[0] == 1);
    cr_assert_not(di_boot_check_proof(&proof, sizeof(proof), 8, &out), "another session");
    cr_assert_not(di_boot_check_proof(&proof, sizeof(proof) - 1, 7, &out));
    proof.zero = 1;
    cr_assert_not(di_boot_check_proof(&proof, sizeof(proof), 7, &out));
}

Test(bootstrap, ends)
{
    struct di_boot_end end, out;
    char text[300];

    for (size_t length = 0; length < sizeof(text); length++) {
        memset(text, 'a', length);
        text[length] = '\0';
        di_boot_make_end(&end, DI_BOOT_CLOSE, 7, DUCT_ECLOSED, text);
        cr_assert(di_boot_check_end(&end, sizeof(end), DI_BOOT_CLOSE, &out));
        cr_assert(out.code == 7 && out.err == DUCT_ECLOSED);
        cr_assert_eq(strlen(out.text), length < DUCT_REASON_MAX ? length : DUCT_REASON_MAX - 1);
        cr_assert_not(di_boot_check_end(&end, sizeof(end), DI_BOOT_REFUSE, &out));
        cr_assert_not(di_boot_check_end(&end, sizeof(end) - 1, DI_BOOT_CLOSE, &out));
        if (length == sizeof(text) - 1)
            break;
    }
    /* H23: no end of the text, and nothing in it that steers a terminal. */
    di_boot_make_end(&end, DI_BOOT_REFUSE, DUCT_EDENIED, DUCT_EDENIED, "");
    memset(end.text, 0x1b, sizeof(end.text));
    cr_assert(di_boot_check_end(&end, sizeof(end), DI_BOOT_REFUSE, &out));
    cr_assert(memchr(out.text, '\0', sizeof(out.text)) != NULL);
    cr_assert_null(strchr(out.text, 0x1b));
    memset(end.text, 0xff, sizeof(end.text));
    cr_assert(di_boot_check_end(&end, sizeof(end), DI_BOOT_REFUSE, &out));
    cr_assert(memchr(out.text, '\0', sizeof(out.text)) != NULL);
    cr_assert_null(strchr(out.text, 0xff), "no UTF-8");
}

Test(bootstrap, notes)
{
    static const enum di_boot_type types[] = {DI_BOOT_SEGMENTS, DI_BOOT_READY, DI_BOOT_POOL,
                                              DI_BOOT_EVENTFD};
    struct di_boot_note note, out;

    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 4; k++) {
            note = (struct di_boot_note){.type = types[i], .value = 3, .session = 9};
            cr_assert_eq(di_boot_check_note(&note, sizeof(note), types[k], 9, &out), i == k);
            cr_assert_not(di_boot_check_note(&note, sizeof(note), types[k], 8, &out));
            cr_assert_not(di_boot_check_note(&note, sizeof(note) - 1, types[k], 9, &out));
            cr_assert_not(di_boot_check_note(&note, sizeof(note) + 1, types[k], 9, &out));
        }
    }
}

Test(bootstrap, types)
{
    const unsigned char ring = DI_BOOT_RING, other = 0x55;
    uint32_t type = DI_BOOT_CLOSE;

    cr_assert_eq(di_boot_type(&ring, 1), DI_BOOT_RING);
    cr_assert_neq(di_boot_type(&other, 1), DI_BOOT_RING);
    cr_assert_eq(di_boot_type(&type, 0), 0);
    cr_assert_eq(di_boot_type(&type, 3), 0);
    cr_assert_eq(di_boot_type(&type, 4), DI_BOOT_CLOSE);
}
