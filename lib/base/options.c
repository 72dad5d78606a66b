/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/error.h"
#include "lib/base/option.h"
#include "lib/base/quantity.h"
#include "lib/base/url.h"

/* How options come together: defaults, a struct, a query, all through the same checks (option.h). */

/* A caller from the future may know more fields than we do; a larger size is not a size. */
#define STRUCT_SIZE_MAX 4096

#define SPIN_NS (20 * DUCT_MICROSECOND)

/* One merge in progress. */
struct merge {
    struct duct_options o;
    uint32_t *uids;
    char *dir;
    const struct di_url *url;
    size_t at[DI_OPTION_ROWS_MAX]; /* position of the value in the address, or 0: not given there */
    bool explicit_spin;            /* asked for: spin=0 in an address means none, not the default */
};

/* Position and address stand last: should the sentence be cut, the caller still has what to do. */
__attribute__((format(printf, 3, 4))) static enum duct_err refuse_at(const struct merge *m,
                                                                     size_t at, const char *format,
                                                                     ...)
{
    char sentence[DI_DETAIL_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    if (at == 0)
        return di_fail(DUCT_EINVAL, "options: %s", sentence);
    return di_fail(DUCT_EINVAL, "%s, at position %zu of %s://%s?%s", sentence, at, m->url->scheme,
                   m->url->rest, m->url->query);
}

static enum duct_err refuse_text(const struct merge *m, size_t row, const char *value)
{
    char expected[160];
    di_option_describe(expected, sizeof expected, &di_option_table[row]);
    return refuse_at(m, m->at[row], "%s=%s: expected %s", di_option_table[row].name, value,
                     expected);
}

static enum duct_err refuse_value(const struct merge *m, size_t row, int64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, value);
    return refuse_text(m, row, text);
}

/* --- the caller's struct --- */

static enum duct_err take_struct(struct merge *m, const struct duct_options *given)
{
    size_t size = given->size;
    if (size < offsetof(struct duct_options, context) || size > STRUCT_SIZE_MAX ||
        size % _Alignof(struct duct_options) != 0)
        return di_fail(DUCT_EINVAL,
                       "options: size=%zu: expected sizeof(struct duct_options); start from "
                       "DUCT_OPTIONS_INIT",
                       size);
    const unsigned char *bytes = (const unsigned char *)given;
    for (size_t i = sizeof m->o; i < size; i++)
        if (bytes[i] != 0)
            return di_fail(DUCT_EINVAL,
                           "options: byte %zu of %zu is set: expected 0, since this library (%s) "
                           "knows no field there; update it, or leave the newer option unset",
                           i, size, duct_version());
    memcpy(&m->o, given, size < sizeof m->o ? size : sizeof m->o);
    m->o.size = sizeof m->o;
    return DUCT_OK;
}

static enum duct_err copy_uids(struct merge *m)
{
    const uint32_t *from = m->o.allow_uids;
    size_t count = m->o.allow_uid_count;
    m->o.allow_uids = NULL;
    if (from == NULL && count == 0)
        return DUCT_OK;
    /* An empty list would allow nobody; taking it for "only one's own" would allow more than asked.
     */
    if (from == NULL || count == 0 || count > DI_ALLOW_MAX)
        return di_fail(DUCT_EINVAL,
                       "options: allow_uid_count=%zu with allow_uids %s: expected 1 to %d uids, or "
                       "NULL and 0",
                       count, from == NULL ? "NULL" : "set", DI_ALLOW_MAX);
    m->uids = malloc(count * sizeof *m->uids);
    if (m->uids == NULL)
        return di_fail(DUCT_ENOMEMORY, "options: no memory for %zu uids", count);
    memcpy(m->uids, from, count * sizeof *m->uids);
    m->o.allow_uids = m->uids;
    return DUCT_OK;
}

static enum duct_err take_dir(struct merge *m, const char *text)
{
    size_t length = strlen(text);

    if (text[0] != '/' || length > DI_URL_MAX)
        return refuse_text(m, DI_OPTION_DIR, length > DI_URL_MAX ? "a longer path" : text);
    free(m->dir);
    m->dir = malloc(length + 1);
    if (m->dir == NULL)
        return di_fail(DUCT_ENOMEMORY, "options: no memory for a path");
    memcpy(m->dir, text, length + 1);
    m->o.dir = m->dir;
    return DUCT_OK;
}

/* --- the address's query --- */

