/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_THREAD_H
#define DI_BASE_THREAD_H

#include <stdint.h>

/* Names the calling thread by the address of a variable of its own: no call, one instruction. The
 * initial-exec model keeps it that cheap inside a shared library. */
extern _Thread_local char di_thread_mark __attribute__((tls_model("initial-exec")));

static inline uintptr_t di_thread_self(void)
{
    return (uintptr_t)&di_thread_mark;
}

#endif
