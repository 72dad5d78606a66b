/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: many_idle SCHEME CONNECTIONS
 *
 * So many connections on one context, the other ends on one context of another process. All exchange messages; then what
 * an idle one costs is counted: bytes on the heap by the allocator's books, pages by the kernel's, and how often a context wakes that nobody
 * has anything for. The limit holds before and after messages, copied and held ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/descriptors.h"
#include "tests/many/kit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { EACH_MAX = 4096, ROUNDS = 3, EVENTS = 256 };

/* ---- The other process: dials them all ---- */

static void there(int channel, unsigned count)
{
    struct duct_pipe **pipes = calloc(count, sizeof(struct duct_pipe *));
    struct duct_context *context = open_context();
    char url[160], word[16];

    hear(channel, url, sizeof(url));
    for (unsigned i = 0; i < count; i++)
        pipes[i] = dial(context, url);
    tell(channel, "dialled");
    for (unsigned round = 0; round < ROUNDS; round++) {
        hear(channel, word, sizeof(word));
        for (uint64_t i = 0; i < count; i++)
            MUST(duct_write(pipes[i], &i, sizeof(i), round, SOON) == DUCT_OK);
        for (uint64_t i = 0; i < count; i++) {
            uint64_t back, tag;
            size_t size;
            MUST(duct_read(pipes[i], &back, sizeof(back), &size, &tag, SOON) == DUCT_OK);
            MUST(size == sizeof(back) && back == i && tag == round);
        }
        tell(channel, "exchanged");
    }
    hear(channel, word, sizeof(word));
    for (unsigned i = 0; i < count; i++)
        duct_pipe_close(pipes[i]);
    duct_context_close(context);
    free(pipes);
}

/* ---- This one: accepts them all ---- */

struct here {
    struct duct_context *context;
    struct duct_listener *listener;
    struct duct_pipe **pipes;
    unsigned count;
};

static void accept_all(struct here *here, struct other *other)
{
    char word[16];

    for (unsigned i = 0; i < here->count; i++)
        MUST(duct_accept(here->listener, &here->pipes[i], SOON) == DUCT_OK);
    hear(other->channel, word, sizeof(word));
}

static void answer(struct duct_pipe *pipe, bool copied)
{
    struct duct_msg msg;
    uint64_t number, tag;
    size_t size;

    if (copied) {
        MUST(duct_read(pipe, &number, sizeof(number), &size, &tag, 0) == DUCT_OK);
    } else {
        MUST(duct_recv(pipe, &msg, 0) == DUCT_OK);
        size = msg.size;
        tag = msg.tag;
        memcpy(&number, msg.data, sizeof(number));
        MUST(duct_msg_release(&msg) == DUCT_OK);
    }
    MUST(size == sizeof(number));
    MUST(duct_write(pipe, &number, size, tag, SOON) == DUCT_OK);
}

/* One message there and back on each. */
static void exchange(struct here *here, struct other *other, bool copied)
{
    struct duct_event events[EVENTS];
    unsigned answered = 0;
    char word[16];
    size_t count;

    tell(other->channel, "go");
    while (answered < here->count) {
        MUST(duct_context_wait(here->context, events, EVENTS, &count, SOON) == DUCT_OK);
        for (size_t i = 0; i < count; i++) {
            if (events[i].type != DUCT_EVENT_READABLE)
                continue;
            answer(events[i].pipe, copied);
            answered++;
        }
    }
    hear(other->channel, word, sizeof(word));
}

/* Nothing happens: the context sleeps until its time is over, and that once. */
static void settle(struct here *here, int64_t for_ns)
{
    struct duct_event events[EVENTS];
    enum duct_err err;
    size_t count;

    do {
        err = duct_context_wait(here->context, events, EVENTS, &count, for_ns);
    } while (err == DUCT_OK);
    MUST(err == DUCT_ETIMEOUT);
}

static void weigh(const struct here *here, const char *when, size_t heap, size_t private)
{
    double each = ((double)heap_bytes() - (double)heap) / here->count;
    double resident = ((double)private_kb() - (double)private) * 1024 / here->count;

    printf("  %-22s %6.0f bytes of heap, %6.0f resident, each\n", when, each, resident);
    MUST(SANITIZED || (each <= EACH_MAX && resident <= EACH_MAX));
}

static void idle(struct here *here)
{
    settle(here, DUCT_MILLISECOND);
    long slept = sleeps();
    int64_t cpu = cpu_us();
    settle(here, DUCT_SECOND);
    long woken = sleeps() - slept;
    printf("  idle for 1 s           slept %ld times, %lld us of processor\n", woken,
           (long long)(cpu_us() - cpu));
    MUST(woken <= 2);
}

static void close_all(struct here *here)
{
    for (unsigned i = 0; i < here->count; i++)
        duct_pipe_close(here->pipes[i]);
    duct_listener_close(here->listener);
    duct_context_close(here->context);
    free(here->pipes);
}

int main(int argc, char **argv)
{
    const char *scheme = argc > 1 ? argv[1] : "tcp";
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000;
    char url[160];

    if (!many_descriptors(count)) {
        printf("this system does not allow %u descriptors\n", count);
        return 77;
    }
    struct other other = start_other(there, count);
    unsigned before = descriptors_open();
    struct here here = {.count = count, .pipes = calloc(count, sizeof(struct duct_pipe *))};
    MUST(here.pipes != NULL);
    memset(here.pipes, 1,
           count * sizeof(struct duct_pipe *)); /* its pages are not the connections' */
    here.context = open_context();
    here.listener = listen_at(here.context, scheme, "backlog=65535", url, sizeof(url));
    settle(&here, 0 + DUCT_MILLISECOND);
    size_t heap = heap_bytes(), private = private_kb();
    tell(other.channel, url);
    accept_all(&here, &other);
    settle(&here, DUCT_MILLISECOND);
    printf("%u connections over %s\n", count, scheme);
    weigh(&here, "connected", heap, private);
    idle(&here);
    for (unsigned round = 0; round < ROUNDS; round++) {
        exchange(&here, &other, round < 2);
        settle(&here, DUCT_MILLISECOND);
        weigh(&here, round < 2 ? "after messages copied" : "after messages held", heap, private);
    }
    idle(&here);
    tell(other.channel, "end");
    other_ended(&other);
    close_all(&here);
    MUST(descriptors_open() == before - 1);
    return 0;
}
