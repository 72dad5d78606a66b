/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's own byte streams, for the baselines: opened in the parent, inherited by both sides.
 */
#ifndef BENCH_CHANNEL_H
#define BENCH_CHANNEL_H

#include "bench/bench.h"

/* What each side reads from and writes to. For a socket the two are one. */
struct channel {
    int first_in, first_out;
    int second_in, second_out;
};

/* One side's ends. */
struct channel_end {
    int in, out;
};

typedef bool channel_opener(struct channel *channel);

channel_opener channel_open_unix;
channel_opener channel_open_pipe;
/* Over loopback, without Nagle's delay, and with the buffers that the system gives, as duct's has. */
channel_opener channel_open_tcp;
/* The same, and no call on them waits: EAGAIN instead. */
channel_opener channel_open_unix_spinning;
channel_opener channel_open_tcp_spinning;

/* `setup` of a case: opens what run->own points to from then on, until the next setup. */
bool channel_setup(struct bench_run *run, channel_opener *open_channel);
/* `teardown` of every such case. */
void channel_teardown(struct bench_run *run);

/* One side's ends; closes the other's, so that its death is an end of file here. */
struct channel_end channel_take(const struct bench_run *run, bool is_first);

/* A port on 127.0.0.1 that nobody has at the moment; 0 when there is none. */
unsigned channel_free_port(void);

#endif
