/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_LOG_H
#define DI_BASE_LOG_H

#include <duct/log.h>

/* Formats one line for the process's logger; does nothing when nobody listens at that level. The line
 * passes di_text_clean(). Not for the hot path. */
void di_log(enum duct_log_level level, const char *format, ...)
    __attribute__((format(printf, 2, 3), cold));

#endif
