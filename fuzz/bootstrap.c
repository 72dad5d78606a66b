/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "fuzz/input.h"
#include "fuzz/plain.h"
#include "shm/layout.h"
#include "transports/bootstrap.h"

/* The messages of the control socket: any bytes, of any length, from anybody who may connect. */

static void check_hello(const uint8_t *bytes, size_t size, uint64_t session)
{
    struct di_boot_hello hello, untouched;

    memset(&hello, 0xa5, sizeof(hello));
    untouched = hello;
    enum duct_err err = di_boot_check_hello(bytes, size, session, &hello);
    if (err != DUCT_OK) {
        const char *detail = duct_err_detail();
        FUZZ_CHECK(memcmp(&hello, &untouched, sizeof(hello)) == 0);
        FUZZ_CHECK(err == DUCT_ECORRUPT || err == DUCT_EVERSION || err == DUCT_ENOTSUP);
        FUZZ_CHECK(plain_text(detail, strlen(detail)));
        return;
    }
    FUZZ_CHECK(size == sizeof(hello) && memcmp(&hello, bytes, size) == 0);
    FUZZ_CHECK(hello.magic == DI_BOOT_MAGIC && hello.layout == DI_LAYOUT_VERSION);
    FUZZ_CHECK(hello.version_min <= DI_BOOT_VERSION_MAX &&
               hello.version_max >= DI_BOOT_VERSION_MIN);
    FUZZ_CHECK(((hello.has | hello.needs) & ~DI_CAPS_KNOWN) == 0);
    FUZZ_CHECK(hello.session != 0 && (session == 0 || hello.session == session));
    FUZZ_CHECK(hello.blocks >= 1 && hello.blocks <= DI_BLOCKS_MAX);
    struct di_boot_hello made;
    di_boot_make_hello(&made, hello.session, hello.has, hello.blocks, hello.slots);
    FUZZ_CHECK(made.magic == hello.magic && made.layout == hello.layout &&
               made.session == hello.session && made.blocks == hello.blocks);
    /* One end or the other may mean a durable pipe: it is agreed, or refused. */
    bool both = (hello.has & hello.needs & DI_CAP_DURABLE) != 0;
    bool neither = ((hello.has | hello.needs) & DI_CAP_DURABLE) == 0;
    bool shows = ((hello.has | hello.needs) & DI_CAP_PROOF) != 0, proving = !shows;
    FUZZ_CHECK((di_boot_check_durable(&hello, true) == DUCT_OK) == (both && !shows));
    FUZZ_CHECK((di_boot_check_durable(&hello, false) == DUCT_OK) == neither);
    /* To show a nonce and to want one go together. */
    err = di_boot_check_proving(&hello, &proving);
    FUZZ_CHECK(err == DUCT_OK ? proving == shows
                              : shows && !(hello.has & hello.needs & DI_CAP_PROOF));
}

static void check_proof(const uint8_t *bytes, size_t size, uint64_t session)
{
    struct di_boot_proof proof;

    if (!di_boot_check_proof(bytes, size, session, &proof))
        return;
    FUZZ_CHECK(size == sizeof(proof) && memcmp(&proof, bytes, size) == 0);
    FUZZ_CHECK(proof.type == DI_BOOT_PROOF && proof.session == session && proof.zero == 0);
}

static void check_ends(const uint8_t *bytes, size_t size, uint64_t session)
{
    struct di_boot_durable ends;

    if (!di_boot_check_ends(bytes, size, session, &ends))
        return;
    FUZZ_CHECK(size == sizeof(ends) && memcmp(&ends, bytes, size) == 0);
    FUZZ_CHECK(ends.type == DI_BOOT_DURABLE && ends.session == session && ends.id != 0);
}

static void check_end(const uint8_t *bytes, size_t size, enum di_boot_type type)
{
    struct di_boot_end end, again;

    if (!di_boot_check_end(bytes, size, type, &end))
        return;
    size_t length = strnlen(end.text, sizeof(end.text));
    FUZZ_CHECK(size == sizeof(end) && di_boot_type(bytes, size) == (uint32_t)type);
    FUZZ_CHECK(length < sizeof(end.text) && plain_text(end.text, length));
    FUZZ_CHECK(end.err < DUCT_ERR_COUNT);
    FUZZ_CHECK(type != DI_BOOT_REFUSE || (end.code > 0 && end.code < DUCT_ERR_COUNT));
    /* What was accepted can be passed on. */
    di_boot_make_end(&end, type, end.code, (enum duct_err)end.err, end.text);
    FUZZ_CHECK(di_boot_check_end(&end, sizeof(end), type, &again));
    FUZZ_CHECK(strcmp(end.text, again.text) == 0 && end.code == again.code);
}

static void check_notes(const uint8_t *bytes, size_t size, uint64_t session)
{
    static const enum di_boot_type types[] = {DI_BOOT_SEGMENTS, DI_BOOT_READY, DI_BOOT_POOL,
                                              DI_BOOT_EVENTFD, DI_BOOT_BELLS};
    unsigned accepted = 0;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct di_boot_note note;
        if (!di_boot_check_note(bytes, size, types[i], session, &note))
            continue;
        FUZZ_CHECK(size == sizeof(note) && memcmp(&note, bytes, size) == 0);
        FUZZ_CHECK(note.type == (uint32_t)types[i] && note.session == session);
        accepted++;
    }
    FUZZ_CHECK(accepted <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {.at = data, .left = size};
    uint8_t session_at = input_byte(&in);
    size_t given;
    uint8_t *bytes = input_rest(&in, &given);
    uint64_t session = session_at;

    /* A session is 64 random bits: let the message hold the right ones now and then. */
    if (session_at >= 128 && given >= sizeof(session))
        memcpy(&session, bytes + (session_at & 63) % (given - sizeof(session) + 1),
               sizeof(session));
    uint32_t type = di_boot_type(bytes, given);
    FUZZ_CHECK(type == 0 || given >= sizeof(type) || (given == 1 && type == DI_BOOT_RING));
    check_hello(bytes, given, session);
    check_end(bytes, given, DI_BOOT_REFUSE);
    check_end(bytes, given, DI_BOOT_CLOSE);
    check_notes(bytes, given, session);
    check_ends(bytes, given, session);
    check_proof(bytes, given, session);
    free(bytes);
    return 0;
}
