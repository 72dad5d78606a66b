/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <duct/duct.h>

/* A listener on a Unix socket that is there, and whose queue is full: slow is not absent. */

#define CROWD_MAX 8192

static struct duct_listener *listener;
static int crowd[CROWD_MAX];
static size_t crowd_size;
static char url[128];

static void listen_at_all(void)
{
    snprintf(url, sizeof(url), "uds://@duct-busy-%d", (int)getpid());
    cr_assert_eq(duct_listen(&listener, url, NULL), DUCT_OK, "%s", duct_err_detail());
}

/* Connects until the kernel takes no more. */
static void fill_the_queue(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int length = snprintf(at.sun_path + 1, sizeof(at.sun_path) - 1, "%s", url + 7);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);

    for (;;) {
        cr_assert_lt(crowd_size, (size_t)CROWD_MAX);
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        cr_assert_geq(fd, 0);
        if (connect(fd, (struct sockaddr *)&at, size) != 0) {
            cr_assert_eq(errno, EAGAIN, "%s", strerror(errno));
            close(fd);
            return;
        }
        crowd[crowd_size++] = fd;
    }
}

static void crowd_leaves(void)
{
    while (crowd_size > 0)
        close(crowd[--crowd_size]);
}

static enum duct_err dial_within(int64_t dial_ns)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe;

    cr_assert_eq(duct_context_open(&options.context, NULL), DUCT_OK);
    options.dial_ns = dial_ns;
    enum duct_err err = duct_dial(&pipe, url, &options);
    duct_context_close(options.context);
    return err;
}

Test(busy, a_full_queue_is_waited_for_until_the_dial_is_over)
{
    listen_at_all();
    fill_the_queue();
    cr_assert_eq(dial_within(120 * DUCT_MILLISECOND), DUCT_ETIMEOUT);
    crowd_leaves();
    duct_listener_close(listener);
}

static void *dial_patiently(void *result)
{
    *(enum duct_err *)result = dial_within(20 * DUCT_SECOND);
    return NULL;
}

Test(busy, who_waited_is_let_in_when_there_is_room)
{
    struct duct_pipe *pipe;
    enum duct_err result;
    pthread_t dialer;

    listen_at_all();
    fill_the_queue();
    cr_assert_eq(pthread_create(&dialer, NULL, dial_patiently, &result), 0);
    /* The crowd goes first, having said nothing. */
    crowd_leaves();
    cr_assert_eq(duct_accept(listener, &pipe, 20 * DUCT_SECOND), DUCT_OK);
    pthread_join(dialer, NULL);
    cr_assert_eq(result, DUCT_OK);
    duct_pipe_close(pipe);
    duct_listener_close(listener);
}
