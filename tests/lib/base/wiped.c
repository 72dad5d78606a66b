/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/wiped.h"

/* More than a chunk of pages holds, of each size. */
enum { MANY = 1000 };

static bool all(const unsigned char *bytes, size_t size, unsigned char value)
{
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != value)
            return false;
    }
    return true;
}

/* Nobody's bytes are another's, whatever was given back in between; and what comes is zeroed. */
Test(wiped, pieces_are_apart_and_zeroed)
{
    static const size_t sizes[] = {1, 128, 129, 904, 4096, 4097, 100000};
    static unsigned char *pieces[MANY];

    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        unsigned count = sizes[s] > 4096 ? 10 : MANY;
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = round; i < count; i += round + 1) {
                if (pieces[i] != NULL)
                    di_wiped_free(pieces[i], sizes[s]);
                pieces[i] = di_wiped_alloc(sizes[s]);
                cr_assert_not_null(pieces[i]);
                cr_assert_eq((uintptr_t)pieces[i] % 128, 0);
                cr_assert(all(pieces[i], sizes[s], 0));
                memset(pieces[i], (int)(i % 255) + 1, sizes[s]);
            }
        }
        for (unsigned i = 0; i < count; i++) {
            cr_assert(all(pieces[i], sizes[s], (unsigned char)(i % 255 + 1)), "%zu, %u", sizes[s],
                      i);
            di_wiped_free(pieces[i], sizes[s]);
            pieces[i] = NULL;
        }
    }
}

static size_t mapped_pages(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");

    cr_assert(file != NULL && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages;
}

Test(wiped, pages_are_given_back)
{
    static void *pieces[64 * MANY];

    di_wiped_free(di_wiped_alloc(1000), 1000);
    size_t before = mapped_pages();
    for (unsigned i = 0; i < 64 * MANY; i++)
        cr_assert_not_null(pieces[i] = di_wiped_alloc(1000));
    cr_assert_gt(mapped_pages(), before + 64 * MANY * 1000 / 4096);
    for (unsigned i = 0; i < 64 * MANY; i++)
        di_wiped_free(pieces[i], 1000);
    cr_assert_leq(mapped_pages(), before + 64);
}

Test(wiped, a_child_finds_nothing_and_begins_anew)
{
    unsigned char *ours = di_wiped_alloc(1000);
    unsigned char *gone = di_wiped_alloc(1000);
    int status = -1;

    memset(ours, 7, 1000);
    di_wiped_free(gone, 1000);
    pid_t pid = fork();
    if (pid == 0) {
        bool wiped = all(ours, 1000, 0);
        unsigned char *own = di_wiped_alloc(1000);
        _exit(!wiped || own == NULL || own == ours || !all(own, 1000, 0));
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    cr_assert(all(ours, 1000, 7));
    di_wiped_free(ours, 1000);
}
