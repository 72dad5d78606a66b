/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <duct/duct.h>

#include "tests/durable/party.h"

/*
 * Both ends of a durable pipe (party.h), at full speed. Either, or both, are killed at random and started again.
 *
 *   durable_kill [KILLS [SEED]]
 */
static struct party *shared;
static char url[128];

/* Relaxed: see ledger.c. */
#define get(from)     atomic_load_explicit((from), memory_order_relaxed)
#define set(to, what) atomic_store_explicit((to), (what), memory_order_relaxed)

static pid_t start(int end)
{
    uint64_t seed = (uint64_t)party_random(1u << 30) << 30 ^ party_random(1u << 30);
    pid_t pid = fork();

    if (pid == 0) {
        /* None outlives a test that failed. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        party_seed(seed);
        _exit(party_live(shared, url, end, DUCT_IO_AUTO, 0));
    }
    return pid;
}

/* Waits up to some microseconds for a process to end by itself. True if it did. */
static bool ended(pid_t pid, unsigned most_us)
{
    struct timespec most = {.tv_sec = most_us / 1000000, .tv_nsec = most_us % 1000000 * 1000l};
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ask = {.fd = fd, .events = POLLIN};
    int result = ppoll(&ask, 1, &most, NULL);

    close(fd);
    return result == 1;
}

static int report(const char *what)
{
    fprintf(stderr, "durable_kill: %s %s\n", what, shared->fault);
    return 1;
}

static int storm(unsigned kills)
{
    pid_t pids[2] = {start(0), start(1)};
    int status;

    for (unsigned k = 0; k < kills; k++) {
        unsigned which = 1 + party_random(3); /* one, the other, both */
        if (ended(pids[party_random(2)], party_random(6000)))
            return report("an end gave up:");
        for (int end = 0; end < 2; end++) {
            if (which & 1u << end)
                kill(pids[end], SIGKILL);
        }
        for (int end = 0; end < 2; end++) {
            if (!(which & 1u << end))
                continue;
            waitpid(pids[end], &status, 0);
            if (WIFEXITED(status))
                return report("an end gave up:");
            pids[end] = start(end);
        }
    }
    set(&shared->stop, 1);
    for (int end = 0; end < 2; end++) {
        if (!ended(pids[end], 60000000))
            return report("it hangs");
        waitpid(pids[end], &status, 0);
        if (status != 0)
            return report("an end failed:");
    }
    return 0;
}

static int judge(unsigned kills)
{
    uint64_t open = ledger_open(&shared->ways[0]) + ledger_open(&shared->ways[1]);

    printf(
        "%u kills, %llu and %llu messages, %llu came again, %llu lost\n", kills,
        (unsigned long long)get(&shared->ways[0].next),
        (unsigned long long)get(&shared->ways[1].next),
        (unsigned long long)(get(&shared->ways[0].redelivered) + get(&shared->ways[1].redelivered)),
        (unsigned long long)open);
    return open == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    unsigned kills = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 500;
    char base[] = "/tmp/duct-kill-XXXXXX";
    char command[64];

    party_seed(argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || mkdtemp(base) == NULL)
        return 1;
    setenv("XDG_RUNTIME_DIR", base, 1);
    snprintf(url, sizeof(url), "shm://k?durable=1&slots=64&max_msg=4k&pool=32k&held=32&dir=%s",
             base);
    int code = storm(kills);
    if (code == 0)
        code = judge(kills);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    return system(command) == 0 ? code : 1;
}
