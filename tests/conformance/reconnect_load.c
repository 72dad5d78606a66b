/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/socket.h>

#include "tests/conformance/generations.h"
#include "tests/descriptors.h"

/* Listeners that die under load: nothing comes twice, nothing out of order, and every loss is counted. */

#define GENERATIONS 8
#define MESSAGES    3000u

/* What the generations saw together; they are processes. */
static struct {
    uint64_t last, count;
    unsigned generation;
} * seen;

/* The socket of a process that was killed may be there for a moment longer than the process. */
static void listen_again(struct side *s)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_event event;
    size_t count;
    enum duct_err err = DUCT_EINUSE;

    options.context = side_context(s);
    for (int i = 0; i < 5000 && err == DUCT_EINUSE; i++) {
        err = duct_listen(&s->listener, s->bare, &options);
        if (err == DUCT_EINUSE)
            GIVES(s, duct_context_wait(s->context, &event, 1, &count, DUCT_MILLISECOND),
                  DUCT_ETIMEOUT);
    }
    OK(s, err);
}

static void takes_and_dies(struct side *s)
{
    struct duct_msg msg;

    listen_again(s);
    if (seen->generation == 0)
        tell(s);
    side_accept(s);
    bool final = ++seen->generation == GENERATIONS;
    for (uint64_t i = 0; final || i < 150; i++) {
        enum duct_err err = duct_recv(s->pipe, &msg, SOON);
        if (final && err == DUCT_ECLOSED) {
            duct_context_close(s->context);
            return;
        }
        GIVES(s, err, DUCT_OK);
        CHECK(s, msg.tag > seen->last);
        CHECK(s, filled(msg.data, msg.size, msg.tag));
        seen->last = msg.tag;
        seen->count++;
        OK(s, duct_msg_release(&msg));
    }
}

static void there_dies_often(struct side *s)
{
    seen = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(s, seen != MAP_FAILED);
    while (seen->generation < GENERATIONS)
        generation(s, takes_and_dies);
    CHECK(s, send(s->sync, &seen->count, sizeof(seen->count), 0) == sizeof(seen->count));
}

/* What was cancelled may take some turns of the loop to be over. */
static void all_closed(struct side *s, unsigned before)
{
    struct duct_event event;
    size_t count;

    for (int i = 0; i < 5000 && descriptors_open() > before; i++)
        GIVES(s, duct_context_wait(s->context, &event, 1, &count, DUCT_MILLISECOND), DUCT_ETIMEOUT);
    CHECK(s, descriptors_open() == before);
}

static void sends_under_load(struct side *s)
{
    unsigned char bytes[64];
    uint64_t taken;

    side_context(s);
    unsigned before = descriptors_open();
    dial_with(s, "?reconnect=1&pause=1ms&pause_max=5ms&downtime_buffer=16k");
    for (uint64_t i = 1; i <= MESSAGES || stats_of(s, s->pipe).sessions < GENERATIONS; i++) {
        fill(bytes, sizeof(bytes), i);
        OK(s, duct_write(s->pipe, bytes, sizeof(bytes), i, SOON));
    }
    struct duct_pipe_stats stats = stats_of(s, s->pipe);
    uint64_t sent = stats.sent_msgs + info_of(s, s->pipe).kept_msgs;
    duct_pipe_close_with(s->pipe, 0, NULL, SOON);
    CHECK(s, recv(s->sync, &taken, sizeof(taken), MSG_WAITALL) == sizeof(taken));
    CHECK(s, taken <= sent && sent <= taken + stats.lost_msgs);
    CHECK(s, stats.dropped_unsent == 0);
    all_closed(s, before);
}

CONFORMS_PROCESS(reconnect_under_load, 0, BARE, "", sends_under_load, there_dies_often)
