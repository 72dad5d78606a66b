/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/facts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "bench/machine.h"

#ifndef BENCH_COMMIT
#define BENCH_COMMIT "unknown"
#endif

static void from_cpuinfo(struct facts *facts)
{
    char line[4096]; /* the flags are long */
    FILE *file = fopen("/proc/cpuinfo", "re");

    snprintf(facts->cpu, sizeof(facts->cpu), "unknown");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        const char *colon = strchr(line, ':');
        if (colon == NULL)
            continue;
        if (strncmp(line, "model name", 10) == 0)
            snprintf(facts->cpu, sizeof(facts->cpu), "%.*s", (int)strcspn(colon + 2, "\n"),
                     colon + 2);
        if (strncmp(line, "flags", 5) == 0)
            facts->virtual_machine = strstr(line, " hypervisor") != NULL;
    }
    if (file != NULL)
        fclose(file);
}

void facts_learn(struct facts *facts)
{
    struct utsname name;
    time_t now = time(NULL);
    struct tm utc;
    double pages = (double)sysconf(_SC_PHYS_PAGES);

    memset(facts, 0, sizeof(*facts));
    from_cpuinfo(facts);
    snprintf(facts->cpus, sizeof(facts->cpus), "%u%s", machine_cpu_count(),
             facts->virtual_machine ? ", virtual" : "");
    snprintf(facts->memory, sizeof(facts->memory), "%.0f GiB",
             pages * (double)sysconf(_SC_PAGESIZE) / 1073741824.0);
    if (uname(&name) == 0)
        snprintf(facts->kernel, sizeof(facts->kernel), "%.20s %.60s", name.sysname, name.release);
    else
        snprintf(facts->kernel, sizeof(facts->kernel), "unknown");
#if defined(__clang__)
    snprintf(facts->compiler, sizeof(facts->compiler), "clang %s", __clang_version__);
#else
    snprintf(facts->compiler, sizeof(facts->compiler), "gcc %s", __VERSION__);
#endif
    snprintf(facts->commit, sizeof(facts->commit), "%s", BENCH_COMMIT);
    if (gmtime_r(&now, &utc) == NULL ||
        strftime(facts->date, sizeof(facts->date), "%Y-%m-%d %H:%M UTC", &utc) == 0)
        snprintf(facts->date, sizeof(facts->date), "unknown");
}
