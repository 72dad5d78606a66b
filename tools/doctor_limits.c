/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "tools/cli.h"
#include "tools/doctor.h"

/* How much of everything there is. */

/* One side of a pipe holds a socket, a pidfd and an eventfd; segments are closed once mapped. */
#define FDS_PER_PIPE  3u
#define FDS_WANTED    4096u
#define PIPE_BYTES    (512u << 10)
#define MAPS_PER_PIPE 4u
#define MAPS_DEFAULT  65530
#define MEMORY_WANTED (UINT64_C(64) << 20)

void doctor_descriptors(struct doctor_fact *fact)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) {
        doctor_say(fact, DOCTOR_FINE, "without a limit");
        return;
    }
    unsigned long long now = limit.rlim_cur, most = limit.rlim_max;
    doctor_say(fact,
               now < 64           ? DOCTOR_BREAKS
               : now < FDS_WANTED ? DOCTOR_NOTE
                                  : DOCTOR_FINE,
               "%llu, enough for %llu pipes (hard limit %llu)", now, now / FDS_PER_PIPE, most);
    if (now < FDS_WANTED)
        doctor_advise(fact, "for more pipes: ulimit -n %llu, or LimitNOFILE= of the service",
                      most < 65536 ? most : 65536ULL);
}

void doctor_memlock(struct doctor_fact *fact)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        doctor_say(fact, DOCTOR_FINE, "without a limit");
    else
        doctor_say(fact, DOCTOR_NOTE, "%llu KiB; duct locks nothing, and since 5.12 no ring counts",
                   (unsigned long long)limit.rlim_cur >> 10);
}

void doctor_maps(struct doctor_fact *fact)
{
    long long most = doctor_read_number("/proc/sys/vm/max_map_count");

    if (most < 0) {
        doctor_say(fact, DOCTOR_NOTE, "vm.max_map_count cannot be read");
        return;
    }
    doctor_say(fact, most < 1024 ? DOCTOR_BREAKS : DOCTOR_FINE, "%lld, enough for %lld pipes", most,
               most / MAPS_PER_PIPE);
    if (most < MAPS_DEFAULT)
        doctor_advise(fact, "sysctl vm.max_map_count=%d", MAPS_DEFAULT);
}

void doctor_shm(struct doctor_fact *fact)
{
    struct statvfs about;

    if (statvfs("/dev/shm", &about) != 0) {
        doctor_say(fact, DOCTOR_NOTE, "%s; pipes do not need it", strerror(errno));
        return;
    }
    double size = (double)about.f_blocks * (double)about.f_frsize;
    double left = (double)about.f_bavail * (double)about.f_frsize;
    doctor_say(fact, DOCTOR_NOTE, "%s, %s free; pipes do not need it", cli_bytes(size).text,
               cli_bytes(left).text);
}

/* A segment is charged to whoever made it: the container's limit counts, where there is one. */
void doctor_memory(struct doctor_fact *fact)
{
    char line[128];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/meminfo", "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1)
            break;
    }
    if (file != NULL)
        fclose(file);
    unsigned long long left = kib << 10;
    long long most = doctor_read_number("/sys/fs/cgroup/memory.max");
    long long used = doctor_read_number("/sys/fs/cgroup/memory.current");
    if (most > 0 && used >= 0 && (unsigned long long)(most - used) < left)
        left = most > used ? (unsigned long long)(most - used) : 0;
    doctor_say(fact, left < MEMORY_WANTED ? DOCTOR_BREAKS : DOCTOR_FINE,
               "%s available, %llu pipes with default options", cli_bytes((double)left).text,
               left / PIPE_BYTES);
    if (left < MEMORY_WANTED)
        doctor_advise(fact, "free memory, or give the container more: what does not fit is NOSPACE "
                            "or NOMEMORY");
}

void doctor_huge(struct doctor_fact *fact)
{
    long long pages =
        doctor_read_number("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");

    if (pages > 0)
        doctor_say(fact, DOCTOR_FINE, "%lld free pages of 2 MiB for pools with huge=1", pages);
    else
        doctor_say(fact, DOCTOR_NOTE, "none reserved; only pools with huge=1 want them");
    if (pages <= 0)
        doctor_advise(fact, "for large pools: sysctl vm.nr_hugepages=64");
}

void doctor_processors(struct doctor_fact *fact)
{
    unsigned allowed = cli_processors();
    long online = sysconf(_SC_NPROCESSORS_ONLN);

    doctor_say(fact, allowed > 1 ? DOCTOR_FINE : DOCTOR_SLOW, "%u of %ld may be used", allowed,
               online);
    if (allowed == 1)
        doctor_advise(fact,
                      "two processes on one processor cannot spin for each other: every "
                      "message costs a switch; %s",
                      online > 1 ? "widen the affinity (taskset, cpuset)" : "add a processor");
}

static bool hypervised(void)
{
    char line[8192];
    FILE *file = fopen("/proc/cpuinfo", "re");
    bool found = false;

    while (file != NULL && !found && fgets(line, sizeof(line), file) != NULL)
        found = strncmp(line, "flags", 5) == 0 && strstr(line, " hypervisor") != NULL;
    if (file != NULL)
        fclose(file);
    return found;
}

/* What it costs to wake a processor that has nothing to do. */
void doctor_idle(struct doctor_fact *fact)
{
    char driver[64] = "none", governor[64] = "none";

    doctor_read("/sys/devices/system/cpu/cpuidle/current_driver", driver, sizeof(driver));
    doctor_read("/sys/devices/system/cpu/cpuidle/current_governor", governor, sizeof(governor));
    if (!hypervised()) {
        doctor_say(fact, DOCTOR_FINE, "no hypervisor; cpuidle driver %s, governor %s", driver,
                   governor);
        return;
    }
    bool polls = strcmp(governor, "haltpoll") == 0;
    doctor_say(fact, polls ? DOCTOR_FINE : DOCTOR_SLOW,
               "under a hypervisor; cpuidle driver %s, governor %s", driver, governor);
    if (!polls)
        doctor_advise(fact, "a halted virtual processor takes tens of microseconds to wake: "
                            "cpuidle_haltpoll, wait=spin or a longer spin= avoid the halt");
}
