/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_OPTION_H
#define DI_BASE_OPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <duct/options.h>

/*
 * What options there are: one table, with the name in an address, the field, what it may be, and what 0 means.
 * How a struct and a query become one set of options is the business of options.c.
 */

enum di_option_kind {
    DI_KIND_COUNT,
    DI_KIND_SIZE,
    DI_KIND_TIME,
    DI_KIND_FLAG,
    DI_KIND_CHOICE,
    DI_KIND_UIDS,
    DI_KIND_PATH
};

struct di_option {
    const char *name;
    enum di_option_kind kind;
    size_t offset;              /* of the field in struct duct_options */
    size_t width;               /* of the field, 4 or 8 bytes */
    int64_t min, max;           /* allowed, once it is not the default */
    int64_t standard;           /* what 0 means; where it depends on others, 0 here */
    const char *const *choices; /* CHOICE: by value; NULL where a value has no name */
};

/* More uids than anyone lists; the copy is ours to pay for. */
#define DI_ALLOW_MAX 1024

#define DI_KIB ((int64_t)1024)

#define DI_OPTION_ROWS_MAX 64

extern const struct di_option di_option_table[];
extern const size_t di_option_rows;

/* Rows that rules between options refer to. */
enum {
    DI_OPTION_SLOTS,
    DI_OPTION_MAX_MSG,
    DI_OPTION_POOL,
    DI_OPTION_POOL_MAX,
    DI_OPTION_SPIN = 8,
    DI_OPTION_ALLOW = 12,
    DI_OPTION_DIR = 19
};

int64_t di_option_get(const struct duct_options *o, const struct di_option *option);
void di_option_set(struct duct_options *o, const struct di_option *option, int64_t value);

/* What the option takes, in words. */
void di_option_describe(char *out, size_t capacity, const struct di_option *option);

/* The value of a CHOICE by its name; false: there is none. */
bool di_option_choose(const struct di_option *option, const char *text, int64_t *value);

#endif
