/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A run as any other (see run.h), whose findings besides the tape are carried out of it by its
 * teardown.
 *
 * Edge: [phase] a counter each side raises with release when it arrives at the next phase, and reads
 * with acquire until the other has too. It yields meanwhile; the parent holds the deadline.
 */
#include "bench/footprint.h"

#include <dirent.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "bench/run.h"
#include "bench/stats.h"
#include "bench/subject.h"

const unsigned footprint_pipes[FOOTPRINT_SIZES] = {1, 100, 1000};

enum {
    PIPES_MAX = 1000,
    EVENTS = 64,
    WAKES = 1000,
    /* Between two messages: longer than any default spins, so that each finds a sleeper. */
    GAP_NS = 150000,
    DEADLINE_NS_PER_PIPE = 5000000,
};
#define DEADLINE_NS   10000000000ull
#define IDLE_QUICK_NS 300000000ull
#define IDLE_NS       1000000000ull

struct board {
    _Atomic unsigned arrived;
    struct footprint_side listener, dialler;
};

struct office {
    struct subject side; /* its pipe is the one in use */
    struct duct_context *context;
    struct duct_pipe *pipes[PIPES_MAX];
    unsigned count;
    unsigned meetings;
    struct board *board;
};

static struct footprint found; /* by the parent, in teardown */

static void meet(struct office *office)
{
    unsigned both = 2 * ++office->meetings;
    atomic_fetch_add_explicit(&office->board->arrived, 1, memory_order_release);       /* [phase] */
    while (atomic_load_explicit(&office->board->arrived, memory_order_acquire) < both) /* [phase] */
        sched_yield();
}

static int64_t count_fds(void)
{
    int64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

static struct footprint_side take_stock(void)
{
    struct footprint_side side = {.fds = count_fds()};
    struct {
        const char *label;
        int64_t *bytes;
    } wanted[] = {
        {"Rss:", &side.rss_bytes}, {"Pss:", &side.pss_bytes}, {"Anonymous:", &side.private_bytes}};
    char line[128];
    FILE *file = fopen("/proc/self/smaps_rollup", "r");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
            size_t length = strlen(wanted[i].label);
            if (strncmp(line, wanted[i].label, length) == 0)
                *wanted[i].bytes = strtoll(line + length, NULL, 10) * 1024;
        }
    }
    if (file != NULL)
        fclose(file);
    return side;
}

static int64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

/* Opens every pipe of this side; `first` accepts. */
static void open_pipes(struct office *office, const struct bench_run *run, bool is_first)
{
    struct subject *side = &office->side;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (!subject_ok(side, "context", duct_context_default(&office->context)) ||
        (is_first &&
         !subject_ok(side, "listen", duct_listen(&side->listener, subject_url(run), NULL))))
        _exit(6);
    struct footprint_side before = take_stock();
    for (office->count = 0; office->count < run->what->param; office->count++) {
        struct duct_pipe **pipe = &office->pipes[office->count];
        if (is_first
                ? !subject_ok(side, "accept", duct_accept(side->listener, pipe, SUBJECT_WAIT_NS))
                : !subject_ok(side, "dial", duct_dial(pipe, subject_url(run), NULL)))
            _exit(6);
        duct_pipe_set_user(*pipe, pipe);
    }
    meet(office); /* a side may map more once the other is ready */
    struct footprint_side *after = is_first ? &office->board->listener : &office->board->dialler;
    *after = take_stock();
    after->rss_bytes -= before.rss_bytes;
    after->pss_bytes -= before.pss_bytes;
    after->private_bytes -= before.private_bytes;
    after->fds -= before.fds;
    for (unsigned i = 0; i < office->count; i++) {
        struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
        if (subject_ok(side, "info", duct_pipe_info(office->pipes[i], &info)))
            after->shared_bytes += (int64_t)info.shared_bytes;
    }
}

/* Waits until events come, and says how many; 0 when none came in time. */
static size_t wait_events(struct office *office, struct duct_event *events, int64_t timeout_ns)
{
    size_t count = 0;
    enum duct_err err = duct_context_wait(office->context, events, EVENTS, &count, timeout_ns);
    if (err == DUCT_EAGAIN || err == DUCT_ETIMEOUT)
        return 0;
    return subject_ok(&office->side, "wait", err) ? count : 0;
}

static double idle_share(struct office *office, uint64_t idle_ns)
{
    struct duct_event events[EVENTS];

    /* What opening the pipes left in the queue. */
    while (wait_events(office, events, 0) > 0)
        ;
    meet(office);
    uint64_t start_ns = machine_now_ns();
    int64_t used_ns = cpu_ns();
    for (uint64_t now_ns = start_ns; now_ns < start_ns + idle_ns; now_ns = machine_now_ns())
        wait_events(office, events, (int64_t)(start_ns + idle_ns - now_ns));
    used_ns = cpu_ns() - used_ns;
    double share = (double)used_ns / (double)(machine_now_ns() - start_ns);
    meet(office);
    return share;
}

