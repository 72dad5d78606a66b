/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/durable/ends.h"

TestSuite(asking, .init = in_directory, .fini = clean_up);

/* A ring comes once for each sleep; to ask about the pipe reads it from the socket. */
Test(asking, asking_about_a_pipe_does_not_swallow_its_ring)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe *one, *two;
    struct duct_event events[4];
    size_t count;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(one, DUCT_STATE_CONNECTED);
    until(two, DUCT_STATE_CONNECTED);
    while (duct_context_wait(contexts[1], events, 4, &count, DUCT_MILLISECOND) == DUCT_OK)
        continue; /* until it has slept */
    send_number(one, 1);
    cr_assert_eq(duct_pipe_info(two, &info), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[1], events, 4, &count, DUCT_SECOND), DUCT_OK);
    cr_assert(count == 1 && events[0].type == DUCT_EVENT_READABLE);
    expect(two, 1, false);
    stop_listening(two);
    duct_pipe_close(one);
}
