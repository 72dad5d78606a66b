/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/durable/ends.h"

/*
 * Durable pipes as a program sees them: both ends in one process, on contexts of their own, opened and closed
 * in every order; what is refused, and what is said then.
 */
TestSuite(ends, .init = in_directory, .fini = clean_up);

Test(ends, one_after_the_other)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(dial(&one, url("")), DUCT_OK, "%s", duct_err_detail());
    for (uint64_t n = 0; n < 5; n++)
        send_number(one, n);
    duct_pipe_close(one);
    /* Nobody is there any more; the messages are. */
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK, "%s", duct_err_detail());
    for (uint64_t n = 0; n < 5; n++)
        expect(two, n, false);
    nothing(two);
    for (uint64_t n = 10; n < 13; n++)
        send_number(two, n);
    stop_listening(two);
    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    for (uint64_t n = 10; n < 13; n++)
        expect(one, n, false);
    nothing(one);
    duct_pipe_close(one);
}

Test(ends, either_comes_back_to_one_that_stays)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    for (uint64_t round = 0; round < 5; round++) {
        cr_assert_eq(listen_at(&two, url("")), DUCT_OK, "%s", duct_err_detail());
        until(one, DUCT_STATE_CONNECTED);
        until(two, DUCT_STATE_CONNECTED);
        send_number(one, round);
        expect(two, round, false);
        send_number(two, round);
        expect(one, round, false);
        /* The one that listens goes and comes, then the one that dials. */
        stop_listening(two);
        until(one, DUCT_STATE_DISCONNECTED);
        cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
        until(two, DUCT_STATE_CONNECTED);
        duct_pipe_close(one);
        until(two, DUCT_STATE_DISCONNECTED);
        stop_listening(two);
        cr_assert_eq(dial(&one, url("")), DUCT_OK);
    }
    duct_pipe_close(one);
}

Test(ends, a_pipe_outlives_its_listener_s_handle)
{
    struct duct_pipe *one, *two, *again;

    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    duct_listener_close(listener);
    cr_assert_eq(dial(&one, url("")), DUCT_OK, "%s", duct_err_detail());
    until(two, DUCT_STATE_CONNECTED);
    duct_pipe_close(one);
    until(two, DUCT_STATE_DISCONNECTED);
    cr_assert_eq(dial(&again, url("")), DUCT_OK);
    until(two, DUCT_STATE_CONNECTED);
    duct_pipe_close(again);
    duct_pipe_close(two);
}

/* One that came, sent and went without ever having met the other. */
Test(ends, what_a_passer_by_left_is_found)
{
    struct duct_pipe *one, *two;
    struct duct_event events[4];
    size_t count;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[0], events, 4, &count, 0), DUCT_OK);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    send_number(two, 1);
    stop_listening(two);
    cr_assert_eq(duct_context_wait(contexts[0], events, 4, &count, DUCT_SECOND), DUCT_OK);
    expect(one, 1, false);
    duct_pipe_close(one);
}

Test(ends, states_are_events)
{
    struct duct_pipe *one, *two;
    struct duct_event events[8];
    size_t count;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[0], events, 8, &count, 0), DUCT_OK);
    cr_assert(count == 1 && events[0].type == DUCT_EVENT_STATE &&
              events[0].state == DUCT_STATE_DISCONNECTED);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(two, DUCT_STATE_CONNECTED);
    duct_pipe_close_with(two, 7, "done for today", 0);
    duct_listener_close(listener);
    cr_assert_eq(duct_context_wait(contexts[0], events, 8, &count, DUCT_SECOND), DUCT_OK);
    cr_assert(count >= 1 && events[0].type == DUCT_EVENT_STATE);
    until(one, DUCT_STATE_DISCONNECTED);
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    cr_assert_eq(duct_pipe_info(one, &info), DUCT_OK);
    cr_assert(info.durable && info.end == DUCT_OK && info.close_code == 7);
    cr_assert_str_eq(info.close_text, "done for today");
    duct_pipe_close(one);
}

Test(ends, full_while_nobody_is_there)
{
    struct duct_pipe *one, *two;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    uint64_t number = 0;
    struct duct_msg msg;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    while (duct_write(one, &number, sizeof(number), 0, 0) == DUCT_OK)
        number++;
    cr_assert_eq(number, 16, "as many as there are slots");
    cr_assert_eq(duct_pipe_info(one, &info), DUCT_OK);
    cr_assert(info.undelivered_out == 16 && info.state == DUCT_STATE_DISCONNECTED);
    cr_assert_eq(duct_write(one, &number, sizeof(number), 0, DUCT_MILLISECOND), DUCT_ETIMEOUT);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(one, DUCT_STATE_CONNECTED);
    cr_assert_eq(duct_recv(two, &msg, 0), DUCT_OK);
    cr_assert_eq(duct_write(one, &number, sizeof(number), 0, 0), DUCT_EAGAIN,
                 "held is not released");
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
    send_number(one, number);
    for (uint64_t n = 1; n <= number; n++)
        expect(two, n, false);
    cr_assert_eq(duct_pipe_info(one, &info), DUCT_OK);
    cr_assert_eq(info.undelivered_out, 0);
    duct_pipe_close(one);
    stop_listening(two);
}

