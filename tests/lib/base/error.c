/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "lib/base/error.h"

Test(kinds, every_error_has_a_name_and_a_sentence)
{
    for (int i = 0; i < DUCT_ERR_COUNT; i++) {
        cr_assert_str_neq(duct_err_name((enum duct_err)i), "UNKNOWN", "error %d", i);
        for (int j = 0; j < i; j++)
            cr_assert_str_neq(duct_err_name((enum duct_err)i), duct_err_name((enum duct_err)j));
        cr_assert_gt(strlen(duct_err_text((enum duct_err)i)), 5);
    }
    cr_assert_str_eq(duct_err_name(DUCT_EINVAL), "INVALID");
    cr_assert_str_eq(duct_err_name((enum duct_err)DUCT_ERR_COUNT), "UNKNOWN");
    cr_assert_str_eq(duct_err_name((enum duct_err) - 1), "UNKNOWN");
}

Test(kinds, only_the_first_group_is_retryable)
{
    for (int i = 0; i < DUCT_ERR_COUNT; i++)
        cr_assert_eq(duct_err_retryable((enum duct_err)i), i >= DUCT_EAGAIN && i <= DUCT_ECANCELED,
                     "error %d", i);
}

Test(detail, empty_until_something_failed)
{
    cr_assert_str_eq(duct_err_detail(), "");
}

Test(detail, says_what_fail_said)
{
    cr_assert_eq(di_fail(DUCT_ETOOBIG, "message of %d bytes", 7), DUCT_ETOOBIG);
    cr_assert_str_eq(duct_err_detail(), "message of 7 bytes");
}

Test(detail, may_be_extended_by_its_own_text)
{
    (void)!di_fail(DUCT_EOS, "inner");
    (void)!di_fail(DUCT_EOS, "outer: %s", duct_err_detail());
    cr_assert_str_eq(duct_err_detail(), "outer: inner");
}

/* "é" is two bytes: whichever of the two the buffer's end falls on, no half of it stays. */
Test(detail, is_cut_at_a_character)
{
    char text[2 * DI_DETAIL_MAX + 2];
    for (int shift = 0; shift < 2; shift++) {
        size_t n = 0;
        if (shift)
            text[n++] = 'x';
        while (n + 2 < sizeof text) {
            text[n++] = '\xc3';
            text[n++] = '\xa9';
        }
        text[n] = '\0';
        (void)!di_fail(DUCT_EOS, "%s", text);
        size_t length = strlen(duct_err_detail());
        cr_assert_geq(length, DI_DETAIL_MAX - 2);
        cr_assert_lt(length, DI_DETAIL_MAX);
        cr_assert_eq((unsigned char)duct_err_detail()[length - 1], 0xa9);
        (void)!di_fail_os(ENOENT, "%s", text);
        length = strlen(duct_err_detail()); /* the cause stays whole */
        cr_assert_lt(length, DI_DETAIL_MAX);
        const char *cause = strstr(duct_err_detail(), ": No such file or directory");
        cr_assert_not_null(cause);
        cr_assert_eq((unsigned char)cause[-1], 0xa9);
    }
}

static void *fail_elsewhere(void *arg)
{
    (void)!di_fail(DUCT_EOS, "elsewhere");
    return strcmp(duct_err_detail(), "elsewhere") == 0 ? arg : NULL;
}

Test(detail, belongs_to_its_thread)
{
    (void)!di_fail(DUCT_EOS, "here");
    pthread_t thread;
    void *result = NULL;
    int token;
    cr_assert_eq(pthread_create(&thread, NULL, fail_elsewhere, &token), 0);
    pthread_join(thread, &result);
    cr_assert_eq(result, &token);
    cr_assert_str_eq(duct_err_detail(), "here");
}

Test(errno_map, kinds)
{
    static const struct {
        int errnum;
        enum duct_err err;
    } rows[] = {{EMFILE, DUCT_ELIMIT},
                {ENFILE, DUCT_ELIMIT},
                {ENOMEM, DUCT_ENOMEMORY},
                {ENOSPC, DUCT_ENOSPACE},
                {EPERM, DUCT_EDENIED},
                {EACCES, DUCT_EDENIED},
                {EADDRINUSE, DUCT_EINUSE},
                {ENOENT, DUCT_ENOTFOUND},
                {ECONNREFUSED, DUCT_ENOTFOUND},
                {ENOSYS, DUCT_ENOTSUP},
                {ECONNRESET, DUCT_EPEER},
                {EIO, DUCT_EOS},
                {EINVAL, DUCT_EOS},
                {0, DUCT_EOS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_assert_eq(di_err_of_errno(rows[i].errnum), rows[i].err, "errno %d", rows[i].errnum);
}

Test(errno_map, words_and_advice_are_appended)
{
    cr_assert_eq(di_fail_os(EMFILE, "accept on %s", "shm://x"), DUCT_ELIMIT);
    cr_assert_str_eq(duct_err_detail(), "accept on shm://x: Too many open files; raise the "
                                        "descriptor limit of this process (ulimit -n)");
    cr_assert_eq(di_fail_os(EIO, "read"), DUCT_EOS);
    cr_assert_str_eq(duct_err_detail(), "read: Input/output error");
    cr_assert_eq(di_fail_os(99999, "read"), DUCT_EOS);
    cr_assert_str_eq(duct_err_detail(), "read: error 99999");
}
