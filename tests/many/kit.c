/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/many/kit.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void must(bool condition, const char *file, int line, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "%s:%d: process %d: %s (%s)\n", file, line, (int)getpid(), what,
            duct_err_detail());
    exit(1);
}

bool many_descriptors(unsigned count)
{
    struct rlimit limit;

    MUST(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    rlim_t wanted = count + 256;
    limit.rlim_max = limit.rlim_max > wanted ? limit.rlim_max : wanted;
    limit.rlim_cur = limit.rlim_cur > wanted ? limit.rlim_cur : wanted;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

size_t private_kb(void)
{
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    char line[256];
    size_t sum = 0, part;

    MUST(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "Private_Clean: %zu", &part) == 1 ||
            sscanf(line, "Private_Dirty: %zu", &part) == 1)
            sum += part;
    }
    fclose(file);
    return sum;
}

static struct rusage usage(void)
{
    struct rusage use;

    MUST(getrusage(RUSAGE_SELF, &use) == 0);
    return use;
}

int64_t cpu_us(void)
{
    struct rusage use = usage();

    return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * INT64_C(1000000) + use.ru_utime.tv_usec +
           use.ru_stime.tv_usec;
}

long sleeps(void)
{
    return usage().ru_nvcsw;
}

struct duct_context *open_context(void)
{
    struct duct_context *context;

    MUST(duct_context_open(&context, NULL) == DUCT_OK);
    return context;
}

struct duct_listener *listen_at(struct duct_context *context, const char *scheme, const char *query,
                                char *url, size_t capacity)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *listener;
    char at[128];

    options.context = context;
    if (strcmp(scheme, "tcp") == 0)
        snprintf(at, sizeof(at), "tcp://127.0.0.1:0?%s", query);
    else
        snprintf(at, sizeof(at), "uds://@duct-many-%d?%s", (int)getpid(), query);
    MUST(duct_listen(&listener, at, &options) == DUCT_OK);
    snprintf(url, capacity, "%s://%s", scheme, duct_listener_path(listener));
    return listener;
}

struct duct_pipe *dial(struct duct_context *context, const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;

    options.context = context;
    options.dial_ns = SOON;
    MUST(duct_dial(&pipe, url, &options) == DUCT_OK);
    return pipe;
}

struct other start_other(other_main *run, unsigned count)
{
    int ends[2];

    MUST(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    fflush(NULL);
    struct other other = {.pid = fork(), .channel = ends[0]};
    MUST(other.pid >= 0);
    if (other.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        run(ends[1], count);
        exit(0);
    }
    close(ends[1]);
    return other;
}

void other_ended(struct other *other)
{
    int status;

    MUST(waitpid(other->pid, &status, 0) == other->pid);
    MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    close(other->channel);
}

void tell(int channel, const char *text)
{
    MUST(send(channel, text, strlen(text) + 1, MSG_NOSIGNAL) > 0);
}

void hear(int channel, char *text, size_t capacity)
{
    MUST(recv(channel, text, capacity, 0) > 0);
}
