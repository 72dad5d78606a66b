/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/handshake.h"

#include <string.h>

#include "lib/base/error.h"
#include "lib/protocol/bytes.h"

enum kind { HELLO = 1, READY = 2, REFUSE = 3, MOVED = 4 };

/* Where the fields are: of all messages, of HELLO, of READY and MOVED, of REFUSE. */
enum {
    AT_MAGIC = 0,
    AT_KIND = 4,
    AT_SIZE = 6,
    PREFIX = 8,
    AT_VERSION_MIN = 8,
    AT_VERSION_MAX = 10,
    AT_HAS = 12,
    AT_NEEDS = 16,
    AT_FRAME_MAX = 20,
    AT_MESSAGE_MAX = 24,
    AT_SESSION = 32,
    HELLO_SIZE = 40,
    AT_OFFER = HELLO_SIZE,
    AT_READY_SESSION = 8,
    READY_SIZE = 16,
    AT_CODE = 8,
    AT_TEXT = 12,
    TEXT_MAX = 192
};

/* A payload of CLOSE must fit in a frame. */
#define FRAME_LEAST 1024u

static void put_prefix(unsigned char *out, enum kind kind, size_t size)
{
    di_put32(out + AT_MAGIC, DI_SHAKE_MAGIC);
    di_put16(out + AT_KIND, (uint16_t)kind);
    di_put16(out + AT_SIZE, (uint16_t)size);
}

static size_t put_hello(unsigned char *out, const struct di_hello *hello)
{
    size_t size = hello->has & DI_SHAKE_OFFERS ? AT_OFFER + DI_OFFER_SIZE : HELLO_SIZE;

    put_prefix(out, HELLO, size);
    di_put16(out + AT_VERSION_MIN, hello->version_min);
    di_put16(out + AT_VERSION_MAX, hello->version_max);
    di_put32(out + AT_HAS, hello->has);
    di_put32(out + AT_NEEDS, hello->needs);
    di_put32(out + AT_FRAME_MAX, hello->frame_max);
    di_put64(out + AT_MESSAGE_MAX, hello->message_max);
    di_put64(out + AT_SESSION, hello->session);
    if (hello->has & DI_SHAKE_OFFERS)
        di_offer_put(out + AT_OFFER, &hello->offer);
    return size;
}

static size_t put_ready(unsigned char *out, enum kind kind, uint64_t session)
{
    put_prefix(out, kind, READY_SIZE);
    di_put64(out + AT_READY_SESSION, session);
    return READY_SIZE;
}

size_t di_shake_refuse(unsigned char *out, enum duct_err err, const char *text)
{
    size_t length = strnlen(text, TEXT_MAX);

    put_prefix(out, REFUSE, AT_TEXT + length);
    di_put32(out + AT_CODE, (uint32_t)err);
    memcpy(out + AT_TEXT, text, length);
    return AT_TEXT + length;
}

size_t di_shake_begin(struct di_shake *shake, bool dialer, const struct di_hello *own,
                      unsigned char *out)
{
    *shake = (struct di_shake){.dialer = dialer, .state = DI_SHAKE_HELLO, .own = *own};
    return dialer ? put_hello(out, own) : 0;
}

bool di_shake_offered(const struct di_shake *shake)
{
    return (shake->own.has & shake->peer.has & DI_SHAKE_OFFERS) != 0;
}

size_t di_shake_choose(struct di_shake *shake, bool moved, unsigned char *out)
{
    shake->state = moved ? DI_SHAKE_MOVED : DI_SHAKE_DONE;
    return put_ready(out, moved ? MOVED : READY, shake->own.session);
}

/* What the peer lacks or forbids is told by its own kind; the rest is its decision. */
static enum duct_err refused(const unsigned char *in, size_t size)
{
    char text[4 * TEXT_MAX + 1];
    uint32_t code = di_get32(in + AT_CODE);

    di_text_clean(text, sizeof(text), in + AT_TEXT, size - AT_TEXT);
    return di_fail(code == DUCT_EVERSION || code == DUCT_EDENIED ? (enum duct_err)code
                                                                 : DUCT_EREFUSED,
                   "the peer refused: %s", text);
}

static enum duct_err check_hello(const struct di_shake *shake, const struct di_hello *hello)
{
    if (hello->version_min > hello->version_max)
        return di_fail(DUCT_ECORRUPT, "the peer's versions run from %u to %u", hello->version_min,
                       hello->version_max);
    if (hello->version_min > DI_SHAKE_VERSION_MAX || hello->version_max < DI_SHAKE_VERSION_MIN)
        return di_fail(DUCT_EVERSION,
                       "the peer speaks versions %u to %u of the protocol, this side %u to %u; "
                       "update the older one",
                       hello->version_min, hello->version_max, DI_SHAKE_VERSION_MIN,
                       DI_SHAKE_VERSION_MAX);
    if (hello->needs & ~shake->own.has)
        return di_fail(DUCT_ENOTSUP,
                       "the peer needs capabilities %#x, and this side has %#x; update it",
                       hello->needs, shake->own.has);
    if (hello->frame_max < FRAME_LEAST || hello->message_max == 0 || hello->session == 0)
        return di_fail(DUCT_ECORRUPT, "the peer's limits or its session make no sense");
    if (shake->dialer && hello->session != shake->own.session)
        return di_fail(DUCT_ECORRUPT, "the peer answered for another session");
    return DUCT_OK;
}

