/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/memory.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNKNOWN UINT64_MAX

/* The beginning of a file, as a string; false if it cannot be read. */
static bool slurp(const char *path, char *text, size_t capacity)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t size = read(fd, text, capacity - 1);
    close(fd);
    text[size > 0 ? size : 0] = '\0';
    return size > 0;
}

/* A number at the beginning of a file; "max" and what cannot be read are UNKNOWN. */
static uint64_t number_in(const char *path)
{
    char text[64];
    char *end;

    if (!slurp(path, text, sizeof(text)))
        return UNKNOWN;
    unsigned long long number = strtoull(text, &end, 10);
    return end != text ? number : UNKNOWN;
}

static uint64_t machine(void)
{
    static const char key[] = "MemAvailable:";
    char text[1024];

    if (!slurp("/proc/meminfo", text, sizeof(text)))
        return UNKNOWN;
    const char *at = strstr(text, key);
    return at != NULL ? strtoull(at + sizeof(key) - 1, NULL, 10) * 1024 : UNKNOWN;
}

/* The limit of our own group. Those above it may be lower still; they are for their makers to know. */
static uint64_t control_group(void)
{
    static const char unified[] = "0::";
    char groups[512];
    char path[640];

    if (!slurp("/proc/self/cgroup", groups, sizeof(groups)))
        return UNKNOWN;
    char *own = strstr(groups, unified);
    if (own == NULL)
        return UNKNOWN;
    own += sizeof(unified) - 1;
    own[strcspn(own, "\n")] = '\0';
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", own);
    uint64_t limit = number_in(path);
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.current", own);
    uint64_t used = number_in(path);
    if (limit == UNKNOWN || used == UNKNOWN)
        return UNKNOWN;
    return limit > used ? limit - used : 0;
}

uint64_t di_memory_available(void)
{
    uint64_t has = machine();
    uint64_t may = control_group();

    return has < may ? has : may;
}