static uint64_t wakes_of(const struct bench_run *run)
{
    return run->plan.warmup + run->plan.singles;
}

/* Answers each message, and notes how long it took to get here. */
static void hear(struct office *office, struct bench_run *run)
{
    struct duct_event events[EVENTS];
    uint64_t sent_ns;
    size_t size;

    for (uint64_t heard = 0; heard < wakes_of(run) && !office->side.failed;) {
        size_t count = wait_events(office, events, SUBJECT_WAIT_NS);
        for (size_t i = 0; i < count && !office->side.failed; i++) {
            if (events[i].type != DUCT_EVENT_READABLE)
                continue;
            enum duct_err err =
                duct_read(events[i].pipe, &sent_ns, sizeof(sent_ns), &size, NULL, 0);
            if (err == DUCT_EAGAIN)
                continue;
            uint64_t now_ns = machine_now_ns();
            if (!subject_ok(&office->side, "read", err))
                break;
            if (heard >= run->plan.warmup)
                run->tape->single_ns[heard - run->plan.warmup] = (double)(now_ns - sent_ns);
            heard++;
            subject_ok(&office->side, "write",
                       duct_write(events[i].pipe, &sent_ns, sizeof(sent_ns), 0, SUBJECT_WAIT_NS));
        }
        if (count == 0)
            break;
    }
    run->tape->singles = run->plan.singles;
}

static void tell(struct office *office, struct bench_run *run)
{
    const struct timespec gap = {.tv_nsec = GAP_NS};

    for (uint64_t i = 0; i < wakes_of(run) && !office->side.failed; i++) {
        struct duct_pipe *pipe = office->pipes[i % office->count];
        uint64_t answer;
        size_t size;
        nanosleep(&gap, NULL);
        uint64_t now_ns = machine_now_ns();
        if (subject_ok(&office->side, "write",
                       duct_write(pipe, &now_ns, sizeof(now_ns), 0, SUBJECT_WAIT_NS)))
            subject_ok(&office->side, "read",
                       duct_read(pipe, &answer, sizeof(answer), &size, NULL, SUBJECT_WAIT_NS));
    }
}

static void close_pipes(struct office *office)
{
    for (unsigned i = 0; i < office->count; i++)
        duct_pipe_close(office->pipes[i]);
    duct_listener_close(office->side.listener);
}

static void first(struct bench_run *run)
{
    static struct office office;
    office.board = run->shared;
    open_pipes(&office, run, true);
    office.board->listener.idle_cpu = idle_share(&office, run->plan.batch);
    hear(&office, run);
    close_pipes(&office);
    bench_check(run, !office.side.failed);
}

static void second(struct bench_run *run)
{
    static struct office office;
    office.board = run->shared;
    open_pipes(&office, run, false);
    office.board->dialler.idle_cpu = idle_share(&office, run->plan.batch);
    tell(&office, run);
    close_pipes(&office);
    if (office.side.failed)
        _exit(7);
}

static void teardown(struct bench_run *run)
{
    const struct board *board = run->shared;
    found.listener = board->listener;
    found.dialler = board->dialler;
}

static size_t board_bytes(const struct bench_case *what)
{
    (void)what;
    return sizeof(struct board);
}

bool footprint_measure(unsigned pipes, bool quick, struct footprint *footprint)
{
    const struct bench_case what = {
        .name = "duct.footprint",
        .kind = BENCH_COST,
        .place = machine_cpu_count() > 1 ? BENCH_PAIR : BENCH_SAME,
        .size = 8,
        .param = pipes < PIPES_MAX ? pipes : PIPES_MAX,
        .shared_bytes = board_bytes,
        .setup = subject_setup,
        .first = first,
        .second = second,
        .teardown = teardown,
    };
    /* `batch` carries how long to be idle. */
    const struct bench_plan plan = {
        .warmup = pipes, .singles = WAKES, .batch = quick ? IDLE_QUICK_NS : IDLE_NS};
    struct bench_tape *tape = run_tape_open();
    struct run_result result = {0};
    uint64_t deadline_ns = machine_now_ns() + DEADLINE_NS + (uint64_t)pipes * DEADLINE_NS_PER_PIPE;

    bool well =
        tape != NULL && run_once(&what, &plan, tape, deadline_ns, &result) && result.completed;
    if (well) {
        static struct stats_hist hist;
        memset(&hist, 0, sizeof(hist));
        for (uint64_t i = 0; i < tape->singles; i++)
            stats_hist_add(&hist, tape->single_ns[i]);
        *footprint = found;
        footprint->pipes = pipes;
        footprint->wake_p50_ns = stats_hist_percentile(&hist, 50);
        footprint->wake_p99_ns = stats_hist_percentile(&hist, 99);
    }
    if (tape != NULL)
        run_tape_close(tape);
    return well;
}

int64_t footprint_total_bytes(const struct footprint *footprint)
{
    return footprint->listener.private_bytes + footprint->listener.shared_bytes +
           footprint->dialler.private_bytes + footprint->dialler.shared_bytes;
}
