/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/crash/inject.h"
#include "tests/crash/reap.h"
#include "tests/crash/victim.h"
#include "tests/durable/party.h"

/*
 * Row 22 of the crash matrix between all that the kernel can tell apart: an end of a durable pipe is killed as it
 * enters its n-th system call, is opened again, and dies at the next one; either end, and both, beside each other.
 * Judged by a ledger of all messages; what remains is what a janitor removes.
 */
#define QUOTA 6u /* messages each way in a life: some come in slots, some in blocks */

struct end {
    int which; /* 0 dials, 1 listens */
    bool dies;
    enum duct_io io;
    struct inject inject;
    unsigned deaths;
};

/* Shared by all. */
struct stage {
    struct party party;
    struct end ends[2];
    _Atomic unsigned done; /* ends that have died at all their calls */
};

static struct stage *stage;
static char files[96];
static char url[192];

static int live(void *user)
{
    struct end *end = user;

    party_seed(end->deaths + (uint64_t)end->which);
    atomic_store_explicit(&end->inject.on, 1, memory_order_relaxed);
    return party_live(&stage->party, url, end->which, end->io, QUOTA);
}

/* All lives of one end. The last one stays until both have died enough and everything was delivered. */
static int lives(void *user)
{
    struct end *end = user;
    int status = -1;

    while (end->dies && status == -1) {
        memset(&end->inject, 0, sizeof(end->inject));
        end->inject.kill = true;
        end->inject.at = end->deaths + 1;
        status = inject_run(live, end, &end->inject);
        end->deaths += status == -1;
    }
    if (end->dies && status != 0) {
        fprintf(stderr, "call %u (%s): status %d, %s\n", end->deaths + 1, end->inject.what, status,
                stage->party.fault);
        return status;
    }
    if (atomic_fetch_add_explicit(&stage->done, 1, memory_order_relaxed) == 1)
        atomic_store_explicit(&stage->party.stop, 1, memory_order_relaxed);
    return party_live(&stage->party, url, end->which, end->io, 0);
}

static unsigned round_of(enum duct_io io, bool dialer, bool listener)
{
    pid_t pids[2];

    memset(stage, 0, sizeof(*stage));
    crash_new_directory(files);
    for (int i = 0; i < 2; i++) {
        stage->ends[i] = (struct end){.which = i, .dies = i == 0 ? dialer : listener, .io = io};
        pids[i] = crash_spawn(lives, &stage->ends[i], NULL);
    }
    for (int i = 0; i < 2; i++) {
        int status = crash_wait(pids[i]);
        if (status == INJECT_CANNOT)
            exit(INJECT_CANNOT);
        if (status != 0)
            crash_fail("the end that %ss: %s", i == 0 ? "dial" : "listen", stage->party.fault);
    }
    uint64_t lost = ledger_open(&stage->party.ways[0]) + ledger_open(&stage->party.ways[1]);
    unsigned deaths = stage->ends[0].deaths + stage->ends[1].deaths;
    printf("%s: %u deaths of the end that dials, %u of the other; %llu messages lost\n",
           io == DUCT_IO_EPOLL ? "epoll" : "io_uring", stage->ends[0].deaths, stage->ends[1].deaths,
           (unsigned long long)lost);
    if (lost > 0 || deaths < 50)
        crash_fail("%llu messages were lost in %u deaths", (unsigned long long)lost, deaths);
    if (crash_wait(crash_spawn(crash_reap, files, NULL)) > 1 || rmdir(files) != 0 ||
        crash_world_names() != 0)
        crash_fail("something remains that a janitor does not remove");
    return deaths;
}

int main(void)
{
    const enum duct_io both[] = {DUCT_IO_URING, DUCT_IO_EPOLL};
    unsigned deaths = 0;

    crash_world_open();
    snprintf(files, sizeof(files), "%s/files", getenv("XDG_RUNTIME_DIR"));
    snprintf(url, sizeof(url), "shm://k?durable=1&slots=16&max_msg=4k&pool=32k&held=32&dir=%s",
             files);
    stage = mmap(NULL, sizeof(*stage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (stage == MAP_FAILED)
        crash_fail("no memory to share");
    for (int i = 0; i < 2; i++) {
        for (int who = 1; who <= 3; who++)
            deaths += round_of(both[i], who & 1, who & 2);
    }
    printf("%u deaths\n", deaths);
    return 0;
}
