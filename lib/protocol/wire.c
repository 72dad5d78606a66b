/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/protocol/wire.h"

#include <string.h>

#include "lib/base/error.h"

static enum duct_err corrupt(const char *field, uint64_t value, const char *expected)
{
    return di_fail(DUCT_ECORRUPT, "a frame came with %s %llu, expected %s", field,
                   (unsigned long long)value, expected);
}

static enum duct_err check_data(const struct di_frame *f, const struct di_wire_rules *rules)
{
    if (f->whole > rules->message_max)
        return corrupt("a message of", f->whole, "no more than was agreed");
    /* In 64 bits: neither can wrap. */
    if ((uint64_t)f->offset + f->size > f->whole)
        return corrupt("offset", f->offset, "a part that lies in its message");
    if (f->size == 0 && f->whole != 0)
        return corrupt("size", 0, "some of its message");
    return DUCT_OK;
}

static enum duct_err check_other(const struct di_frame *f)
{
    if (f->whole != 0 || f->offset != 0)
        return corrupt("parts and type", f->type, "parts of DATA only");
    if (f->type == DI_FRAME_CLOSE ? f->size < 8 || f->size > DI_CLOSE_SIZE_MAX : f->size != 0)
        return corrupt("size", f->size, "that of its type");
    return DUCT_OK;
}

enum duct_err di_wire_get(struct di_frame *frame, const unsigned char *in,
                          const struct di_wire_rules *rules)
{
    const struct di_frame f = {.size = di_get32(in + DI_WIRE_AT_SIZE),
                               .type = in[DI_WIRE_AT_TYPE],
                               .channel = di_get16(in + DI_WIRE_AT_CHANNEL),
                               .tag = di_get64(in + DI_WIRE_AT_TAG),
                               .session = di_get32(in + DI_WIRE_AT_SESSION),
                               .seq = di_get32(in + DI_WIRE_AT_SEQ),
                               .ack = di_get32(in + DI_WIRE_AT_ACK),
                               .whole = di_get32(in + DI_WIRE_AT_WHOLE),
                               .offset = di_get32(in + DI_WIRE_AT_OFFSET)};

    if (f.type < DI_FRAME_DATA || f.type > DI_FRAME_PONG)
        return corrupt("type", f.type, "1 to 6");
    if (in[DI_WIRE_AT_FLAGS] != 0)
        return corrupt("flags", in[DI_WIRE_AT_FLAGS], "0");
    if (f.channel != 0)
        return corrupt("channel", f.channel, "0");
    if (di_get32(in + DI_WIRE_AT_RESERVED) != 0)
        return corrupt("reserved bytes", di_get32(in + DI_WIRE_AT_RESERVED), "0");
    if (f.session != rules->session)
        return corrupt("session", f.session, "that of the handshake");
    if (f.size > rules->frame_max)
        return corrupt("size", f.size, "no more than was agreed");
    enum duct_err err = f.type == DI_FRAME_DATA ? check_data(&f, rules) : check_other(&f);
    if (err == DUCT_OK)
        *frame = f;
    return err;
}

size_t di_close_put(unsigned char *out, uint32_t code, enum duct_err err, const char *text)
{
    size_t length = strnlen(text, DI_CLOSE_TEXT_MAX - 1);

    di_put32(out, code);
    di_put32(out + 4, (uint32_t)err);
    memcpy(out + 8, text, length);
    return 8 + length;
}

enum duct_err di_close_get(struct di_close *close, const unsigned char *in, size_t size)
{
    if (size < 8 || size > DI_CLOSE_SIZE_MAX)
        return corrupt("a CLOSE of", size, "8 to 200 bytes");
    if (di_get32(in + 4) >= DUCT_ERR_COUNT)
        return corrupt("an error", di_get32(in + 4), "a known one");
    close->code = di_get32(in);
    close->err = di_get32(in + 4);
    di_text_clean(close->text, sizeof(close->text), in + 8, size - 8);
    return DUCT_OK;
}
