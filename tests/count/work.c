/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Something for callgrind to count: one way to send or receive, done COUNT times inside of measured(),
 * by name. Nothing here waits, so the count is the same every time.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "tests/count/pair.h"

enum { COUNT = 20000, RUN = 16 };

static unsigned char bytes[RUN][4096];
static struct duct_msg msgs[RUN];
static size_t size;

static void send_write(struct duct_pipe *pipe)
{
    for (int i = 0; i < RUN; i++)
        MUST(duct_write(pipe, bytes[i], size, 1, 0) == DUCT_OK);
}

static void send_loan(struct duct_pipe *pipe)
{
    struct duct_msg msg;

    for (int i = 0; i < RUN; i++) {
        MUST(duct_msg_loan(pipe, size, &msg) == DUCT_OK);
        MUST(duct_send(pipe, &msg, 0) == DUCT_OK);
    }
}

static void send_batch(struct duct_pipe *pipe)
{
    struct duct_view views[RUN];
    size_t done;

    for (int i = 0; i < RUN; i++)
        views[i] = (struct duct_view){bytes[i], size, 1};
    MUST(duct_write_batch(pipe, views, RUN, &done, 0) == DUCT_OK && done == RUN);
}

static void recv_read(struct duct_pipe *pipe)
{
    size_t got;

    for (int i = 0; i < RUN; i++)
        MUST(duct_read(pipe, bytes[i], sizeof(bytes[i]), &got, NULL, 0) == DUCT_OK);
}

static void recv_view(struct duct_pipe *pipe)
{
    for (int i = 0; i < RUN; i++) {
        MUST(duct_recv(pipe, &msgs[i], 0) == DUCT_OK);
        MUST(duct_msg_release(&msgs[i]) == DUCT_OK);
    }
}

static void recv_batch(struct duct_pipe *pipe)
{
    struct duct_buffer buffers[RUN];
    size_t done;

    for (int i = 0; i < RUN; i++)
        buffers[i] = (struct duct_buffer){bytes[i], sizeof(bytes[i]), 0, 0};
    MUST(duct_read_batch(pipe, buffers, RUN, &done, 0) == DUCT_OK && done == RUN);
}

typedef void way(struct duct_pipe *pipe);

static const struct {
    const char *name;
    way *way;
    bool sends;
    size_t size;
} works[] = {
    {"write_8", send_write, true, 8},          {"write_64", send_write, true, 64},
    {"write_1024", send_write, true, 1024},    {"loan_send_8", send_loan, true, 8},
    {"loan_send_4096", send_loan, true, 4096}, {"write_batch_8", send_batch, true, 8},
    {"read_8", recv_read, false, 8},           {"read_64", recv_read, false, 64},
    {"recv_release_8", recv_view, false, 8},   {"recv_release_4096", recv_view, false, 4096},
    {"read_batch_8", recv_batch, false, 8},
};
enum { WORKS = sizeof(works) / sizeof(works[0]) };

/* What callgrind collects: --toggle-collect=measured. */
__attribute__((noinline)) void measured(way *work, struct duct_pipe *pipe);
void measured(way *work, struct duct_pipe *pipe)
{
    work(pipe);
    atomic_signal_fence(memory_order_seq_cst);
}

int main(int argc, char **argv)
{
    struct pair pair;

    if (argc != 2) {
        for (int i = 0; i < WORKS; i++)
            puts(works[i].name);
        return 0;
    }
    for (int w = 0; w < WORKS; w++) {
        if (strcmp(works[w].name, argv[1]) != 0)
            continue;
        size = works[w].size;
        /* Valgrind knows no io_uring; the way of a message is the same. */
        pair_open(&pair, DUCT_IO_EPOLL, "max_msg=4096&pool=1m&wait=park");
        for (int i = 0; i < COUNT / RUN; i++) {
            if (works[w].sends) {
                measured(works[w].way, pair.pipes[0]);
                recv_view(pair.pipes[1]);
            } else {
                send_write(pair.pipes[0]);
                measured(works[w].way, pair.pipes[1]);
            }
        }
        pair_close(&pair);
        return 0;
    }
    return 1;
}
