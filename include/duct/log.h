/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DUCT_LOG_H
#define DUCT_LOG_H

#include <duct/version.h>

/*
 * The library never prints. What an operator should know (a refused peer, a corrupt pipe, a fallback
 * that was taken) goes to one logger of the process, which is silent until a program sets it.
 */

#ifdef __cplusplus
extern "C" {
#endif

enum duct_log_level { DUCT_LOG_ERROR, DUCT_LOG_WARN, DUCT_LOG_INFO, DUCT_LOG_DEBUG };

/*
 * Called with one line, without a newline, valid UTF-8 with control characters escaped; the text is
 * valid only during the call. May be called from any thread that uses duct, never from a signal
 * handler, never with one of the library's locks held. It must not call duct.
 */
typedef void duct_log_fn(void *user, enum duct_log_level level, const char *line);

/*
 * Sets the process's logger and the most talkative level it wants; NULL silences. Any thread; lines
 * already on their way to the old logger may still reach it. Never blocks.
 */
DUCT_API void duct_log_set(duct_log_fn *fn, void *user, enum duct_log_level most);

#ifdef __cplusplus
}
#endif

#endif