/* A list in the address takes the place of the struct's. */
static enum duct_err take_uids(struct merge *m, const char *text)
{
    size_t count = 1;
    for (const char *p = text; *p != '\0'; p++)
        count += *p == ',';
    free(m->uids);
    m->o.allow_uids = NULL;
    m->uids = malloc(count * sizeof *m->uids);
    if (m->uids == NULL)
        return di_fail(DUCT_ENOMEMORY, "options: no memory for %zu uids", count);
    const char *p = text;
    for (size_t i = 0; i < count; i++) {
        uint64_t uid = 0;
        /* UINT32_MAX is no uid: the kernel's "leave it as it is" */
        if (!di_quantity_number(&p, UINT32_MAX - 1, &uid) || (*p != ',' && *p != '\0') ||
            count > DI_ALLOW_MAX)
            return refuse_text(m, DI_OPTION_ALLOW, text);
        m->uids[i] = (uint32_t)uid;
        p++;
    }
    m->o.allow_uids = m->uids;
    m->o.allow_uid_count = count;
    return DUCT_OK;
}

static enum duct_err take_value(struct merge *m, size_t row, const char *text)
{
    const struct di_option *option = &di_option_table[row];
    int64_t value = 0;
    bool good = false;
    switch (option->kind) {
    case DI_KIND_UIDS:
        return take_uids(m, text);
    case DI_KIND_PATH:
        return take_dir(m, text);
    case DI_KIND_FLAG:
        good = strcmp(text, "0") == 0 || strcmp(text, "1") == 0;
        value = text[0] == '1' ? DUCT_YES : DUCT_NO;
        break;
    case DI_KIND_CHOICE:
        good = di_option_choose(option, text, &value);
        break;
    case DI_KIND_TIME:
        good = di_quantity_time(text, &value);
        break;
    case DI_KIND_COUNT:
    case DI_KIND_SIZE:
        good = di_quantity_size(text, &value);
        break;
    }
    if (!good || value < option->min || value > option->max)
        return refuse_text(m, row, text);
    if (row == DI_OPTION_SPIN)
        m->explicit_spin = true;
    di_option_set(&m->o, option, value);
    return DUCT_OK;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Undoes %XX from text[0..size) into out, which is as large as a url. */
static enum duct_err unescape(const struct merge *m, const char *text, size_t size, size_t at,
                              char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '%') {
            out[used++] = text[i];
            continue;
        }
        int high = i + 1 < size ? hex(text[i + 1]) : -1;
        int low = high >= 0 && i + 2 < size ? hex(text[i + 2]) : -1;
        if (low < 0)
            return refuse_at(m, at + i, "%%: expected two hexadecimal digits after it");
        int byte = high * 16 + low;
        if (byte < 0x20 || byte > 0x7e) /* no option takes others, and messages show the value */
            return refuse_at(m, at + i, "%%%02X: expected the code of a printable character", byte);
        out[used++] = (char)byte;
        i += 2;
    }
    out[used] = '\0';
    return DUCT_OK;
}

static enum duct_err refuse_key(const struct merge *m, const char *key, size_t size, size_t at)
{
    char known[512];
    size_t used = 0;
    for (size_t i = 0; i < di_option_rows && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ",
                                 di_option_table[i].name);
    int shown = size > 32 ? 32 : (int)size;
    return refuse_at(m, at, "unknown option '%.*s': expected one of %s", shown, key, known);
}

/* One key=value of size bytes, at position at of the address. */
static enum duct_err take_pair(struct merge *m, const char *pair, size_t size, size_t at)
{
    const char *equals = memchr(pair, '=', size);
    size_t key_size = equals == NULL ? size : (size_t)(equals - pair);
    size_t row = 0;
    while (row < di_option_rows && (strlen(di_option_table[row].name) != key_size ||
                                    memcmp(di_option_table[row].name, pair, key_size) != 0))
        row++;
    if (row == di_option_rows)
        return refuse_key(m, pair, key_size, at);
    if (equals == NULL)
        return refuse_at(m, at + key_size, "%s: expected =value", di_option_table[row].name);
    if (m->at[row] != 0)
        return refuse_at(m, at, "%s is given twice: expected it once", di_option_table[row].name);
    char value[DI_URL_MAX + 1];
    m->at[row] = at + key_size + 1;
    enum duct_err err = unescape(m, equals + 1, size - key_size - 1, m->at[row], value);
    return err ? err : take_value(m, row, value);
}

static enum duct_err take_query(struct merge *m)
{
    const char *query = m->url->query;
    size_t length = strlen(query);
    for (size_t start = 0; start < length;) {
        size_t size = strcspn(query + start, "&");
        enum duct_err err = take_pair(m, query + start, size, m->url->query_at + start);
        if (err)
            return err;
        start += size + 1;
        if (start == length)
            return refuse_at(m, m->url->query_at + start, "expected key=value after &");
    }
    return DUCT_OK;
}

/* --- defaults, and rules between options --- */

