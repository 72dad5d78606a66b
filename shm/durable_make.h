/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_SHM_DURABLE_MAKE_H
#define DI_SHM_DURABLE_MAKE_H

#include "shm/durable_end.h"

/*
 * Makes the files of an end that has none: dir, name, end and geometry say which; outbox_fd and pool_fd
 * come out locked.
 *
 * Each file is allocated, filled and locked before it has a name. The pool's name comes first; the
 * outbox's is the commit. So a death before it leaves a pool that nobody holds and no outbox goes with,
 * which the next one to make the end removes. AGAIN: somebody else was faster; look again.
 */
enum duct_err di_durable_make(struct di_durable_end *end) DUCT_NODISCARD;

/* Nanoseconds by the wall clock, for people. */
int64_t di_durable_wall_clock(void);

#endif
