/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include <duct/duct.h>

/* WRITABLE says that what was refused would be taken now, and not just that some message would. */

enum { LARGE = 64 << 10 };

static char url[128];

static void *listens(void *told)
{
    struct duct_listener *listener;
    struct duct_pipe *pipe;
    struct duct_msg msg;
    char byte;

    if (duct_listen(&listener, url, NULL) != DUCT_OK ||
        duct_accept(listener, &pipe, 10 * DUCT_SECOND) != DUCT_OK ||
        read(*(int *)told, &byte, 1) != 1 || duct_recv(pipe, &msg, 10 * DUCT_SECOND) != DUCT_OK ||
        duct_msg_release(&msg) != DUCT_OK)
        return told;
    /* Until the other side has gone. */
    while (duct_recv(pipe, &msg, 10 * DUCT_SECOND) == DUCT_OK)
        duct_msg_release(&msg);
    duct_pipe_close(pipe);
    duct_listener_close(listener);
    return NULL;
}

Test(writable, waits_for_the_block)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_context *context;
    struct duct_event event;
    struct duct_pipe *pipe;
    struct duct_msg msg;
    pthread_t other;
    void *failed;
    size_t count;
    int told[2];

    snprintf(url, sizeof(url), "shm:///tmp/duct-writable-%d", (int)getpid());
    cr_assert(pipe2(told, 0) == 0 && pthread_create(&other, NULL, listens, &told[0]) == 0);
    options.wait_for_listener = DUCT_YES;
    cr_assert(duct_dial(&pipe, url, &options) == DUCT_OK, "%s", duct_err_detail());
    cr_assert(duct_context_default(&context) == DUCT_OK);
    cr_assert(duct_pipe_watch(pipe, DUCT_WATCH_WRITABLE) == DUCT_OK);
    while (duct_msg_loan(pipe, LARGE, &msg) == DUCT_OK)
        cr_assert(duct_send(pipe, &msg, 0) == DUCT_OK);
    cr_assert(duct_msg_loan(pipe, LARGE, &msg) == DUCT_EAGAIN);
    cr_expect(duct_context_wait(context, &event, 1, &count, 0) == DUCT_EAGAIN,
              "no block, yet writable");
    cr_assert(write(told[1], "", 1) == 1);
    cr_assert(duct_context_wait(context, &event, 1, &count, 10 * DUCT_SECOND) == DUCT_OK);
    cr_expect(event.type == DUCT_EVENT_WRITABLE);
    cr_assert(duct_msg_loan(pipe, LARGE, &msg) == DUCT_OK);
    duct_pipe_close(pipe);
    pthread_join(other, &failed);
    cr_assert_null(failed);
}
