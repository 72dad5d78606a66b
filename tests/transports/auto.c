/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <duct/duct.h>

/*
 * auto:// as a program meets it: what its address may be, who else is served by its listener, whom else it can dial, and
 * what it says when neither way leads anywhere.
 */

static struct duct_context *context;
static struct duct_listener *listener;
static char base[64];

static void open_world(void)
{
    snprintf(base, sizeof(base), "/tmp/duct-auto-XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    setenv("XDG_RUNTIME_DIR", base, 1);
    cr_assert_eq(duct_context_open(&context, NULL), DUCT_OK);
}

static void close_world(void)
{
    char below[80];

    duct_context_close(context);
    snprintf(below, sizeof(below), "%s/duct", base);
    rmdir(below);
    cr_assert_eq(rmdir(base), 0);
}

TestSuite(auto, .init = open_world, .fini = close_world);

static void listen_at(const char *url)
{
    struct duct_options options = DUCT_OPTIONS_INIT;

    options.context = context;
    cr_assert_eq(duct_listen(&listener, url, &options), DUCT_OK, "%s", duct_err_detail());
}

static unsigned port_of(const struct duct_listener *at)
{
    return (unsigned)atoi(strrchr(duct_listener_path(at), ':') + 1);
}

struct dial {
    char url[200];
    char scheme[16];
    char choice[DUCT_REASON_MAX];
    enum duct_err err;
};

static void *dial_there(void *arg)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct dial *dial = arg;
    struct duct_pipe *pipe;

    options.dial_ns = 20 * DUCT_SECOND;
    dial->err = duct_dial(&pipe, dial->url, &options);
    if (dial->err != DUCT_OK)
        return NULL;
    dial->err = duct_pipe_info(pipe, &info);
    snprintf(dial->scheme, sizeof(dial->scheme), "%s", info.scheme);
    memcpy(dial->choice, info.choice, sizeof(dial->choice));
    duct_pipe_close(pipe);
    return NULL;
}

/* Dials from a thread; the one pipe that comes here is of the scheme expected. */
static struct dial served(const char *scheme, const char *url)
{
    struct duct_pipe_info info = DUCT_PIPE_INFO_INIT;
    struct duct_pipe *pipe, *second;
    struct dial dial = {.err = DUCT_OK};
    pthread_t thread;

    snprintf(dial.url, sizeof(dial.url), "%s", url);
    cr_assert_eq(pthread_create(&thread, NULL, dial_there, &dial), 0);
    cr_assert_eq(duct_accept(listener, &pipe, 20 * DUCT_SECOND), DUCT_OK);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(dial.err, DUCT_OK, "%s", url);
    cr_assert_eq(duct_pipe_info(pipe, &info), DUCT_OK);
    cr_assert_str_eq(info.scheme, scheme);
    cr_assert_str_eq(dial.scheme, scheme);
    cr_assert_eq(duct_accept(listener, &second, 0), DUCT_EAGAIN);
    duct_pipe_close(pipe);
    return dial;
}

static void refused(const char *url, enum duct_err expected, const char *words)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *no_listener;
    struct duct_pipe *no_pipe;

    options.context = context;
    cr_expect_eq(duct_dial(&no_pipe, url, &options), expected, "%s", url);
    cr_expect(strstr(duct_err_detail(), words), "%s: \"%s\"", url, duct_err_detail());
    cr_expect_eq(duct_listen(&no_listener, url, &options), expected, "%s", url);
    cr_expect(strstr(duct_err_detail(), words), "%s: \"%s\"", url, duct_err_detail());
}

Test(auto, addresses)
{
    refused("auto://name", DUCT_EINVAL, "position 11: expected @host:port");
    refused("auto://@127.0.0.1:1", DUCT_EINVAL, "position 7: expected a name");
    refused("auto://name@", DUCT_EINVAL, "position 12: expected host:port");
    refused("auto://name@127.0.0.1", DUCT_EINVAL, "position 21: expected host:port");
    refused("auto://name@127.0.0.1:x", DUCT_EINVAL, "position 22");
    refused("auto://na/me@127.0.0.1:1", DUCT_EINVAL, "position 9");
    refused("auto://a@b@127.0.0.1:1", DUCT_EINVAL, "position 8");
    refused("auto://name@127.0.0.1:1?durable=1", DUCT_ENOTSUP, "durable=1");
    refused("auto://name@127.0.0.1:1?reuseport=1", DUCT_ENOTSUP, "reuseport=1");
    refused("auto://name@127.0.0.1:1?pony=1", DUCT_EINVAL, "unknown option 'pony'");
}

