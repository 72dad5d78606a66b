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

#include "tests/durable/ledger.h"

/*
 * Two processes send numbered messages to each other over a durable pipe, as fast as they can, hold some
 * for a while and release them in any order. Either, or both, are killed at random and started again. In
 * the end everything whose send returned OK must have been delivered: in order, whole, marked where it came
 * again, and never after its release had returned.
 *
 *   durable_kill [KILLS [SEED]]
 */
#define HELD_MAX 5u

struct shared {
    struct ledger ways[2]; /* by the end that sends: 0 dials, 1 listens */
    _Atomic uint32_t stop; /* send nothing new, go when everything has been released */
    _Atomic uint64_t turns[2];
    _Atomic uint32_t done[2];
    char fault[256];
};

static struct shared *shared;
static char url[128];

static uint64_t state;
static uint32_t random_below(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

/* Relaxed: see ledger.c. */
#define get(from)     atomic_load_explicit((from), memory_order_relaxed)
#define set(to, what) atomic_store_explicit((to), (what), memory_order_relaxed)

static _Noreturn void fault(int end, const char *what, uint64_t number)
{
    snprintf(shared->fault, sizeof(shared->fault), "the end that %ss: message %lld %s: %s",
             end == 0 ? "dial" : "listen", (long long)number, what, duct_err_detail());
    _exit(3);
}

/* One life of one end. */
struct life {
    int end;
    struct duct_pipe *pipe;
    struct duct_msg held[HELD_MAX];
    uint64_t numbers[HELD_MAX];
    unsigned count;
    uint64_t last;
};

static bool send_one(struct life *life)
{
    struct ledger *ledger = &shared->ways[life->end];
    uint64_t number = get(&ledger->next);
    struct duct_msg msg;
    unsigned char bytes[MESSAGE_MAX];
    enum duct_err err;

    if (get(&shared->stop) || number == LEDGER_MAX)
        return false;
    /* The number is used up, whatever becomes of the send. */
    if (random_below(2) == 0) {
        if ((err = duct_msg_loan(life->pipe, message_size(number), &msg)) == DUCT_OK) {
            message_fill(msg.data, number);
            set(&ledger->next, number + 1);
            if ((err = duct_send(life->pipe, &msg, 0)) != DUCT_OK &&
                duct_msg_discard(&msg) != DUCT_OK)
                fault(life->end, "could not be discarded", number);
        }
    } else {
        message_fill(bytes, number);
        set(&ledger->next, number + 1);
        err = duct_write(life->pipe, bytes, message_size(number), 0, 0);
    }
    if (err == DUCT_OK)
        set(&ledger->sent[number], 1);
    else if (err != DUCT_EAGAIN)
        fault(life->end, "could not be sent", number);
    return err == DUCT_OK;
}

static bool release_one(struct life *life)
{
    unsigned which;
    uint64_t number;

    if (life->count == 0)
        return false;
    which = random_below(life->count);
    number = life->numbers[which];
    ledger_releasing(&shared->ways[!life->end], number);
    if (duct_msg_release(&life->held[which]) != DUCT_OK)
        fault(life->end, "could not be released", number);
    ledger_released(&shared->ways[!life->end], number);
    life->count--;
    life->held[which] = life->held[life->count];
    life->numbers[which] = life->numbers[life->count];
    return true;
}

static bool take_one(struct life *life)
{
    struct ledger *ledger = &shared->ways[!life->end];
    struct duct_msg *msg = &life->held[life->count];
    enum duct_err err;

    if (life->count == HELD_MAX)
        return release_one(life);
    err = duct_recv(life->pipe, msg, 0);
    if (err == DUCT_EAGAIN || err == DUCT_ELIMIT)
        return release_one(life);
    if (err != DUCT_OK)
        fault(life->end, "could not be received", life->last + 1);
    uint64_t number = message_check(msg->data, msg->size);
    const char *wrong =
        ledger_received(ledger, &life->last, number, (msg->flags & DUCT_MSG_REDELIVERED) != 0);
    if (wrong != NULL)
        fault(life->end, wrong, number);
    life->numbers[life->count++] = number;
    if (random_below(3) == 0)
        release_one(life);
    return true;
}

static enum duct_err open_pipe(struct life *life, struct duct_listener **listener)
{
    *listener = NULL;
    if (life->end == 0)
        return duct_dial(&life->pipe, url, NULL);
    enum duct_err err = duct_listen(listener, url, NULL);
    return err != DUCT_OK ? err : duct_accept(*listener, &life->pipe, 0);
}

static bool over(const struct life *life)
{
    return get(&shared->stop) && life->count == 0 && ledger_open(&shared->ways[0]) == 0 &&
           ledger_open(&shared->ways[1]) == 0;
}

static _Noreturn void live(int end, uint64_t seed)
{
    struct life life = {.end = end, .last = UINT64_MAX};
    struct duct_listener *listener;
    struct duct_context *context;
    struct duct_event events[4];
    size_t count;

    state = seed;
    if (open_pipe(&life, &listener) != DUCT_OK || duct_context_default(&context) != DUCT_OK)
        fault(end, "(no message): could not open", 0);
    for (unsigned turn = 1;; turn++) {
        bool moved = send_one(&life);
        moved |= take_one(&life);
        set(&shared->turns[end], get(&shared->turns[end]) + 1);
        if (moved && turn % 64 != 0)
            continue;
        if (over(&life))
            break;
        /* A step that did nothing: whatever happens next wakes us, or we look at stop. */
        enum duct_err err =
            duct_context_wait(context, events, 4, &count, moved ? 0 : 2 * DUCT_MILLISECOND);
        if (err != DUCT_OK && err != DUCT_ETIMEOUT && err != DUCT_EAGAIN)
            fault(end, "(no message): waiting failed", 0);
    }
    duct_pipe_close(life.pipe);
    duct_listener_close(listener);
    set(&shared->done[end], 1);
    exit(0);
}

static pid_t start(int end)
{
    uint64_t seed = state ^ random_below(1u << 30);
    pid_t pid = fork();

    if (pid == 0) {
        /* None outlives a test that failed. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        live(end, seed);
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
        unsigned which = 1 + random_below(3); /* one, the other, both */
        if (ended(pids[random_below(2)], random_below(6000)))
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

    state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
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
