/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_WIPED_H
#define DI_BASE_WIPED_H

#include <stddef.h>

/*
 * Memory that a fork wipes in the child, for handles that a child must not take for its own. The kernel wipes whole
 * pages, and a page for each handle is dear where there are ten thousand: small pieces share chunks of pages. The books
 * of the chunks are wiped with them, so that a child begins with none.
 */

/* Zeroed, aligned to two cache lines, which no other piece shares. NULL if there is no memory. Any thread. */
void *di_wiped_alloc(size_t size);

/* size: as it was allocated. Any thread. */
void di_wiped_free(void *memory, size_t size);

#endif
