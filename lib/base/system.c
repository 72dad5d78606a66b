/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/base/system.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

/* The leak checker looks for pointers in memory it knows of, which a plain map is not: without this it would
 * call leaked what the main thread's own context still holds when the program returns from main(). */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_LEAK_CHECKER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_LEAK_CHECKER 1
#endif
#endif
#ifdef HAS_LEAK_CHECKER
void __lsan_register_root_region(const void *memory, size_t size);
void __lsan_unregister_root_region(const void *memory, size_t size);
#else
#define __lsan_register_root_region(memory, size)   ((void)0)
#define __lsan_unregister_root_region(memory, size) ((void)0)
#endif

void *di_wiped_alloc(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return NULL;
    /* Linux 4.14; without it a child after fork() is on its own, as the documentation says. */
    madvise(memory, size, MADV_WIPEONFORK);
    __lsan_register_root_region(memory, size);
    return memory;
}

void di_wiped_free(void *memory, size_t size)
{
    __lsan_unregister_root_region(memory, size);
    munmap(memory, size);
}

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
