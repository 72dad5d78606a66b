/* SPDX-License-Identifier: Apache-2.0 */
/*
 * usage: many_storm SCHEME CONNECTIONS
 *
 * A storm of connections, some dozens at a time, each with a message there and back and then closed: by the dialer, by
 * the listener, by both, with an unread message or without, as its number says. Every connection carries its own number,
 * so that one that gets another's messages, or a descriptor's former life, is found out. At the end nothing is left:
 * no descriptor, no memory, nobody turned away.
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

enum { AT_ONCE = 32, WARM = 512, NOISE = 256 * 1024 };

/* Who closes, by the number. */
enum { DIALER_FIRST, LISTENER_FIRST, UNREAD, KINDS };

/* ---- The other process: dials ---- */

static void there(int channel, unsigned total)
{
    struct duct_pipe *pipes[AT_ONCE];
    struct duct_context *context = open_context();
    unsigned before = descriptors_open();
    char url[160];

    hear(channel, url, sizeof(url));
    for (uint64_t first = 0; first < total; first += AT_ONCE) {
        unsigned count = total - first < AT_ONCE ? (unsigned)(total - first) : AT_ONCE;
        for (unsigned i = 0; i < count; i++) {
            uint64_t number = first + i;
            pipes[i] = dial(context, url);
            MUST(duct_write(pipes[i], &number, sizeof(number), number, SOON) == DUCT_OK);
        }
        for (unsigned i = 0; i < count; i++) {
            uint64_t number = first + i, back = 0, tag = 0;
            size_t size;
            if (number % KINDS != UNREAD) {
                MUST(duct_read(pipes[i], &back, sizeof(back), &size, &tag, SOON) == DUCT_OK);
                MUST(size == sizeof(back) && back == ~number && tag == number);
            }
            if (number % KINDS == LISTENER_FIRST)
                MUST(duct_read(pipes[i], &back, sizeof(back), &size, &tag, SOON) == DUCT_ECLOSED);
            duct_pipe_close(pipes[i]);
        }
        MUST(descriptors_open() <= before + 4);
    }
    duct_context_close(context);
}

/* ---- This one: accepts ---- */

struct life {
    struct duct_pipe *pipe;
    uint64_t number;
    bool known; /* its number was heard */
};

struct here {
    struct duct_context *context;
    struct duct_listener *listener;
    unsigned open, ended;
    unsigned char *seen; /* by number */
    unsigned total;
};

static void take_all(struct here *here)
{
    struct duct_pipe *pipe;
    enum duct_err err;

    while ((err = duct_accept(here->listener, &pipe, 0)) == DUCT_OK) {
        struct life *life = calloc(1, sizeof(*life));
        MUST(life != NULL);
        life->pipe = pipe;
        duct_pipe_set_user(pipe, life);
        here->open++;
    }
    MUST(err == DUCT_EAGAIN);
}

static void end(struct here *here, struct life *life)
{
    MUST(life->known);
    duct_pipe_close(life->pipe);
    free(life);
    here->open--;
    here->ended++;
}

/* Each hears one number, which nobody else has, and answers with its opposite. */
static void talk(struct here *here, struct life *life)
{
    uint64_t number, tag;
    size_t size;
    enum duct_err err = duct_read(life->pipe, &number, sizeof(number), &size, &tag, 0);

    if (err == DUCT_EAGAIN || err == DUCT_ECLOSED || err == DUCT_EPEER)
        return; /* its end is an event of its own */
    MUST(err == DUCT_OK && size == sizeof(number) && tag == number && number < here->total);
    MUST(!life->known && here->seen[number] == 0);
    here->seen[number] = 1;
    life->known = true;
    life->number = number;
    uint64_t back = ~number;
    err = duct_write(life->pipe, &back, sizeof(back), number, SOON);
    MUST(err == DUCT_OK ||
         (number % KINDS == UNREAD && (err == DUCT_ECLOSED || err == DUCT_EPEER)));
    if (number % KINDS == LISTENER_FIRST)
        end(here, life);
}

static void serve(struct here *here, unsigned until)
{
    struct duct_event event;
    size_t count;

    /* One at a time: what it leads to may close the pipe of another. */
    while (here->ended < until) {
        MUST(duct_context_wait(here->context, &event, 1, &count, SOON) == DUCT_OK);
        if (event.type == DUCT_EVENT_ACCEPTED) {
            take_all(here);
            continue;
        }
        struct life *life = event.user;
        MUST(life->pipe == event.pipe);
        if (event.type == DUCT_EVENT_READABLE)
            talk(here, life);
        else if (event.type != DUCT_EVENT_STATE)
            end(here, life);
    }
}

int main(int argc, char **argv)
{
    const char *scheme = argc > 1 ? argv[1] : "tcp";
    unsigned total = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 2000;
    char url[160];

    struct other other = start_other(there, total);
    struct here here = {.total = total, .seen = calloc(total, 1)};
    MUST(here.seen != NULL && total > WARM);
    here.context = open_context();
    here.listener = listen_at(here.context, scheme, "backlog=1024", url, sizeof(url));
    unsigned before = descriptors_open();
    tell(other.channel, url);
    serve(&here, WARM);
    size_t heap = heap_bytes();
    serve(&here, total);
    other_ended(&other);
    MUST(here.open == 0 && duct_listener_refused(here.listener) == 0);
    for (unsigned i = 0; i < total; i++)
        MUST(here.seen[i] == 1);
    unsigned left = descriptors_open() - (before - 1);
    long grown = (long)heap_bytes() - (long)heap;
    printf("%u connections over %s: %u descriptors and %ld bytes of heap left, 0 confused\n", total,
           scheme, left, grown);
    MUST(left == 0 && (SANITIZED || grown < NOISE));
    duct_context_close(here.context);
    free(here.seen);
    return 0;
}
