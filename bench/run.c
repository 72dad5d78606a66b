/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edges here: [meet] a counter each side raises with release when it arrives and reads with acquire
 * until the other has: what one did before the meeting is seen by the other after it.
 */
#include "bench/run.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/payload.h"

enum { SIDES = 2 };

/* Shared by the parent and its two children for one run. */
struct stage {
    struct machine_probe probe;
    _Alignas(MACHINE_LINE_BYTES) _Atomic unsigned arrived; /* both sides */
    _Alignas(MACHINE_LINE_BYTES) double line_before_ns;    /* this and below: first */
    double line_after_ns;
    double elapsed_ns;
    _Atomic uint64_t preempted; /* both sides */
};

static void *map_shared(size_t bytes)
{
    void *at =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

struct bench_tape *run_tape_open(void)
{
    return map_shared(sizeof(struct bench_tape));
}

void run_tape_close(struct bench_tape *tape)
{
    munmap(tape, sizeof(*tape));
}

void *bench_source(const struct bench_run *run, uint64_t seed)
{
    size_t bytes = (run->size + 4095) / 4096 * 4096;
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                    -1, 0);
    if (at == MAP_FAILED)
        _exit(2);
    payload_fill(at, run->size, seed);
    return at;
}

/* Waits for the other side; yields, because it may need this very CPU. */
static void meet(struct stage *stage, unsigned *meetings)
{
    unsigned both = 2 * ++*meetings;
    atomic_fetch_add_explicit(&stage->arrived, 1, memory_order_release);       /* [meet] */
    while (atomic_load_explicit(&stage->arrived, memory_order_acquire) < both) /* [meet] */
        sched_yield();
}

static double probe_side(struct stage *stage, bool is_first, unsigned *meetings)
{
    double ns = 0;
    meet(stage, meetings);
    if (is_first)
        ns = machine_probe_measure(&stage->probe);
    else
        machine_probe_echo(&stage->probe);
    meet(stage, meetings);
    return ns;
}

static uint64_t preemptions(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)usage.ru_nivcsw;
}

/*
 * A fork does not copy the page tables of shared memory; filling them here keeps page faults out of
 * the figures.
 */
static void fill_page_tables(void *at, size_t bytes)
{
    if (bytes > 0 && madvise(at, bytes, MADV_POPULATE_WRITE) != 0)
        _exit(3);
}

static void run_side(const struct bench_case *what, struct bench_run *run, struct stage *stage,
                     bool is_first)
{
    unsigned meetings = 0;
    unsigned cpu_index = what->place == BENCH_PAIR && !is_first ? 1 : 0;

    int cpu = machine_cpu_at(cpu_index);
    if (!machine_pin(cpu))
        _exit(4);
    fill_page_tables(run->shared, run->shared_bytes);
    fill_page_tables(run->tape, sizeof(*run->tape));

    double before_ns = what->place == BENCH_PAIR ? probe_side(stage, is_first, &meetings) : 0;
    uint64_t preempted = preemptions();
    uint64_t start_ns = machine_now_ns();
    (is_first ? what->first : what->second)(run);
    uint64_t end_ns = machine_now_ns();
    /* Relaxed: the parent reads it after our end. */
    atomic_fetch_add_explicit(&stage->preempted, preemptions() - preempted, memory_order_relaxed);
    /* A peer may have let itself roam; a probe of one CPU with itself would take for ever. */
    if (!machine_pin(cpu))
        _exit(4);
    double after_ns = what->place == BENCH_PAIR ? probe_side(stage, is_first, &meetings) : 0;

    if (is_first) {
        stage->line_before_ns = before_ns;
        stage->line_after_ns = after_ns;
        stage->elapsed_ns = (double)(end_ns - start_ns);
    }
    _exit(0);
}

static pid_t fork_side(const struct bench_case *what, struct bench_run *run, struct stage *stage,
                       bool is_first)
{
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        run_side(what, run, stage, is_first);
    _exit(5);
}

/* True when it ended by _exit(0). The child has ended or is about to. */
static bool ended_well(pid_t pid)
{
    int status = 0;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/*
 * Waits until every child has ended. Kills the rest as soon as one ends badly, and all when the
 * deadline passes: a side that waits for a dead one would wait for ever. True when all ended well.
 */
static bool reap(pid_t *pids, unsigned count, uint64_t deadline_ns)
{
    struct pollfd ends[SIDES];
    unsigned left = count;
    bool well = true;

    for (unsigned i = 0; i < count; i++) {
        ends[i] = (struct pollfd){.fd = pidfd_open(pids[i], 0), .events = POLLIN};
        well = well && ends[i].fd >= 0;
    }
    while (left > 0) {
        uint64_t now_ns = machine_now_ns();
        well = well && now_ns < deadline_ns;
        for (unsigned i = 0; !well && i < count; i++) {
            if (pids[i] > 0)
                kill(pids[i], SIGKILL);
        }
        if (well && poll(ends, count, (int)((deadline_ns - now_ns) / 1000000u) + 1) <= 0)
            continue;
        for (unsigned i = 0; i < count; i++) {
            if (pids[i] == 0 || (well && ends[i].revents == 0))
                continue;
            well = ended_well(pids[i]) && well;
            pids[i] = 0;
            left--;
            if (ends[i].fd >= 0)
                close(ends[i].fd);
            ends[i].fd = -1; /* poll() passes over it */
        }
    }
    return well;
}

static bool run_sides(const struct bench_case *what, struct bench_run *run, struct stage *stage,
                      uint64_t deadline_ns)
{
    pid_t pids[SIDES];
    unsigned wanted = what->second != NULL ? SIDES : 1;
    unsigned count = 0;

    for (; count < wanted; count++) {
        pids[count] = fork_side(what, run, stage, count == 0);
        if (pids[count] < 0)
            break;
    }
    return reap(pids, count, count == wanted ? deadline_ns : 0) && count == wanted;
}

bool run_once(const struct bench_case *what, const struct bench_plan *plan, struct bench_tape *tape,
              uint64_t deadline_ns, struct run_result *result)
{
    struct bench_run run = {.what = what, .size = what->size, .plan = *plan, .tape = tape};
    struct stage *stage = map_shared(sizeof(*stage));
    bool ready = stage != NULL;

    *result = (struct run_result){0};
    tape->wrong = false;
    if (ready && what->shared_bytes != NULL) {
        run.shared_bytes = what->shared_bytes(what);
        run.shared = map_shared(run.shared_bytes);
        ready = run.shared != NULL;
    }
    if (ready && (what->setup == NULL || what->setup(&run))) {
        result->completed = run_sides(what, &run, stage, deadline_ns) && !tape->wrong;
        if (what->teardown != NULL)
            what->teardown(&run);
    } else {
        ready = false;
    }
    if (stage != NULL) {
        result->line_before_ns = stage->line_before_ns;
        result->line_after_ns = stage->line_after_ns;
        result->elapsed_ns = stage->elapsed_ns;
        result->preempted = atomic_load_explicit(&stage->preempted, memory_order_relaxed);
        munmap(stage, sizeof(*stage));
    }
    if (run.shared != NULL)
        munmap(run.shared, run.shared_bytes);
    return ready;
}
