/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/point.h"
#include "tests/crash/reap.h"
#include "tests/crash/victim.h"
#include "tests/durable/party.h"

/*
 * Rows 4, 17 and 22 of the crash matrix: an end of a durable pipe dies at a point, is opened again, and goes on, with
 * the other end alive or dying too; judged by a ledger of all messages. First at each point named durable.…, in
 * new files, so that making and first meeting are among them; then at the k-th point passed, for every k, over
 * files that go from life to life. Last a janitor dies at each of its points, and the next one completes.
 */
/* Messages each way in a life: some come in slots, some in blocks. Where a point is to be met in this life, so many
 * that the ring of 16 goes round. */
#define QUOTA       6u
#define QUOTA_NAMED 40u

struct end {
    int which; /* 0 dials, 1 listens */
    bool dies;
    const char *name;        /* of the point to die at first; NULL: at every k */
    struct crash_plan *plan; /* shared with it */
    uint64_t k;
    pid_t pid; /* 0: it has died at all it should, and lived once */
    bool last; /* its life is the one that goes on until all is over */
};

static struct party *party;
static char url[192];
static enum duct_io io;
static unsigned deaths;

#define get(from)     atomic_load_explicit((from), memory_order_relaxed)
#define set(to, what) atomic_store_explicit((to), (what), memory_order_relaxed)

static int live(void *user)
{
    const struct end *end = user;

    party_seed(end->k + (uint64_t)end->which);
    return party_live(party, url, end->which, io,
                      end->last           ? 0
                      : end->name != NULL ? QUOTA_NAMED
                                          : QUOTA);
}

static void begin_life(struct end *end)
{
    memset(end->plan, 0, sizeof(*end->plan));
    if (!end->last && end->name != NULL)
        snprintf(end->plan->die_name, sizeof(end->plan->die_name), "%s", end->name);
    else if (!end->last)
        end->plan->die_at = ++end->k;
    end->pid = crash_spawn(live, end, end->plan);
}

/* A life is over. One that died at its name, or passed fewer points than k, is followed by one that stays. */
static void next_life(struct end *end, int status)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        deaths++;
        crash_tried(end->plan);
        end->last = end->name != NULL;
    } else if (status == 0 && !end->last) {
        end->last = true;
    } else if (status != 0) {
        crash_fail("an end failed at %s (%llu): %s", end->plan->last, (unsigned long long)end->k,
                   party->fault);
    } else {
        end->pid = 0;
        return;
    }
    begin_life(end);
}

/* Runs both ends until each has died where it should; then everything must be delivered. */
static void round_of(const char *name, bool dialer, bool listener)
{
    struct end ends[2] = {{.which = 0, .dies = dialer, .name = name},
                          {.which = 1, .dies = listener, .name = name}};
    int status;

    memset(party, 0, sizeof(*party));
    for (int i = 0; i < 2; i++) {
        ends[i].plan = crash_plan_new();
        ends[i].last = !ends[i].dies;
        begin_life(&ends[i]);
    }
    while (ends[0].pid != 0 || ends[1].pid != 0) {
        if (ends[0].last && ends[1].last)
            set(&party->stop, 1);
        pid_t pid = waitpid(-1, &status, 0);
        for (int i = 0; i < 2; i++) {
            if (pid == ends[i].pid)
                next_life(&ends[i], status);
        }
    }
    if (ledger_open(&party->ways[0]) + ledger_open(&party->ways[1]) > 0)
        crash_fail("%s: messages were lost", name != NULL ? name : "all points");
    for (int i = 0; i < 2; i++)
        crash_plan_free(ends[i].plan);
}

/* ---- The janitor ---- */

static char files[96];

/* Two ends that met, with everything delivered; then removed by a janitor that dies at its k-th point. */
static void all_janitors(void)
{
    struct crash_plan *plan = crash_plan_new();
    int status = -1;

    for (uint64_t k = 1; status == -1; k++) {
        crash_new_directory(files);
        round_of("nowhere", false, false);
        memset(plan, 0, sizeof(*plan));
        plan->die_at = k;
        if ((status = crash_wait(crash_spawn(crash_reap, files, plan))) == -1) {
            deaths++;
            crash_tried(plan);
        }
        if (status > 1 || crash_wait(crash_spawn(crash_reap, files, NULL)) > 1 ||
            crash_wait(crash_spawn(crash_reap, files, NULL)) != 0 || rmdir(files) != 0)
            crash_fail("after a janitor's death at %s something remains", plan->last);
    }
    crash_plan_free(plan);
}

int main(void)
{
    const enum duct_io both[] = {DUCT_IO_AUTO, DUCT_IO_EPOLL};
    const char *name;

    crash_world_open();
    snprintf(files, sizeof(files), "%s/files", getenv("XDG_RUNTIME_DIR"));
    snprintf(url, sizeof(url), "shm://k?durable=1&slots=16&max_msg=4k&pool=32k&held=32&dir=%s",
             files);
    party = mmap(NULL, sizeof(*party), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (party == MAP_FAILED)
        crash_fail("no memory to share");
    for (int i = 0; i < 2; i++) {
        io = both[i];
        for (unsigned n = 0; (name = crash_point_name(n)) != NULL; n++) {
            for (int who = 1; who <= 3 && strncmp(name, "durable.", 8) == 0; who++) {
                crash_new_directory(files);
                round_of(name, who & 1, who & 2);
            }
        }
        for (int who = 1; who <= 3; who++) {
            crash_new_directory(files);
            round_of(NULL, who & 1, who & 2);
        }
    }
    all_janitors();
    printf("%u deaths\n", deaths);
    return crash_untried("durable.") + crash_untried("leftover.") > 0;
}
