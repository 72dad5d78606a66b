/* SPDX-License-Identifier: Apache-2.0 */
#ifndef DI_BASE_QUANTITY_H
#define DI_BASE_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

/* Numbers with units, as they stand in an address. Written only on success. */

/* Decimal digits at the start of *text, at most limit; *text moves behind them. */
bool di_quantity_number(const char **text, uint64_t limit, uint64_t *value);

/* The whole text is a count or a size: digits and nothing, k, m or g (powers of 1024). */
bool di_quantity_size(const char *text, int64_t *value);

/* The whole text is a time in ns, us, ms or s. 0 needs no unit; anything else without one would be a
 * guess. */
bool di_quantity_time(const char *text, int64_t *value);

#endif
