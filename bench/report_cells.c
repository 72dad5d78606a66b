/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "bench/report.h"

const char *report_time(char cell[REPORT_CELL], double ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    while (ns >= 10000 && unit < 3) {
        ns /= 1000;
        unit++;
    }
    snprintf(cell, REPORT_CELL, "%.*f %s", ns < 10 ? 2 : ns < 100 ? 1 : 0, ns, units[unit]);
    return cell;
}

const char *report_size(char cell[REPORT_CELL], size_t size)
{
    if (size == 0)
        snprintf(cell, REPORT_CELL, "-");
    else if (size % 1048576 == 0)
        snprintf(cell, REPORT_CELL, "%zu MiB", size / 1048576);
    else if (size % 1024 == 0)
        snprintf(cell, REPORT_CELL, "%zu KiB", size / 1024);
    else
        snprintf(cell, REPORT_CELL, "%zu B", size);
    return cell;
}

/* Messages count while they are small, bytes once they are large. */
const char *report_rate(char cell[REPORT_CELL], const struct bench_case *what, double ns)
{
    if (what->kind == BENCH_PINGPONG || ns <= 0)
        snprintf(cell, REPORT_CELL, "%s", "");
    else if (what->size >= 1024)
        snprintf(cell, REPORT_CELL, "%.1f GB/s", (double)what->size / ns);
    else
        snprintf(cell, REPORT_CELL, "%.1f M/s", 1000 / ns);
    return cell;
}

const char *report_geometry(char cell[3 * REPORT_CELL], const struct bench_geometry *geometry)
{
    char max_msg[REPORT_CELL];
    char pool[REPORT_CELL];

    cell[0] = '\0';
    if (geometry->slots != 0)
        snprintf(cell, 3 * REPORT_CELL, "%u slots, max_msg %s, pool %s, wait %s", geometry->slots,
                 report_size(max_msg, geometry->max_msg), report_size(pool, geometry->pool),
                 geometry->wait);
    else if (geometry->max_msg != 0)
        snprintf(cell, 3 * REPORT_CELL, "max_msg %s, wait %s",
                 report_size(max_msg, geometry->max_msg), geometry->wait);
    return cell;
}
