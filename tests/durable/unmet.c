/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/durable/below.h"

/*
 * An end that comes and goes before the two have met: no socket tells of it, only its files do. The dialing end is
 * opened below the transport here, so that it cannot connect, and its death is a close without the number of one.
 */
TestSuite(unmet, .init = in_directory, .fini = clean_up);

static struct di_durable *come(void)
{
    return open_below(DI_END_DIAL);
}

static void put(struct di_durable *end, uint64_t number)
{
    cr_assert_eq(di_sender_put(&end->out.sender, &number, sizeof(number), 0), DUCT_OK);
}

/* A listener that has nothing to do but to wait. */
static struct duct_pipe *waiting_listener(void)
{
    struct duct_pipe *pipe;
    struct duct_event events[4];
    size_t count;

    cr_assert_eq(listen_at(&pipe, url("&held=16")), DUCT_OK, "%s", duct_err_detail());
    cr_assert_eq(duct_context_wait(contexts[1], events, 4, &count, 0), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[1], events, 4, &count, 0), DUCT_EAGAIN);
    return pipe;
}

static struct duct_event next_event(void)
{
    struct duct_event event = {.err = DUCT_OK};
    size_t count;

    cr_expect_eq(duct_context_wait(contexts[1], &event, 1, &count, DUCT_SECOND), DUCT_OK);
    return event;
}

/* The first of its name: there was no file to watch. */
Test(unmet, a_dead_dialer_s_message_wakes_the_listener)
{
    struct duct_pipe *pipe = waiting_listener();
    struct di_durable *end = come();

    put(end, 1);
    di_durable_close(end);
    cr_assert_eq(next_event().type, DUCT_EVENT_READABLE);
    expect(pipe, 1, false);
    stop_listening(pipe);
}

Test(unmet, also_where_its_file_was_seen_to_be_made)
{
    struct duct_pipe *pipe = waiting_listener();
    struct di_durable *end = come();
    struct duct_event event;
    size_t count;

    while (duct_context_wait(contexts[1], &event, 1, &count, 0) != DUCT_EAGAIN)
        cr_assert_eq(event.type, DUCT_EVENT_READABLE);
    put(end, 1);
    di_durable_close(end);
    cr_assert_eq(next_event().type, DUCT_EVENT_READABLE);
    expect(pipe, 1, false);
    stop_listening(pipe);
}

Test(unmet, so_does_that_of_each_after_it)
{
    di_durable_close(come());
    struct duct_pipe *pipe = waiting_listener();

    for (uint64_t n = 0; n < 3; n++) {
        struct di_durable *end = come();
        put(end, n);
        di_durable_close(end);
        cr_assert_eq(next_event().type, DUCT_EVENT_READABLE, "number %llu", (unsigned long long)n);
        expect(pipe, n, false);
        nothing(pipe);
        struct duct_event event;
        size_t count;
        cr_assert_eq(duct_context_wait(contexts[1], &event, 1, &count, 0), DUCT_EAGAIN);
    }
    stop_listening(pipe);
}

Test(unmet, an_orderly_close_is_told_to_the_listener)
{
    struct duct_pipe *pipe = waiting_listener();

    for (uint32_t code = 1; code < 4; code++) {
        struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
        struct di_durable *end = come();
        di_durable_finish(end, code);
        di_durable_close(end);
        struct duct_event event = next_event();
        cr_assert(event.type == DUCT_EVENT_STATE && event.err == DUCT_ECLOSED, "close %u", code);
        cr_assert_eq(duct_pipe_info(pipe, &info), DUCT_OK);
        cr_assert(info.peer_closed && info.close_code == code);
    }
    stop_listening(pipe);
}

/* Files and socket lie in one directory: one watch sees both. */
Test(unmet, where_the_socket_is_too)
{
    char directory[sizeof(base) + 8];
    struct duct_pipe *one, *two;

    snprintf(directory, sizeof(directory), "%s/duct", base);
    cr_assert_eq(mkdir(directory, 0700), 0);
    strcpy(base, directory);
    cr_assert_eq(dial(&one, url("")), DUCT_OK, "%s", duct_err_detail());
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK, "%s", duct_err_detail());
    until(one, DUCT_STATE_CONNECTED);
    until(two, DUCT_STATE_CONNECTED);
    stop_listening(two);
    until(one, DUCT_STATE_DISCONNECTED);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(one, DUCT_STATE_CONNECTED);
    duct_pipe_close(one);
    stop_listening(two);
    *strrchr(base, '/') = '\0';
}
