/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/durable/ends.h"

/* The orderly close of a durable pipe's end: who learns of it, when, and how often. */
TestSuite(closes, .init = in_directory, .fini = clean_up);

/* Of a pipe's end: whether the other was closed in order, and what is still to come of it. */
static void expect_peer(struct duct_pipe *pipe, bool closed, uint32_t code, uint64_t to_come)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;

    cr_assert_eq(duct_pipe_info(pipe, &info), DUCT_OK);
    cr_assert_eq(info.peer_closed != 0, closed);
    cr_assert_eq(info.undelivered_in, to_come);
    if (closed)
        cr_assert_eq(info.close_code, code);
}

/* An orderly close is told to whoever comes later, behind what was sent before it, and only once. */
Test(closes, a_close_is_told_to_who_comes_later)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    for (uint64_t n = 0; n < 3; n++)
        send_number(one, n);
    duct_pipe_close_with(one, 9, NULL, 0);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    expect_peer(two, true, 9, 3);
    expect(two, 0, false);
    stop_listening(two);
    /* It had not got everything: the end is still to come. */
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    expect_peer(two, true, 9, 2);
    expect(two, 1, false);
    expect(two, 2, false);
    expect_peer(two, true, 9, 0);
    stop_listening(two);
    /* Both have closed: who opens now, in whatever order, begins anew. */
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    expect_peer(two, false, 0, 0);
    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    expect_peer(one, false, 0, 0);
    stop_listening(two);
    until(one, DUCT_STATE_DISCONNECTED);
    expect_peer(one, true, 0, 0);
    duct_pipe_close(one);
    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    expect_peer(one, false, 0, 0);
    duct_pipe_close(one);
}

/* Neither saw the other's close when it closed: that is no reason to end what is begun next. */
Test(closes, closed_at_the_same_time)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(one, DUCT_STATE_CONNECTED);
    until(two, DUCT_STATE_CONNECTED);
    stop_listening(two);
    duct_pipe_close(one);
    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    expect_peer(one, false, 0, 0);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    expect_peer(two, false, 0, 0);
    duct_pipe_close(one);
    stop_listening(two);
}

/* The second comes when the first has gone, hears of that end, and closes too: both have, and what is opened next begins
 * anew, however often that was so before. */
Test(closes, closed_one_after_the_other)
{
    struct duct_pipe *one, *two;

    for (unsigned time = 0; time < 4; time++) {
        cr_assert_eq(dial(&one, url("")), DUCT_OK);
        expect_peer(one, false, 0, 0);
        send_number(one, time);
        duct_pipe_close_with(one, time, NULL, 0);
        cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
        expect_peer(two, true, time, 1);
        expect(two, time, false);
        stop_listening(two);
    }
}

/* One that is opened again, and finds what was sent after it had closed, is told that this was all. */
Test(closes, what_came_after_a_close_has_an_end)
{
    struct duct_pipe *one, *two;

    for (unsigned time = 0; time < 3; time++) {
        cr_assert_eq(dial(&one, url("")), DUCT_OK);
        expect_peer(one, false, 0, 0);
        duct_pipe_close(one);
        cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
        expect_peer(two, true, 0, 0);
        send_number(two, time);
        stop_listening(two);
        cr_assert_eq(dial(&one, url("")), DUCT_OK);
        expect_peer(one, true, 0, 1);
        expect(one, time, false);
        expect_peer(one, true, 0, 0);
        duct_pipe_close(one);
    }
}

/* One that closes and comes back while the other is there all the time is told when that closes. */
Test(closes, who_comes_back_hears_of_the_next)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    for (unsigned time = 0; time < 3; time++) {
        cr_assert_eq(dial(&one, url("")), DUCT_OK);
        expect_peer(one, false, 0, 0);
        if (time < 2)
            duct_pipe_close(one);
    }
    stop_listening(two);
    until(one, DUCT_STATE_DISCONNECTED);
    expect_peer(one, true, 0, 0);
    duct_pipe_close(one);
}

/* The dialer waits for its next event, which says that the listener has closed in order. */
static void expect_close_event(struct duct_pipe *one, unsigned time)
{
    struct duct_event events[4];
    size_t count;

    cr_assert_eq(duct_context_wait(contexts[0], events, 4, &count, DUCT_SECOND), DUCT_OK, "time %u",
                 time);
    cr_assert(count == 1 && events[0].type == DUCT_EVENT_STATE &&
              events[0].state == DUCT_STATE_DISCONNECTED && events[0].err == DUCT_ECLOSED);
    expect_peer(one, true, 0, 0);
}

/* The event comes also where the two never met, and for each close: somebody who saw the other end open again waits for
 * the next. */
Test(closes, every_passer_by_s_close_is_an_event)
{
    struct duct_pipe *one, *two;
    struct duct_event events[4];
    size_t count;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[0], events, 4, &count, 0), DUCT_OK);
    cr_assert_eq(events[0].err, DUCT_OK);
    for (unsigned time = 0; time < 3; time++) {
        cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
        expect_peer(one, false, 0, 0);
        stop_listening(two);
        expect_close_event(one, time);
    }
    duct_pipe_close(one);
}