/* The path it gives is an address that can be dialled. */
Test(auto, serves_each_scheme)
{
    char url[200];

    listen_at("auto://both@127.0.0.1:0");
    snprintf(url, sizeof(url), "auto://%s", duct_listener_path(listener));
    cr_assert(strstr(served("shm", url).choice, "both ways"));
    served("shm", "shm://both");
    snprintf(url, sizeof(url), "tcp://127.0.0.1:%u", port_of(listener));
    cr_assert_str_empty(served("tcp", url).choice);
    snprintf(url, sizeof(url), "auto://other@127.0.0.1:%u", port_of(listener));
    cr_assert(strstr(served("tcp", url).choice, "nobody listens at"));
    cr_assert_eq(duct_listener_refused(listener), 0);
}

/* Who only listens over TCP, of this version or an older one, makes no offer. */
Test(auto, dials_a_plain_listener)
{
    char url[200];

    listen_at("tcp://127.0.0.1:0");
    snprintf(url, sizeof(url), "auto://both@127.0.0.1:%u", port_of(listener));
    cr_assert(strstr(served("tcp", url).choice, "does not offer"));
}

Test(auto, a_listener_is_whole_or_not)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_listener *second, *alone;
    char url[200];

    options.context = context;
    listen_at("auto://both@127.0.0.1:0");
    /* The name is taken; then the port is, and the name that was bound is free again. */
    cr_assert_eq(duct_listen(&second, "auto://both@127.0.0.1:0", &options), DUCT_EINUSE);
    snprintf(url, sizeof(url), "auto://second@127.0.0.1:%u", port_of(listener));
    cr_assert_eq(duct_listen(&second, url, &options), DUCT_EINUSE);
    cr_assert(strstr(duct_err_detail(), "127.0.0.1"), "%s", duct_err_detail());
    cr_assert_eq(duct_listen(&alone, "shm://second", &options), DUCT_OK, "%s", duct_err_detail());
    duct_listener_close(alone);
    duct_listener_close(listener);
    cr_assert_eq(duct_listen(&alone, "shm://both", &options), DUCT_OK, "%s", duct_err_detail());
}

Test(auto, neither_way)
{
    struct duct_options options = DUCT_OPTIONS_INIT;
    struct duct_pipe *pipe = NULL;
    char url[200];

    options.context = context;
    listen_at("tcp://127.0.0.1:0");
    snprintf(url, sizeof(url), "auto://both@127.0.0.1:%u", port_of(listener));
    duct_listener_close(listener);
    cr_assert_eq(duct_dial(&pipe, url, &options), DUCT_ENOTFOUND);
    cr_assert(strstr(duct_err_detail(), "nobody listens at 127.0.0.1"), "%s", duct_err_detail());
    cr_assert(strstr(duct_err_detail(), "shm://both: not tried"), "%s", duct_err_detail());
    cr_assert_null(pipe);
}

static void *listen_late(void *arg)
{
    struct duct_pipe *pipe;

    cr_assert_eq(duct_context_adopt(context), DUCT_OK);
    listen_at(arg);
    cr_assert_eq(duct_accept(listener, &pipe, 20 * DUCT_SECOND), DUCT_OK);
    duct_pipe_close(pipe);
    return NULL;
}

/* A dial that waits for its listener finds both of its ways, since the name is bound before the port. */
Test(auto, waits_for_its_listener)
{
    struct dial dial = {.err = DUCT_OK};
    pthread_t thread;

    snprintf(dial.url, sizeof(dial.url), "auto://late@127.%u.%u.9:4713?wait_listener=1",
             1 + ((unsigned)getpid() >> 8 & 127), (unsigned)getpid() & 255);
    cr_assert_eq(pthread_create(&thread, NULL, listen_late, dial.url), 0);
    dial_there(&dial);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(duct_context_adopt(context), DUCT_OK);
    cr_assert_eq(dial.err, DUCT_OK, "%s", duct_err_detail());
    cr_assert_str_eq(dial.scheme, "shm", "%s", dial.choice);
}
