/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <string.h>

#include "lib/base/crash.h"
#include "tests/race/lane.h"

/*
 * [release]: another thread releases between the two steps in which the owner takes in what others released. The mark
 * that there is something is cleared first: with the steps the other way round it would go down over a message on the
 * stack, and nobody would look for that again. The moment is hit every time, as it is a crash point.
 */
static struct lane lane;
static struct duct_msg msgs[3];
static unsigned between; /* which is released there; 0: none */

static void *releases(void *msg)
{
    MUST(duct_msg_release(msg) == DUCT_OK);
    return NULL;
}

static void release_elsewhere(struct duct_msg *msg)
{
    pthread_t thread;

    MUST(pthread_create(&thread, NULL, releases, msg) == 0);
    MUST(pthread_join(thread, NULL) == 0);
}

void di_crash_pass(const struct di_crash_point *point)
{
    unsigned now = between;

    if (now == 0 || strcmp(point->name, "collect.cleared") != 0)
        return;
    between = 0;
    release_elsewhere(&msgs[now]);
}

int main(void)
{
    struct di_receiver *receiver = &lane.side[1].receiver;

    lane_open(&lane, 64, 512, 65536, 0, 64);
    for (unsigned i = 0; i < 3; i++) {
        MUST(di_sender_put(&lane.side[0].sender, "x", 1, i) == DUCT_OK);
        MUST(di_receiver_recv(receiver, &msgs[i]) == DUCT_OK);
    }
    release_elsewhere(&msgs[0]);
    between = 1;
    di_receiver_collect(receiver);
    MUST(between == 0);
    di_receiver_collect(receiver);
    MUST(receiver->given_back == 2);
    /* And the owner is told of the next. */
    int told = atomic_load_explicit(&lane.side[1].posts, memory_order_relaxed);
    release_elsewhere(&msgs[2]);
    MUST(atomic_load_explicit(&lane.side[1].posts, memory_order_relaxed) == told + 1);
    di_receiver_collect(receiver);
    MUST(receiver->given_back == 3 && receiver->cells.taken == 0);
    lane_close(&lane);
    return 0;
}
