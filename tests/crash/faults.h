/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_CRASH_FAULTS_H
#define TESTS_CRASH_FAULTS_H

#include <stdint.h>

#include <duct/error.h>

#include "tests/crash/inject.h"

/*
 * Error injection. A process does something as a whole, and in one try the n-th system call fails with one of the
 * errors it can give; for every n and every such error. Then
 *
 *   - either all went well, since there was another way, or one call gave one clear error: of the enum,
 *     with a sentence, and not after a hang;
 *   - once what was open is closed, descriptors and mappings are as before;
 *   - the next try, in the same process, works.
 */
struct trial {
    const char *name;
    void (*prepare)(void *user); /* without faults, before each try; NULL: nothing to do */
    enum duct_err (*once)(void *user);
    void *user;
    struct inject *inject; /* shared with the process that tries */
};

struct counts {
    unsigned calls, faults, errors, absorbed, failures;
};

/* A place for `inject`, zero. */
struct inject *faults_share(void);

/* All errors of every every-th call; prints the sums, and what went wrong. Adds to counts. */
void faults_all(const struct trial *trial, uint64_t every, struct counts *counts);

#endif
