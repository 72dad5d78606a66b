/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdint.h>

#include "tools/histogram.h"

static struct histogram histogram;

Test(histogram, empty)
{
    histogram_clear(&histogram);
    cr_assert_eq(histogram_at(&histogram, 0.5), 0);
    cr_assert_eq(histogram.max, 0);
}

Test(histogram, one_value_is_every_percentile)
{
    const uint64_t values[] = {0, 1, 63, 64, 65, 1000003, UINT64_MAX};

    for (unsigned i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        histogram_clear(&histogram);
        histogram_add(&histogram, values[i]);
        cr_assert_eq(histogram_at(&histogram, 0.0), values[i]);
        cr_assert_eq(histogram_at(&histogram, 0.5), values[i]);
        cr_assert_eq(histogram_at(&histogram, 1.0), values[i]);
    }
}

Test(histogram, percentiles_are_within_a_row)
{
    histogram_clear(&histogram);
    for (uint64_t ns = 1; ns <= 100000; ns++)
        histogram_add(&histogram, ns);
    for (unsigned percent = 1; percent <= 100; percent++) {
        uint64_t exact = (uint64_t)percent * 1000;
        uint64_t got = histogram_at(&histogram, percent / 100.0);
        cr_assert(got >= exact && got <= exact + exact / 32 + 1, "%u%%: %lu", percent,
                  (unsigned long)got);
    }
    cr_assert_eq(histogram.min, 1);
    cr_assert_eq(histogram.max, 100000);
    cr_assert_eq(histogram_at(&histogram, 1.0), 100000);
}

Test(histogram, rare_values_show_at_the_end_only)
{
    histogram_clear(&histogram);
    for (unsigned i = 0; i < 999; i++)
        histogram_add(&histogram, 10);
    histogram_add(&histogram, 5000);
    cr_assert_eq(histogram_at(&histogram, 0.5), 10);
    cr_assert_eq(histogram_at(&histogram, 0.999), 10);
    cr_assert_eq(histogram_at(&histogram, 0.9991), 5000);
}
