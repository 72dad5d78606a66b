/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_PROTOCOL_VECTORS_H
#define TESTS_PROTOCOL_VECTORS_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The lines of a file of test vectors: words, the last of which is bytes in hexadecimal. */
struct vector {
    char words[3][64];
    unsigned char bytes[1024];
    size_t size;
};

/* The next line; words before the bytes: count. False at the end. */
static inline bool next_vector(FILE *file, unsigned count, struct vector *v)
{
    char line[4096];

    do {
        if (fgets(line, sizeof(line), file) == NULL)
            return false;
    } while (line[0] == '#');
    char *at = line, *rest;
    for (unsigned i = 0; i < count; i++) {
        const char *word = strtok_r(i == 0 ? at : NULL, " \n", &rest);
        cr_assert_not_null(word);
        snprintf(v->words[i], sizeof(v->words[i]), "%s", word);
    }
    const char *hex = strtok_r(NULL, " \n", &rest);
    cr_assert_not_null(hex);
    v->size = strlen(hex) / 2;
    cr_assert_leq(v->size, sizeof(v->bytes));
    for (size_t i = 0; i < v->size; i++) {
        unsigned byte;
        cr_assert_eq(sscanf(hex + 2 * i, "%2x", &byte), 1);
        v->bytes[i] = (unsigned char)byte;
    }
    return true;
}

#endif