static enum duct_err check_each(struct merge *m)
{
    for (size_t row = 0; row < di_option_rows; row++) {
        const struct di_option *option = &di_option_table[row];
        if (option->kind == DI_KIND_UIDS || option->kind == DI_KIND_PATH)
            continue;
        int64_t value = di_option_get(&m->o, option);
        if (value == 0)
            di_option_set(&m->o, option, option->standard);
        else if (value < option->min || value > option->max)
            return refuse_value(m, row, value);
    }
    uint32_t slots = m->o.slots;
    if ((slots & (slots - 1)) != 0)
        return refuse_value(m, DI_OPTION_SLOTS, slots);
    return DUCT_OK;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static enum duct_err check_pool(struct merge *m)
{
    /* Three messages of the largest size: one being filled, one under way, one being read. */
    uint64_t standard = round_up(3 * (uint64_t)m->o.max_msg, 4096);
    uint64_t least = round_up(m->o.max_msg, 64); /* blocks are whole cache lines */
    if (m->o.pool == 0)
        m->o.pool = standard < 16 * DI_KIB ? 16 * DI_KIB : standard;
    if (m->o.pool < least)
        return refuse_at(m, m->at[DI_OPTION_POOL],
                         "pool=%" PRIu64 ": expected room for one message of max_msg"
                         ", at least %" PRIu64,
                         m->o.pool, least);
    if (m->o.pool_max == 0)
        m->o.pool_max = m->o.pool;
    if (m->o.pool_max < m->o.pool)
        return refuse_at(m, m->at[DI_OPTION_POOL_MAX],
                         "pool_max=%" PRIu64 ": expected at least the pool, "
                         "%" PRIu64,
                         m->o.pool_max, m->o.pool);
    return DUCT_OK;
}

/* A pause that was set alone takes the other along. */
static enum duct_err check_reconnect(struct merge *m)
{
    if (m->o.pause_max_ns < m->o.pause_ns)
        return refuse_at(m, 0, "pause_max=%" PRId64 "ns: expected at least pause, %" PRId64 "ns",
                         m->o.pause_max_ns, m->o.pause_ns);
    if (m->o.reconnect == DUCT_YES && m->o.durable == DUCT_YES)
        return refuse_at(m, 0,
                         "reconnect=1 with durable=1: expected one of them; a durable pipe goes on "
                         "without its peer by itself");
    return DUCT_OK;
}

static enum duct_err merge_all(struct merge *m, const struct duct_options *given, unsigned cpus)
{
    enum duct_err err = given != NULL ? take_struct(m, given) : DUCT_OK;
    if (err == DUCT_OK)
        err = copy_uids(m);
    if (err == DUCT_OK && m->o.dir != NULL)
        err = take_dir(m, m->o.dir);
    if (err == DUCT_OK && m->url != NULL)
        err = take_query(m);
    if (err == DUCT_OK)
        err = check_each(m);
    if (err == DUCT_OK)
        err = check_pool(m);
    if (err == DUCT_OK)
        err = check_reconnect(m);
    m->explicit_spin |= m->o.spin_ns != 0;
    /* On one core the peer cannot run while we spin. */
    if (!m->explicit_spin)
        m->o.spin_ns = cpus >= 2 ? SPIN_NS : 0;
    if (m->o.spin_ns < 0)
        m->o.spin_ns = 0;
    return err;
}

enum duct_err di_options_merge(struct di_options *merged, const struct duct_options *given,
                               const struct di_url *url, unsigned cpus)
{
    struct merge m = {.o = DUCT_OPTIONS_INIT, .url = url};
    enum duct_err err = merge_all(&m, given, cpus);
    if (err) {
        free(m.uids);
        free(m.dir);
        return err;
    }
    *merged =
        (struct di_options){.o = m.o, .uids = m.uids, .dir = m.dir, .spin_given = m.explicit_spin};
    return DUCT_OK;
}

enum duct_err di_options_copy(struct di_options *to, const struct di_options *from)
{
    size_t bytes = from->o.allow_uid_count * sizeof *to->uids;
    struct di_options copy = *from;
    copy.uids = from->o.allow_uids != NULL ? malloc(bytes > 0 ? bytes : 1) : NULL;
    copy.dir = from->o.dir != NULL ? strdup(from->o.dir) : NULL;
    if ((from->o.allow_uids != NULL && copy.uids == NULL) ||
        (from->o.dir != NULL && copy.dir == NULL)) {
        free(copy.uids);
        free(copy.dir);
        return di_fail(DUCT_ENOMEMORY, "no memory for a copy of options");
    }
    if (copy.uids != NULL)
        memcpy(copy.uids, from->o.allow_uids, bytes);
    copy.o.allow_uids = copy.uids;
    copy.o.dir = copy.dir;
    *to = copy;
    return DUCT_OK;
}

void di_options_fini(struct di_options *merged)
{
    free(merged->uids);
    free(merged->dir);
    merged->uids = NULL;
    merged->dir = NULL;
    merged->o.dir = NULL;
    merged->o.allow_uids = NULL;
    merged->o.allow_uid_count = 0;
}