/* Blocks are used again only when nothing older is held, and all come back. */
Test(ends, blocks_come_home_in_order)
{
    struct duct_pipe *one, *two;
    struct duct_msg held[3];
    unsigned char bytes[1000];
    unsigned fits = 0;

    memset(bytes, 7, sizeof(bytes));
    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(one, DUCT_STATE_CONNECTED);
    while (duct_write(one, bytes, sizeof(bytes), 0, 0) == DUCT_OK)
        fits++;
    cr_assert(fits >= 3 && fits < 16);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(duct_recv(two, &held[i], 0), DUCT_OK);
    cr_assert_eq(duct_msg_release(&held[1]), DUCT_OK);
    cr_assert_eq(duct_msg_release(&held[2]), DUCT_OK);
    cr_assert_eq(duct_write(one, bytes, sizeof(bytes), 0, 0), DUCT_EAGAIN, "the oldest is held");
    cr_assert_eq(duct_msg_release(&held[0]), DUCT_OK);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(duct_write(one, bytes, sizeof(bytes), 0, 0), DUCT_OK);
    cr_assert_eq(duct_write(one, bytes, sizeof(bytes), 0, 0), DUCT_EAGAIN);
    duct_pipe_close(one);
    stop_listening(two);
}

/* What was received and not released comes again, with the mark; what was released, in whatever order, not. */
Test(ends, redelivered)
{
    struct duct_pipe *one, *two;
    struct duct_msg held[6];

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    for (uint64_t n = 0; n < 8; n++)
        send_number(one, n);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    for (int i = 0; i < 6; i++)
        cr_assert_eq(duct_recv(two, &held[i], 0), DUCT_OK);
    cr_assert_eq(duct_msg_release(&held[0]), DUCT_OK);
    cr_assert_eq(duct_msg_release(&held[3]), DUCT_OK);
    cr_assert_eq(duct_msg_release(&held[3]), DUCT_EINVAL, "once");
    stop_listening(two);
    /* The end is this process's as long as it holds messages of it. */
    cr_assert_eq(listen_at(&two, url("")), DUCT_EINUSE);
    cr_assert_eq(duct_msg_release(&held[4]), DUCT_OK, "also after the pipe was closed");
    duct_pipe_close(one);
    /* A process that dies releases nothing: its child's copy of the files stands for it here. */
    char command[256];
    snprintf(command, sizeof(command), "mkdir -m 700 %s/copy && cp -p %s/x.* %s/copy/", base, base,
             base);
    cr_assert_eq(system(command), 0);
    snprintf(command, sizeof(command), "shm://x?durable=1&dir=%s/copy&slots=16&max_msg=1k&pool=8k",
             base);
    cr_assert_eq(listen_at(&two, command), DUCT_OK, "%s", duct_err_detail());
    expect(two, 1, true);
    expect(two, 2, true);
    expect(two, 5, true);
    expect(two, 6, false);
    expect(two, 7, false);
    nothing(two);
    stop_listening(two);
    for (int i = 1; i < 6; i++) {
        if (i != 3 && i != 4)
            cr_assert_eq(duct_msg_release(&held[i]), DUCT_OK);
    }
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    expect(two, 6, false);
    stop_listening(two);
}

/* ---- What is refused ---- */

static void refused(enum duct_err expected, const char *words)
{
    struct duct_pipe *pipe;

    cr_assert_eq(dial(&pipe, url("")), expected, "%s: %s", words, duct_err_detail());
    cr_assert(strstr(duct_err_detail(), words) != NULL, "%s: %s", words, duct_err_detail());
}

static void change(const char *file, long offset, const void *bytes, size_t size)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/%s", base, file);
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0);
    if (bytes == NULL)
        cr_assert_eq(ftruncate(fd, offset), 0);
    else
        cr_assert_eq(pwrite(fd, bytes, size, offset), (ssize_t)size);
    close(fd);
}

static void fresh(void)
{
    char command[128];
    struct duct_pipe *pipe;

    snprintf(command, sizeof(command), "rm -f %s/x.*", base);
    cr_assert_eq(system(command), 0);
    cr_assert_eq(dial(&pipe, url("")), DUCT_OK, "%s", duct_err_detail());
    send_number(pipe, 1);
    duct_pipe_close(pipe);
}