/* An offer is of use only to a side that makes one itself; to others it is an unknown capability. */
static enum duct_err take_offer(const struct di_shake *shake, const unsigned char *in, size_t size,
                                struct di_hello *hello)
{
    if (!(shake->own.has & hello->has & DI_SHAKE_OFFERS))
        return DUCT_OK;
    if (size < AT_OFFER + DI_OFFER_SIZE)
        return di_fail(DUCT_ECORRUPT, "the peer says that it offers shared memory, and does not");
    return di_offer_get(&hello->offer, in + AT_OFFER);
}

static size_t answer_hello(struct di_shake *shake, unsigned char *out)
{
    struct di_hello own = shake->own;

    if (shake->dialer && di_shake_offered(shake)) {
        shake->state = DI_SHAKE_CHOOSE;
        return 0;
    }
    if (shake->dialer)
        return di_shake_choose(shake, false, out);
    /* Who offers nothing is told nothing. */
    if (!di_shake_offered(shake))
        own.has &= ~(uint32_t)DI_SHAKE_OFFERS;
    shake->state = DI_SHAKE_READY;
    return put_hello(out, &own);
}

static enum duct_err take_hello(struct di_shake *shake, const unsigned char *in, size_t size,
                                unsigned char *out, size_t *reply)
{
    struct di_hello hello = {.version_min = di_get16(in + AT_VERSION_MIN),
                             .version_max = di_get16(in + AT_VERSION_MAX),
                             .has = di_get32(in + AT_HAS),
                             .needs = di_get32(in + AT_NEEDS),
                             .frame_max = di_get32(in + AT_FRAME_MAX),
                             .message_max = di_get64(in + AT_MESSAGE_MAX),
                             .session = di_get64(in + AT_SESSION)};
    enum duct_err err = check_hello(shake, &hello);

    if (err == DUCT_OK)
        err = take_offer(shake, in, size, &hello);
    if (err != DUCT_OK)
        return err;
    shake->peer = hello;
    shake->own.session = hello.session;
    *reply = answer_hello(shake, out);
    return DUCT_OK;
}

/* READY, or MOVED where both have made an offer. */
static bool take_ready(struct di_shake *shake, uint16_t kind, const unsigned char *in, size_t size)
{
    bool moved = kind == MOVED && di_shake_offered(shake);

    if (shake->state != DI_SHAKE_READY || (kind != READY && !moved) || size < READY_SIZE ||
        di_get64(in + AT_READY_SESSION) != shake->own.session)
        return false;
    shake->state = moved ? DI_SHAKE_MOVED : DI_SHAKE_DONE;
    return true;
}

static enum duct_err take_message(struct di_shake *shake, const unsigned char *in, size_t size,
                                  unsigned char *out, size_t *reply)
{
    uint16_t kind = di_get16(in + AT_KIND);

    if (kind == HELLO && shake->state == DI_SHAKE_HELLO && size >= HELLO_SIZE)
        return take_hello(shake, in, size, out, reply);
    if (take_ready(shake, kind, in, size))
        return DUCT_OK;
    return di_fail(DUCT_ECORRUPT, "message %u of %zu bytes came out of turn in the handshake", kind,
                   size);
}

enum duct_err di_shake_take(struct di_shake *shake, const unsigned char *in, size_t size,
                            size_t *used, unsigned char *out, size_t *reply)
{
    static const unsigned char magic[4] = {'d', 'u', 'c', 't'};
    size_t looked = size < sizeof(magic) ? size : sizeof(magic);
    enum duct_err err;

    *reply = 0;
    /* Nonsense is known by its first byte: who sends it may be waiting for an answer. */
    if (memcmp(in, magic, looked) != 0)
        return di_fail(DUCT_ECORRUPT, "the other side is no duct peer: it began with other bytes");
    if (size < PREFIX)
        return DUCT_EAGAIN;
    size_t length = di_get16(in + AT_SIZE);
    if (length < PREFIX || length > DI_SHAKE_MAX)
        err = di_fail(DUCT_ECORRUPT, "a message of the handshake has %zu bytes", length);
    else if (size < length)
        return DUCT_EAGAIN;
    else if (di_get16(in + AT_KIND) == REFUSE && length >= AT_TEXT)
        return refused(in, length);
    else
        err = take_message(shake, in, length, out, reply);
    if (err != DUCT_OK)
        *reply = di_shake_refuse(out, err, duct_err_detail());
    else
        *used = length;
    return err;
}
