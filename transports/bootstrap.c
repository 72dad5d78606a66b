/* SPDX-License-Identifier: Apache-2.0 */
#include "transports/bootstrap.h"

#include <string.h>

#include "lib/base/error.h"
#include "shm/layout.h"

_Static_assert(sizeof(struct di_boot_hello) == 40, "no padding");
_Static_assert(sizeof(struct di_boot_end) == 16 + DUCT_REASON_MAX, "no padding");
_Static_assert(sizeof(struct di_boot_note) == 16, "no padding");
_Static_assert(sizeof(struct di_boot_durable) == 24, "no padding");
_Static_assert(sizeof(struct di_boot_proof) == 32, "no padding");

void di_boot_make_hello(struct di_boot_hello *hello, uint64_t session, uint32_t has,
                        uint32_t blocks, uint32_t slots)
{
    *hello = (struct di_boot_hello){.type = DI_BOOT_HELLO,
                                    .magic = DI_BOOT_MAGIC,
                                    .version_min = DI_BOOT_VERSION_MIN,
                                    .version_max = DI_BOOT_VERSION_MAX,
                                    .layout = DI_LAYOUT_VERSION,
                                    .has = has,
                                    .session = session,
                                    .blocks = blocks,
                                    .slots = slots};
}

enum duct_err di_boot_check_hello(const void *bytes, size_t size, uint64_t session,
                                  struct di_boot_hello *hello)
{
    struct di_boot_hello local;

    if (size != sizeof(local))
        return di_fail(DUCT_ECORRUPT, "a HELLO has %zu bytes, this message %zu", sizeof(local),
                       size);
    memcpy(&local, bytes, sizeof(local));
    if (local.type != DI_BOOT_HELLO || local.magic != DI_BOOT_MAGIC || local.version_min == 0 ||
        local.version_min > local.version_max)
        return di_fail(DUCT_ECORRUPT, "the message is not a HELLO of duct");
    if (local.version_min > DI_BOOT_VERSION_MAX || local.version_max < DI_BOOT_VERSION_MIN)
        return di_fail(DUCT_EVERSION,
                       "protocol versions: the peer speaks %u to %u, this side %u to %u; "
                       "update the older program",
                       local.version_min, local.version_max, DI_BOOT_VERSION_MIN,
                       DI_BOOT_VERSION_MAX);
    if (local.layout != DI_LAYOUT_VERSION)
        return di_fail(DUCT_EVERSION,
                       "shared-memory layouts: the peer's is version %u, this side's %u; "
                       "update the older program",
                       local.layout, DI_LAYOUT_VERSION);
    /* Only these can be needed: whoever asks for more is not understood. */
    if ((local.has & ~DI_CAPS_KNOWN) != 0 || (local.needs & ~DI_CAPS_NEEDED) != 0)
        return di_fail(DUCT_ENOTSUP,
                       "the peer has or needs capabilities %#x that this side does not "
                       "know (it knows %#x); update this side",
                       local.has | local.needs, DI_CAPS_KNOWN);
    if (local.session == 0 || (session != 0 && local.session != session))
        return di_fail(DUCT_ECORRUPT, "the HELLO belongs to another session");
    if (local.blocks == 0 || local.blocks > DI_BLOCKS_MAX)
        return di_fail(DUCT_ECORRUPT, "the peer announces a pool of %u blocks; expected 1 to %u",
                       local.blocks, DI_BLOCKS_MAX);
    *hello = local;
    return DUCT_OK;
}

enum duct_err di_boot_check_durable(const struct di_boot_hello *hello, bool durable)
{
    uint32_t has = hello->has & DI_CAP_DURABLE;
    uint32_t needs = hello->needs & DI_CAP_DURABLE;

    if (has != needs)
        return di_fail(DUCT_ECORRUPT,
                       "the HELLO has the capability of durable pipes and does not need "
                       "it, or the other way round");
    if (durable && ((hello->has | hello->needs) & DI_CAP_PROOF) != 0)
        return di_fail(DUCT_EREFUSED, "a durable pipe is met by its files, and not by a nonce");
    if ((has != 0) == durable)
        return DUCT_OK;
    return di_fail(DUCT_EREFUSED,
                   "the pipe is durable at %s and not at the other; give durable=1 at "
                   "both, or at neither",
                   durable ? "this end" : "the end that dials or was dialled");
}

enum duct_err di_boot_check_proving(const struct di_boot_hello *hello, bool *proving)
{
    uint32_t has = hello->has & DI_CAP_PROOF;

    if (has != (hello->needs & DI_CAP_PROOF))
        return di_fail(DUCT_ECORRUPT,
                       "the HELLO shows a nonce and does not want to see one, or the "
                       "other way round");
    *proving = has != 0;
    return DUCT_OK;
}

bool di_boot_check_proof(const void *bytes, size_t size, uint64_t session,
                         struct di_boot_proof *proof)
{
    struct di_boot_proof local;

    if (size != sizeof(local))
        return false;
    memcpy(&local, bytes, sizeof(local));
    if (local.type != DI_BOOT_PROOF || local.zero != 0 || local.session != session)
        return false;
    *proof = local;
    return true;
}

bool di_boot_check_ends(const void *bytes, size_t size, uint64_t session,
                        struct di_boot_durable *durable)
{
    struct di_boot_durable local;

    if (size != sizeof(local))
        return false;
    memcpy(&local, bytes, sizeof(local));
    if (local.type != DI_BOOT_DURABLE || local.session != session || local.id == 0)
        return false;
    *durable = local;
    return true;
}

void di_boot_make_end(struct di_boot_end *end, enum di_boot_type type, uint32_t code,
                      enum duct_err err, const char *text)
{
    *end = (struct di_boot_end){.type = type, .code = code, .err = err};
    di_text_clean(end->text, sizeof(end->text), text, strlen(text));
}

bool di_boot_check_end(const void *bytes, size_t size, enum di_boot_type type,
                       struct di_boot_end *end)
{
    struct di_boot_end local;

    if (size != sizeof(local))
        return false;
    memcpy(&local, bytes, sizeof(local));
    if (local.type != type || local.zero != 0 || (local.err != 0 && local.err >= DUCT_ERR_COUNT) ||
        (type == DI_BOOT_REFUSE && (local.code == 0 || local.code >= DUCT_ERR_COUNT)))
        return false;
    *end = local;
    di_text_clean(end->text, sizeof(end->text), local.text,
                  strnlen(local.text, sizeof(local.text)));
    return true;
}

bool di_boot_check_note(const void *bytes, size_t size, enum di_boot_type type, uint64_t session,
                        struct di_boot_note *note)
{
    struct di_boot_note local;

    if (size != sizeof(local))
        return false;
    memcpy(&local, bytes, sizeof(local));
    if (local.type != type || local.session != session)
        return false;
    *note = local;
    return true;
}

uint32_t di_boot_type(const void *bytes, size_t size)
{
    uint32_t type;

    if (size == 1 && *(const unsigned char *)bytes == DI_BOOT_RING)
        return DI_BOOT_RING;
    if (size < sizeof(type))
        return 0;
    memcpy(&type, bytes, sizeof(type));
    return type;
}
