/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <duct/duct.h>

#include "tests/crash/talk.h"

/*
 * courier receive URL           takes numbered messages from whoever dials, until one of them closes in order
 * courier send URL SIZE         sends them, as fast as they are taken, until SIGTERM; then a last one, and closes
 *
 * One word a line on standard output for whatever happens to the connection, so that a script can wait for it, and a
 * line of totals at the end. Every message is checked whole (talk_good), and none may arrive twice.
 */

enum { MESSAGES_MAX = 1 << 22, SIZE_MAX_BYTES = 1 << 16, SALT = 7 };

/* Long enough to sleep, short enough that news of the connection are printed while a send waits for room. */
#define SLICE (20 * DUCT_MILLISECOND)

static struct duct_context *context;
static volatile sig_atomic_t stop;

static void on_term(int signal)
{
    (void)signal;
    stop = 1;
}

static _Noreturn void fail(const char *what, enum duct_err err)
{
    fprintf(stderr, "courier: %s: %s: %s\n", what, duct_err_name(err), duct_err_detail());
    exit(1);
}

static void say(const char *what, enum duct_err why)
{
    printf("%s %s\n", what, duct_err_name(why));
    fflush(stdout);
}

static void on_log(void *user, enum duct_log_level level, const char *text)
{
    (void)user;
    (void)level;
    fprintf(stderr, "log: %s\n", text);
}

static long peak_kib(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* ---- The one that sends ---- */

static void print_changes(void)
{
    struct duct_event events[16];
    size_t count = 0;
    enum duct_err err = duct_context_wait(context, events, 16, &count, 0);

    if (err != DUCT_OK && err != DUCT_EAGAIN && err != DUCT_ETIMEOUT)
        fail("wait", err);
    for (size_t i = 0; err == DUCT_OK && i < count; i++) {
        if (events[i].type == DUCT_EVENT_STATE)
            say(duct_state_name(events[i].state), events[i].err);
    }
}

static enum duct_err send_number(struct duct_pipe *pipe, uint64_t number, size_t size)
{
    static unsigned char bytes[SIZE_MAX_BYTES];
    enum duct_err err;

    talk_fill(bytes, size, SALT, number);
    do {
        err = duct_write(pipe, bytes, size, 0, SLICE);
        print_changes();
    } while ((err == DUCT_ETIMEOUT || err == DUCT_EAGAIN) && !stop);
    return err;
}

static int send_all(const char *url, size_t size)
{
    struct duct_pipe_stats stats = DUCT_PIPE_STATS_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;
    uint64_t sent = 0;

    options.context = context;
    enum duct_err err = duct_dial(&pipe, url, &options);
    if (err != DUCT_OK)
        fail("dial", err);
    long before = peak_kib();
    while (!stop && (err = send_number(pipe, sent, size)) == DUCT_OK)
        sent++;
    if (!stop) {
        fprintf(stderr, "courier: send: %s: %s\n", duct_err_name(err), duct_err_detail());
        say("over", err);
    } else if ((err = duct_pipe_drain(pipe, TALK_HUNG)) != DUCT_OK) {
        fail("drain", err);
    }
    if (duct_pipe_stats(pipe, &stats) != DUCT_OK)
        fail("stats", DUCT_EOS);
    printf("sent %llu lost %llu sessions %llu grown %ld\n", (unsigned long long)sent,
           (unsigned long long)stats.lost_msgs, (unsigned long long)stats.sessions,
           peak_kib() - before);
    duct_pipe_close(pipe);
    return 0;
}

/* ---- The one that receives ---- */

static bool seen[MESSAGES_MAX];

struct receiver {
    struct duct_listener *listener;
    uint64_t received;
    bool over; /* one has closed in order */
};

static void take(struct receiver *self, struct duct_pipe *pipe)
{
    struct duct_msg msg;
    uint64_t number[2];

    while (duct_recv(pipe, &msg, 0) == DUCT_OK) {
        if (msg.size < sizeof(number))
            fail("a message is too short", DUCT_ECORRUPT);
        memcpy(number, msg.data, sizeof(number));
        if (!talk_good(msg.data, msg.size, SALT, number[1]) || number[1] >= MESSAGES_MAX)
            fail("a message is not what was sent", DUCT_ECORRUPT);
        if (seen[number[1]])
            fail("a message came twice", DUCT_ECORRUPT);
        seen[number[1]] = true;
        if (duct_msg_release(&msg) != DUCT_OK)
            fail("release", DUCT_EOS);
        /* So that a script can wait until so many came. */
        self->received++;
        if ((self->received & (self->received - 1)) == 0) {
            printf("received %llu\n", (unsigned long long)self->received);
            fflush(stdout);
        }
    }
}

static void on_event(struct receiver *self, const struct duct_event *event)
{
    struct duct_pipe *pipe;

    switch (event->type) {
    case DUCT_EVENT_ACCEPTED:
        if (duct_accept(self->listener, &pipe, 0) == DUCT_OK)
            say("accepted", DUCT_OK);
        break;
    case DUCT_EVENT_READABLE:
        take(self, event->pipe);
        break;
    case DUCT_EVENT_ERROR:
    case DUCT_EVENT_CLOSED:
        take(self, event->pipe);
        duct_pipe_close(event->pipe);
        say("ended", event->err);
        self->over = event->type == DUCT_EVENT_CLOSED;
        break;
    default:
        break;
    }
}

static int receive_all(const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct receiver self = {.received = 0};

    options.context = context;
    enum duct_err err = duct_listen(&self.listener, url, &options);
    if (err != DUCT_OK)
        fail("listen", err);
    printf("listening\n");
    fflush(stdout);
    while (!self.over) {
        struct duct_event event;
        size_t count = 0;
        /* One at a time: a pipe that is closed takes the events after it along. */
        err = duct_context_wait(context, &event, 1, &count, DUCT_FOREVER);
        if (err != DUCT_OK)
            fail("wait", err);
        if (count == 1)
            on_event(&self, &event);
    }
    uint64_t last = MESSAGES_MAX;
    while (last > 0 && !seen[last - 1])
        last--;
    printf("received %llu missing %llu\n", (unsigned long long)self.received,
           (unsigned long long)(last - self.received));
    duct_listener_close(self.listener);
    return 0;
}

int main(int argc, char **argv)
{
    struct duct_context_options options = DUCT_CONTEXT_OPTIONS_INIT;
    struct sigaction action = {.sa_handler = on_term};
    bool sends = argc == 4 && strcmp(argv[1], "send") == 0;

    if (!sends && (argc != 3 || strcmp(argv[1], "receive") != 0)) {
        fprintf(stderr, "usage: courier receive URL | courier send URL SIZE\n");
        return 2;
    }
    size_t size = sends ? strtoul(argv[3], NULL, 10) : 0;
    if (sends && (size < TALK_SIZE_MIN || size > SIZE_MAX_BYTES))
        return 2;
    duct_log_set(on_log, NULL, DUCT_LOG_DEBUG);
    enum duct_err err = duct_context_open(&context, &options);
    if (err != DUCT_OK)
        fail("context", err);
    sigaction(SIGTERM, &action, NULL);
    int status = sends ? send_all(argv[2], size) : receive_all(argv[2]);
    duct_context_close(context);
    return status;
}
