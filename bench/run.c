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
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/payload.h"

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

/* A fork does not copy the page tables of shared memory; filling them here keeps page faults out of
 * the figures. */
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

    if (!machine_pin(machine_cpu_at(cpu_index)))
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

/* Waits until the child ends or the deadline passes; kills it in the latter case. True when it
 * ended by _exit(0). */
static bool reap(pid_t pid, uint64_t deadline_ns)
{
    int status = 0;
    int fd = pidfd_open(pid, 0);
    bool ended = false;

    while (fd >= 0 && !ended) {
        uint64_t now_ns = machine_now_ns();
        if (now_ns >= deadline_ns)
            break;
        struct pollfd end = {.fd = fd, .events = POLLIN};
        int timeout_ms = (int)((deadline_ns - now_ns) / 1000000u) + 1;
        ended = poll(&end, 1, timeout_ms) == 1;
    }
    if (fd >= 0)
        close(fd);
    if (!ended)
        kill(pid, SIGKILL);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* The sides run until both are done, so the order of reaping matters only after a failure. */
static bool run_both(const struct bench_case *what, struct bench_run *run, struct stage *stage,
                     uint64_t deadline_ns)
{
    pid_t second = what->second != NULL ? fork_side(what, run, stage, false) : 0;
    if (second < 0)
        return false;
    pid_t first = fork_side(what, run, stage, true);
    bool well = first > 0 && reap(first, deadline_ns);
    if (second > 0)
        well = reap(second, well ? deadline_ns : 0) && well;
    return well;
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
        result->completed = run_both(what, &run, stage, deadline_ns) && !tape->wrong;
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