Test(ends, damage_is_refused_with_the_way_out)
{
    const uint64_t junk = 0x1234567812345678u;
    const uint32_t version = 99;
    const uint64_t other_id = 5;

    fresh();
    change("x.dial", 512, &junk, 8);
    refused(DUCT_ECORRUPT, "shmreap --discard --name x");
    fresh();
    change("x.dial", 520, &version, 4);
    refused(DUCT_EVERSION, "99");
    fresh();
    change("x.dial", 4096, &junk, 8);
    refused(DUCT_ECORRUPT, "stamp");
    fresh();
    change("x.dial", 4096, NULL, 0);
    refused(DUCT_ECORRUPT, "shmreap");
    fresh();
    change("x.dial", 0, NULL, 0);
    refused(DUCT_ECORRUPT, "shmreap");
    fresh();
    change("x.dial.pool0", 4096, NULL, 0);
    refused(DUCT_ECORRUPT, "pool");
    fresh();
    change("x.dial", 3072, &other_id, 8); /* what it received: of another pipe's end */
    struct duct_pipe *pipe;
    cr_assert_eq(listen_at(&pipe, url("")), DUCT_ECORRUPT);
    cr_assert(strstr(duct_err_detail(), "belong together") != NULL, "%s", duct_err_detail());
    refused(DUCT_ECORRUPT, "shmreap --discard --name x");
}

/* A sender that died in the middle of a message of several slots left stamps past its tail: the next message
 * may be shorter, and what was left behind it is none. */
Test(ends, a_message_begun_is_none)
{
    struct duct_pipe *one, *two;
    const uint64_t stamps[2] = {3, 4};

    fresh();
    /* Slots of positions 2 and 3, of a message at 1 whose first stamp was never stored. */
    change("x.dial", 4096 + 2 * 64, &stamps[0], 8);
    change("x.dial", 4096 + 3 * 64, &stamps[1], 8);
    cr_assert_eq(dial(&one, url("")), DUCT_OK, "%s", duct_err_detail());
    send_number(one, 2);
    duct_pipe_close(one);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    expect(two, 1, false);
    expect(two, 2, false);
    nothing(two);
    stop_listening(two);
}

Test(ends, one_end_made_anew_is_refused)
{
    struct duct_pipe *one, *two;
    char path[128];

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    until(one, DUCT_STATE_CONNECTED);
    send_number(one, 1);
    expect(two, 1, false);
    stop_listening(two);
    duct_pipe_close(one);
    snprintf(path, sizeof(path), "%s/x.listen", base);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(listen_at(&two, url("")), DUCT_ECORRUPT);
    cr_assert(strstr(duct_err_detail(), "made anew") != NULL, "%s", duct_err_detail());
}

Test(ends, each_end_has_one_owner)
{
    struct duct_pipe *one, *two;

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(dial(&two, url("")), DUCT_EINUSE);
    char pid[32];
    snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    cr_assert(strstr(duct_err_detail(), pid) != NULL, "%s", duct_err_detail());
    cr_assert_eq(listen_at(&two, url("")), DUCT_OK);
    struct duct_listener *first = listener;
    struct duct_pipe *third;
    cr_assert_eq(listen_at(&third, url("")), DUCT_EINUSE);
    listener = first;
    duct_pipe_close(one);
    stop_listening(two);
}

Test(ends, other_sizes_are_refused)
{
    struct duct_pipe *pipe;
    char address[256];

    fresh();
    snprintf(address, sizeof(address), "shm://x?durable=1&dir=%s&slots=32&max_msg=1k&pool=8k",
             base);
    cr_assert_eq(dial(&pipe, address), DUCT_EINVAL);
    cr_assert(strstr(duct_err_detail(), "slots=16") != NULL, "%s", duct_err_detail());
}

Test(ends, what_a_durable_pipe_cannot_be)
{
    struct duct_pipe *pipe;

    cr_assert_eq(dial(&pipe, "shm:///tmp/x?durable=1"), DUCT_EINVAL);
    cr_assert_eq(dial(&pipe, "shm://x?durable=1&pool=64k&max_msg=1k&pool_max=1m"), DUCT_EINVAL);
    cr_assert_eq(dial(&pipe, "shm://x?durable=1&huge=1"), DUCT_ENOTSUP);
    cr_assert_eq(dial(&pipe, "shm://x?durable=1&allow=0"), DUCT_ENOTSUP);
    cr_assert_eq(dial(&pipe, "shm://x?durable=1&dir=/nowhere/at/all"), DUCT_ENOTFOUND);
    cr_assert_eq(chmod(base, 0755), 0);
    cr_assert_eq(dial(&pipe, url("")), DUCT_EDENIED);
    cr_assert_eq(chmod(base, 0700), 0);
}

Test(ends, a_lost_name_is_noticed)
{
    struct duct_pipe *one;
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_event events[4];
    size_t count;
    char path[128];

    cr_assert_eq(dial(&one, url("")), DUCT_OK);
    cr_assert_eq(duct_context_wait(contexts[0], events, 4, &count, 0), DUCT_OK);
    snprintf(path, sizeof(path), "%s/x.dial", base);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(duct_context_wait(contexts[0], events, 4, &count, DUCT_SECOND), DUCT_OK);
    cr_assert(count == 1 && events[0].type == DUCT_EVENT_STATE && events[0].err == DUCT_ENOTFOUND);
    cr_assert_eq(duct_pipe_info(one, &info), DUCT_OK);
    cr_assert(info.name_lost);
    send_number(one, 1);
    duct_pipe_close(one);
}
