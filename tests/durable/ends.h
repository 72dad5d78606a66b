/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TESTS_DURABLE_ENDS_H
#define TESTS_DURABLE_ENDS_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <duct/duct.h>

/* Both ends of durable pipes in one process, on contexts of their own, in a directory of their own. */
static char base[64];
static struct duct_context *contexts[2]; /* dials, listens */
static struct duct_listener *listener;

static inline void in_directory(void)
{
    snprintf(base, sizeof(base), "/tmp/duct-ends-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    setenv("XDG_RUNTIME_DIR", base, 1);
    for (int i = 0; i < 2; i++)
        cr_assert_eq(duct_context_open(&contexts[i], NULL), DUCT_OK);
}

static inline void clean_up(void)
{
    char command[128];

    for (int i = 0; i < 2; i++)
        duct_context_close(contexts[i]);
    snprintf(command, sizeof(command), "rm -rf %s", base);
    cr_assert_eq(system(command), 0);
}

static inline const char *url(const char *more)
{
    static char text[256];

    snprintf(text, sizeof(text), "shm://x?durable=1&dir=%s&slots=16&max_msg=1k&pool=8k%s", base,
             more);
    return text;
}

static inline enum duct_err dial(struct duct_pipe **pipe, const char *address)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = contexts[0];
    return duct_dial(pipe, address, &options);
}

static inline enum duct_err listen_at(struct duct_pipe **pipe, const char *address)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = contexts[1];
    enum duct_err err = duct_listen(&listener, address, &options);
    return err != DUCT_OK ? err : duct_accept(listener, pipe, 0);
}

static inline void stop_listening(struct duct_pipe *pipe)
{
    duct_pipe_close(pipe);
    duct_listener_close(listener);
}

/* Lets both loops run until the pipe is in that state. */
static inline void until(struct duct_pipe *pipe, enum duct_state wanted)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_event events[8];
    size_t count;

    for (unsigned turn = 0; turn < 10000000; turn++) {
        for (int i = 0; i < 2; i++) {
            enum duct_err err = duct_context_wait(contexts[i], events, 8, &count, 0);
            cr_assert(err == DUCT_OK || err == DUCT_EAGAIN);
        }
        cr_assert_eq(duct_pipe_info(pipe, &info), DUCT_OK);
        if (info.state == wanted)
            return;
    }
    cr_assert_fail("it stays %s", duct_state_name(info.state));
}

static inline void send_number(struct duct_pipe *pipe, uint64_t number)
{
    cr_assert_eq(duct_write(pipe, &number, sizeof(number), 0, 0), DUCT_OK, "%s", duct_err_detail());
}

static inline void expect(struct duct_pipe *pipe, uint64_t number, bool again)
{
    struct duct_msg msg;
    uint64_t got;

    cr_assert_eq(duct_recv(pipe, &msg, 0), DUCT_OK, "number %llu", (unsigned long long)number);
    memcpy(&got, msg.data, sizeof(got));
    cr_assert_eq(got, number);
    cr_assert_eq((msg.flags & DUCT_MSG_REDELIVERED) != 0, again, "number %llu",
                 (unsigned long long)number);
    cr_assert_eq(duct_msg_release(&msg), DUCT_OK);
}

static inline void nothing(struct duct_pipe *pipe)
{
    struct duct_msg msg;

    cr_assert_eq(duct_recv(pipe, &msg, 0), DUCT_EAGAIN);
}

#endif
