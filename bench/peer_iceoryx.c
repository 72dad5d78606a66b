/* SPDX-License-Identifier: Apache-2.0 */
/*
 * iceoryx: a publisher and a subscriber each way, chunks built and read in the shared pools of its
 * daemon, both sides polling; a publisher that finds its subscriber's queue full waits. The daemon
 * is started with the first run, with pools that hold the largest payload, and ends with us.
 */
#include <fcntl.h>
#include <grp.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/peer.h"

#define WAIT_NS (PEER_WAIT_MS * 1000000ull)

enum { QUEUE = 256, DAEMON_READY_MS = 3000, DAEMON_END_MS = 3000 };

static iox_pub_t pub;
static iox_sub_t sub;

static const char pools[] = "[general]\nversion = 1\n[[segment]]\n"
                            "[[segment.mempool]]\nsize = 128\ncount = 2000\n"
                            "[[segment.mempool]]\nsize = 2048\ncount = 2000\n"
                            "[[segment.mempool]]\nsize = 69632\ncount = 400\n"
                            "[[segment.mempool]]\nsize = 1052672\ncount = 300\n";

static void become_daemon(const char *config, pid_t parent)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || null < 0)
        _exit(1);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    execlp("iox-roudi", "iox-roudi", "-c", config, "-k", "1", (char *)NULL);
    _exit(1);
}

static pid_t daemon_pid;

/*
 * Asks it to end, and insists after a while. It leaves its memory behind when those that used it
 * ended without a word, as ours do: one segment for itself, one named after the group.
 */
static void daemon_stop(void)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    const struct group *group = getgrgid(getegid());
    bool ended = false;

    kill(daemon_pid, SIGTERM);
    for (unsigned i = 0; i < DAEMON_END_MS / 10 && !ended; i++) {
        nanosleep(&pause, NULL);
        ended = waitpid(daemon_pid, NULL, WNOHANG) != 0;
    }
    if (!ended) {
        kill(daemon_pid, SIGKILL);
        waitpid(daemon_pid, NULL, 0);
    }
    shm_unlink("/iceoryx_mgmt");
    if (group != NULL)
        shm_unlink(group->gr_name);
}

/* Its memory appears under this name once it is up. */
static bool daemon_ready(pid_t pid)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    struct stat there;
    for (unsigned i = 0; i < DAEMON_READY_MS / 10; i++) {
        nanosleep(&pause, NULL);
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return false;
        if (stat("/dev/shm/iceoryx_mgmt", &there) == 0 && i > 50)
            return true;
    }
    return false;
}

static bool daemon_start(const char *address)
{
    static enum { UNTRIED, RUNNING, BROKEN } state;
    char config[PEER_ADDRESS_BYTES + 8];
    pid_t parent = getpid();

    if (state != UNTRIED)
        return state == RUNNING;
    state = BROKEN;
    snprintf(config, sizeof(config), "%s.toml", address);
    FILE *file = fopen(config, "we");
    if (file == NULL)
        return false;
    fputs(pools, file);
    fclose(file);
    daemon_pid = fork();
    if (daemon_pid == 0)
        become_daemon(config, parent);
    if (daemon_pid > 0 && atexit(daemon_stop) == 0 && daemon_ready(daemon_pid))
        state = RUNNING;
    unlink(config);
    return state == RUNNING;
}

static bool both_open(struct peer *peer)
{
    static iox_pub_storage_t pub_storage;
    static iox_sub_storage_t sub_storage;
    const char *name = strrchr(peer->address, '/') + 1;
    char process[PEER_ADDRESS_BYTES];
    iox_pub_options_t pub_options;
    iox_sub_options_t sub_options;

    snprintf(process, sizeof(process), "%s-%d", name, peer->is_first);
    iox_set_loglevel(Iceoryx_LogLevel_Off);
    iox_runtime_init(process);
    iox_pub_options_init(&pub_options);
    pub_options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
    iox_sub_options_init(&sub_options);
    sub_options.queueCapacity = QUEUE;
    sub_options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
    pub =
        iox_pub_init(&pub_storage, "bench", name, peer->is_first ? "there" : "back", &pub_options);
    sub =
        iox_sub_init(&sub_storage, "bench", name, peer->is_first ? "back" : "there", &sub_options);
    for (uint64_t end_ns = machine_now_ns() + WAIT_NS; machine_now_ns() < end_ns;) {
        if (iox_pub_has_subscribers(pub) &&
            iox_sub_get_subscription_state(sub) == SubscribeState_SUBSCRIBED)
            return true;
        usleep(1000);
    }
    return false;
}

static bool chunk_put(struct peer *peer)
{
    void *chunk;
    uint64_t end_ns = 0;
    while (iox_pub_loan_chunk(pub, &chunk, (uint32_t)peer->size) != AllocationResult_SUCCESS) {
        if (end_ns == 0)
            end_ns = machine_now_ns() + WAIT_NS;
        if (machine_now_ns() > end_ns)
            return false;
    }
    payload_fill_any(chunk, peer->size, ++peer->sent);
    iox_pub_publish_chunk(pub, chunk);
    return true;
}

static bool chunk_get(struct peer *peer)
{
    const void *chunk;
    uint64_t end_ns = 0;
    for (unsigned looks = 1; iox_sub_take_chunk(sub, &chunk) != ChunkReceiveResult_SUCCESS;
         looks++) {
        if (looks % 1024 != 0)
            continue;
        uint64_t now_ns = machine_now_ns();
        if (end_ns == 0)
            end_ns = now_ns + WAIT_NS;
        if (now_ns > end_ns)
            return false;
    }
    peer->sum += payload_consume(chunk, peer->size);
    iox_sub_release_chunk(sub, chunk);
    return true;
}

static void both_close(struct peer *peer)
{
    (void)peer;
    iox_sub_deinit(sub);
    iox_pub_deinit(pub);
    iox_runtime_shutdown();
}

void peer_iceoryx_cases(struct cases *cases)
{
    static const struct peer_ops ops = {
        .pingpong = "iceoryx.pingpong",
        .stream = "iceoryx.stream",
        .about = "iceoryx publisher and subscriber each way, polling, with its daemon",
        .spins = true,
        .setup = daemon_start,
        .open = both_open,
        .put = chunk_put,
        .get = chunk_get,
        .close = both_close,
    };
    peer_add(cases, &ops);
}
