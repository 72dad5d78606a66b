/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>

#include "tests/conformance/suite.h"

/* Messages as handles: who may do what with one, and how often. */

static const size_t sizes[] = {0, 8, 208, 209, 5000};
enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };

static void outgoing_once(struct side *s)
{
    for (size_t i = 0; i < SIZES; i++) {
        struct duct_msg msg, copy;
        OK(s, duct_msg_loan(s->pipe, sizes[i], &msg));
        GIVES(s, duct_msg_release(&msg), DUCT_EINVAL);
        copy = msg;
        OK(s, duct_msg_discard(&msg));
        GIVES(s, duct_msg_discard(&msg), DUCT_EINVAL);
        GIVES(s, duct_msg_discard(&copy), DUCT_EINVAL);
        GIVES(s, duct_send(s->pipe, &msg, 0), DUCT_EINVAL);
        GIVES(s, duct_send(s->pipe, &copy, 0), DUCT_EINVAL);

        OK(s, duct_msg_loan(s->pipe, sizes[i], &msg));
        fill(msg.data, sizes[i], i);
        msg.tag = i;
        copy = msg;
        OK(s, duct_send(s->pipe, &copy, SOON));
        GIVES(s, duct_send(s->pipe, &msg, SOON), DUCT_EINVAL);
        GIVES(s, duct_msg_discard(&msg), DUCT_EINVAL);
        take(s, sizes[i], i);
        /* It came back to the pool, but not to us. */
        GIVES(s, duct_send(s->pipe, &msg, SOON), DUCT_EINVAL);
    }
    GIVES(s, duct_msg_discard(NULL), DUCT_EINVAL);
    GIVES(s, duct_send(s->pipe, NULL, SOON), DUCT_EINVAL);
    GIVES(s, duct_msg_loan(s->pipe, 1, NULL), DUCT_EINVAL);
}

CONFORMS_KEPT(outgoing_once, 0, 0, "", outgoing_once, there_echoes)

static void incoming_once(struct side *s)
{
    for (size_t i = 0; i < SIZES; i++) {
        struct duct_msg msg, copy;
        put(s, sizes[i], i);
        OK(s, duct_recv(s->pipe, &msg, SOON));
        GIVES(s, duct_msg_discard(&msg), DUCT_EINVAL);
        GIVES(s, duct_send(s->pipe, &msg, SOON), DUCT_EINVAL);
        copy = msg;
        OK(s, duct_msg_release(&copy));
        CHECK(s, copy.data == NULL && copy.size == 0);
        GIVES(s, duct_msg_release(&copy), DUCT_EINVAL);
        GIVES(s, duct_msg_release(&msg), DUCT_EINVAL);
        /* The place is used again by now: the old handle is still not a new message's. */
        put(s, sizes[i], i);
        struct duct_msg next;
        OK(s, duct_recv(s->pipe, &next, SOON));
        GIVES(s, duct_msg_release(&msg), DUCT_EINVAL);
        CHECK(s, filled(next.data, next.size, i));
        OK(s, duct_msg_release(&next));
    }
    GIVES(s, duct_msg_release(NULL), DUCT_EINVAL);
    GIVES(s, duct_recv(s->pipe, NULL, SOON), DUCT_EINVAL);
}

CONFORMS_KEPT(incoming_once, 0, 0, "", incoming_once, there_echoes)

/* ---- Another pipe's messages ---- */

static void two_pipes_here(struct side *s)
{
    struct duct_pipe *first = s->pipe;
    struct duct_msg loan, loan2, held;

    side_accept(s);
    for (size_t i = 0; i < SIZES; i++) {
        OK(s, duct_msg_loan(first, sizes[i], &loan));
        OK(s, duct_msg_loan(s->pipe, sizes[i], &loan2));
        GIVES(s, duct_send(s->pipe, &loan, SOON), DUCT_EINVAL);
        GIVES(s, duct_send(first, &loan2, SOON), DUCT_EINVAL);
        OK(s, duct_msg_discard(&loan));
        OK(s, duct_msg_discard(&loan2));
        OK(s, duct_recv(first, &held, SOON));
        GIVES(s, duct_send(s->pipe, &held, SOON), DUCT_EINVAL);
        OK(s, duct_msg_release(&held));
    }
    tell(s);
}

static void two_pipes_there(struct side *s)
{
    struct duct_pipe *first = s->pipe;

    side_dial(s, s->url);
    s->pipe = first;
    for (size_t i = 0; i < SIZES; i++)
        put(s, sizes[i], i);
    await(s);
}

CONFORMS(foreign_messages, 0, 0, "", two_pipes_here, two_pipes_there)

/* ---- Releases by other threads ---- */

struct release {
    struct duct_msg *msgs;
    size_t count;
    unsigned failures;
    enum duct_err expected;
};

static void *releases(void *arg)
{
    struct release *r = arg;

    for (size_t i = 0; i < r->count; i++)
        r->failures += duct_msg_release(&r->msgs[i]) != r->expected;
    return NULL;
}

static void in_thread(struct side *s, struct release *r)
{
    pthread_t thread;

    CHECK(s, pthread_create(&thread, NULL, releases, r) == 0);
    CHECK(s, pthread_join(thread, NULL) == 0);
    CHECK(s, r->failures == 0);
}

static void there_streams(struct side *s)
{
    for (uint64_t i = 0; i < 400; i++)
        put(s, i % 2 ? 8 : 300, i);
    await(s);
}

static void released_elsewhere(struct side *s)
{
    struct duct_msg msgs[10];

    for (uint64_t i = 0; i < 400; i += 10) {
        for (size_t k = 0; k < 10; k++)
            OK(s, duct_recv(s->pipe, &msgs[k], SOON));
        in_thread(s, &(struct release){msgs, 10, 0, DUCT_OK});
        in_thread(s, &(struct release){msgs, 10, 0, DUCT_EINVAL});
    }
    tell(s);
}

/* The peer can send only as long as what another thread released finds its way back. */
CONFORMS(released_elsewhere, 0, 0, "max_msg=512&pool=16k&held=16", released_elsewhere,
         there_streams)

/* A copy of a handle that another thread released is refused: by that thread, by a third, and by
 * the owner, before and after it took notice. */
static void doubly_released_elsewhere(struct side *s)
{
    struct duct_msg msgs[10], copies[10];

    for (uint64_t i = 0; i < 400; i += 10) {
        for (size_t k = 0; k < 10; k++) {
            OK(s, duct_recv(s->pipe, &msgs[k], SOON));
            copies[k] = msgs[k];
        }
        in_thread(s, &(struct release){msgs, 10, 0, DUCT_OK});
        memcpy(msgs, copies, sizeof(msgs));
        in_thread(s, &(struct release){msgs, 10, 0, DUCT_EINVAL});
        for (size_t k = 0; k < 10; k++)
            GIVES(s, duct_msg_release(&copies[k]), DUCT_EINVAL);
    }
    tell(s);
}

CONFORMS(doubly_released_elsewhere, 0, 0, "max_msg=512&pool=16k&held=16", doubly_released_elsewhere,
         there_streams)
