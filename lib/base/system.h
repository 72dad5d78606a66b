/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_SYSTEM_H
#define DI_BASE_SYSTEM_H

#include <stdint.h>

/* The few things core needs of the operating system that are no I/O. */

/* CPUs of this machine that are online, at least 1. */
unsigned di_cpus(void);

/* Monotonic nanoseconds as of the last tick (1 to 10 ms ago): a fifth of the price of the exact
 * time. */
int64_t di_coarse_now(void);

/* The boot this is, different for any two machines; zeroes if the kernel does not say. */
void di_boot_id(unsigned char id[16]);

#endif
