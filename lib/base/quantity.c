/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/quantity.h"

#include <stddef.h>
#include <string.h>

#include <duct/options.h>

bool di_quantity_number(const char **text, uint64_t limit, uint64_t *value)
{
    const char *p = *text;
    uint64_t v = 0;
    if (*p < '0' || *p > '9')
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        if (v > (limit - digit) / 10)
            return false;
        v = v * 10 + digit;
    }
    *text = p;
    *value = v;
    return true;
}

struct unit {
    const char *suffix;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {NULL, 0}};
static const struct unit time_units[] = {
    {"ns", 1}, {"us", DUCT_MICROSECOND}, {"ms", DUCT_MILLISECOND}, {"s", DUCT_SECOND}, {NULL, 0}};

static bool quantity(const char *text, const struct unit *units, int64_t *value)
{
    uint64_t v = 0;
    if (!di_quantity_number(&text, INT64_MAX, &v))
        return false;
    if (v == 0 && *text == '\0') {
        *value = 0;
        return true;
    }
    for (; units->suffix != NULL; units++) {
        if (strcmp(text, units->suffix) != 0)
            continue;
        if (v > (uint64_t)(INT64_MAX / units->factor))
            return false;
        *value = (int64_t)v * units->factor;
        return true;
    }
    return false;
}

bool di_quantity_size(const char *text, int64_t *value)
{
    return quantity(text, size_units, value);
}

bool di_quantity_time(const char *text, int64_t *value)
{
    return quantity(text, time_units, value);
}
