/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_ERROR_H
#define DI_BASE_ERROR_H

#include <stddef.h>

#include <duct/error.h>

/*
 * Failing with a sentence. di_fail() sets this thread's detail (duct_err_detail()) and returns err, so
 * that a failure reads: return di_fail(DUCT_EINVAL, "slots=%u: expected a power of two", n);
 * A detail says what failed, on what, why, and what to do. It is kept in a thread-local buffer of
 * DI_DETAIL_MAX bytes, cut at a character boundary; no allocation; not for the hot path.
 */
#define DI_DETAIL_MAX 512

enum duct_err di_fail(enum duct_err err, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/*
 * As di_fail(), for a system call that failed with the given errno: this is the one place where errno
 * becomes a duct_err. ": " and the system's own words are appended, and for the usual causes (EMFILE,
 * ENFILE, ENOMEM, ENOSPC, EPERM) what to do.
 */
enum duct_err di_fail_os(int errnum, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

/* The kind alone, for callers that word the detail themselves. */
enum duct_err di_err_of_errno(int errnum);

/* Copies text of a peer into out (capacity bytes with the NUL): valid UTF-8, cut at a character
 * boundary, control characters (C0, DEL, C1) and invalid bytes written as \xNN. Returns its length. */
size_t di_text_clean(char *out, size_t capacity, const void *text, size_t size);

#endif
