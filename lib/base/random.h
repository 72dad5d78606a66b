/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_RANDOM_H
#define DI_BASE_RANDOM_H

#include <stdint.h>

/* 64 bits from the kernel's generator (getrandom), never 0: session ids and nonces. */
uint64_t di_random_u64(void);

#endif
