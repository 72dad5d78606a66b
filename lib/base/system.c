/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/system.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

unsigned di_cpus(void)
{
    /* Of the machine, and not of this thread's affinity: a thread pinned to one CPU may well have
     * its peer on another, and that is where spinning pays most. */
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    return online > 0 ? (unsigned)online : 1;
}

int64_t di_coarse_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void di_boot_id(unsigned char id[16])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");
    char text[40] = "";
    size_t digits = 0;

    memset(id, 0, 16);
    if (file == NULL)
        return;
    if (fgets(text, sizeof(text), file) == NULL)
        text[0] = '\0';
    fclose(file);
    for (const char *c = text; *c != '\0' && digits < 32; c++) {
        const char *hex = "0123456789abcdef";
        const char *found = strchr(hex, *c);
        if (found == NULL)
            continue;
        id[digits / 2] = (unsigned char)(id[digits / 2] << 4 | (found - hex));
        digits++;
    }
}
