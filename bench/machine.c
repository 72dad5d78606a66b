/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Edges here: [bounce] a word stored with release by one side and loaded with acquire by the other.
 * Only the number itself travels, so relaxed would do; release and acquire cost nothing on the
 * machines we know and match what the measured rings do.
 */
#include "bench/machine.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/payload.h"
#include "bench/stats.h"

enum { PROBE_BATCH = MACHINE_PROBE_LINES, PROBE_BATCHES = 100 };

unsigned machine_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

int machine_cpu_at(unsigned index)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0 || CPU_COUNT(&set) == 0)
        return -1;
    unsigned left = index % (unsigned)CPU_COUNT(&set);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set) && left-- == 0)
            return cpu;
    }
    return -1;
}

bool machine_pin(int cpu)
{
    if (cpu < 0 || cpu >= CPU_SETSIZE)
        return false;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    return sched_setaffinity(0, sizeof(set), &set) == 0;
}

static void bounce(struct machine_probe *probe, uint64_t first, uint64_t count)
{
    for (uint64_t n = first; n < first + count; n++) {
        unsigned at = n % MACHINE_PROBE_LINES;
        atomic_store_explicit(&probe->ping[at].word, n, memory_order_release); /* [bounce] */
        while (atomic_load_explicit(&probe->pong[at].word, memory_order_acquire) !=
               n) /* [bounce] */
            ;
    }
}

/*
 * Numbers go on where the last probe stopped. A probe makes a whole number of turns over the lines,
 * so the last number stands in line 0. Relaxed: the caller wrote it itself.
 */
static uint64_t probe_next(struct machine_line *lines)
{
    return atomic_load_explicit(&lines[0].word, memory_order_relaxed) + 1;
}

double machine_probe_measure(struct machine_probe *probe)
{
    uint64_t next = probe_next(probe->ping);
    double batch_ns[PROBE_BATCHES];

    bounce(probe, next, PROBE_BATCH);
    next += PROBE_BATCH;
    uint64_t last_ns = machine_now_ns();
    for (unsigned i = 0; i < PROBE_BATCHES; i++, next += PROBE_BATCH) {
        bounce(probe, next, PROBE_BATCH);
        uint64_t now_ns = machine_now_ns();
        batch_ns[i] = (double)(now_ns - last_ns) / PROBE_BATCH;
        last_ns = now_ns;
    }
    return stats_median(batch_ns, PROBE_BATCHES);
}

void machine_probe_echo(struct machine_probe *probe)
{
    uint64_t next = probe_next(probe->pong);
    for (uint64_t end = next + PROBE_BATCH * (PROBE_BATCHES + 1); next < end; next++) {
        unsigned at = next % MACHINE_PROBE_LINES;
        while (atomic_load_explicit(&probe->ping[at].word, memory_order_acquire) !=
               next) /* [bounce] */
            ;
        atomic_store_explicit(&probe->pong[at].word, next, memory_order_release); /* [bounce] */
    }
}

bool machine_probes_agree(double a_ns, double b_ns)
{
    double low = a_ns < b_ns ? a_ns : b_ns;
    double high = a_ns < b_ns ? b_ns : a_ns;
    return high <= low * 1.25;
}

static void spin_for_ever(int cpu, pid_t parent)
{
    struct sched_param none = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /*
     * A spinner that is not idle would compete with what it serves, and one whose parent is gone
     * serves nobody.
     */
    if (getppid() != parent || !machine_pin(cpu) || sched_setscheduler(0, SCHED_IDLE, &none) != 0)
        _exit(1);
    for (;;)
        payload_relax();
}

bool machine_spinners_start(struct machine_spinners *spinners)
{
    unsigned cpus = machine_cpu_count();
    pid_t parent = getpid();

    spinners->count = 0;
    for (unsigned i = 0; i < cpus && i < MACHINE_CPUS_MAX; i++) {
        pid_t pid = fork();
        if (pid == 0)
            spin_for_ever(machine_cpu_at(i), parent);
        if (pid < 0) {
            machine_spinners_stop(spinners);
            return false;
        }
        spinners->pids[spinners->count++] = pid;
    }
    return true;
}

void machine_spinners_stop(struct machine_spinners *spinners)
{
    for (unsigned i = 0; i < spinners->count; i++)
        kill(spinners->pids[i], SIGKILL);
    for (unsigned i = 0; i < spinners->count; i++)
        waitpid(spinners->pids[i], NULL, 0);
    spinners->count = 0;
}
