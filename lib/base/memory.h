/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_MEMORY_H
#define DI_BASE_MEMORY_H

#include <stdint.h>

/*
 * Bytes that this process may still take without anybody being killed for it, as far as the kernel tells:
 * what the machine has available and what the limit of the memory cgroup leaves, whichever is less;
 * UINT64_MAX if neither is known. Shared memory is not refused when there is none left, the way a malloc
 * may be: the machine runs into its out-of-memory killer. So whoever is about to allocate much asks first.
 */
uint64_t di_memory_available(void);

#endif
